//! Dice: the same numbers for the same seed, everywhere.

/// xorshift64*.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Seeds that are close begin alike.
        for _ in 0..4 {
            dice.roll(2);
        }
        dice
    }

    /// From 0 up to `sides`, which is not part of it; of no sides, 0.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.roll(100) < percent
    }
}

/// How long a message is to wait, in milliseconds, at least 1: so short that it is due at once, or so long that it is let go of.
pub(crate) fn any_delay_ms(dice: &mut Dice) -> u64 {
    let most = [20, 1_000, 4_000, 15_000][dice.roll(4)];
    1 + dice.roll(most) as u64
}
