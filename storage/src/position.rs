//! Position: where in the journal something lies.

/// A journal file and a byte in it. Later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position {
    /// The number of the segment, from 1.
    pub segment: u32,
    /// The byte in it.
    pub offset: u32,
}

impl Position {
    /// Before everything.
    pub const START: Self = Self { segment: 0, offset: 0 };

    /// As one number that sorts alike.
    pub const fn to_bits(self) -> u64 {
        ((self.segment as u64) << 32) | self.offset as u64
    }

    /// The opposite of [`Self::to_bits`].
    pub const fn from_bits(bits: u64) -> Self {
        Self { segment: (bits >> 32) as u32, offset: (bits & 0xffff_ffff) as u32 }
    }
}
