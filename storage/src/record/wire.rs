//! Integers, texts and lists of a record: checked when read, never a panic.

use bytes::Bytes;
use bytestring::ByteString;

/// Why bytes are no record. They passed their CRC, so they were written like that: a defect of ours, or another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// It ends before it is complete.
    #[error("the record ends too early")]
    Short,
    /// Something follows it.
    #[error("the record has bytes left over")]
    Long,
    /// A number is larger than its type.
    #[error("the record has a number out of range")]
    Range,
    /// A text is no UTF-8.
    #[error("the record has a text that is not UTF-8")]
    Text,
    /// A tag that means nothing.
    #[error("the record has an unknown tag")]
    Tag,
    /// Another version's layout.
    #[error("the record has an unknown version")]
    Version,
}

impl RecordError {
    /// The same, as a text that an error of the store can carry.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Short => "the record ends too early",
            Self::Long => "the record has bytes left over",
            Self::Range => "the record has a number out of range",
            Self::Text => "the record has a text that is not UTF-8",
            Self::Tag => "the record has an unknown tag",
            Self::Version => "the record has an unknown version",
        }
    }
}

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Nothing may be left.
    pub(crate) const fn end(self) -> Result<(), RecordError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RecordError::Long) }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(RecordError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, RecordError> {
        let (first, rest) = self.rest.split_first().ok_or(RecordError::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    /// Four bytes, low first.
    pub(crate) fn fixed_u32(&mut self) -> Result<u32, RecordError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(RecordError::Short)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*first))
    }

    /// Seven bits a byte, low first; at most ten bytes.
    pub(crate) fn u64(&mut self) -> Result<u64, RecordError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(RecordError::Range);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordError::Range)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, RecordError> {
        u32::try_from(self.u64()?).map_err(|_| RecordError::Range)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, RecordError> {
        u16::try_from(self.u64()?).map_err(|_| RecordError::Range)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, RecordError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RecordError::Tag),
        }
    }

    /// How many things follow, of which each takes at least one byte: nobody can make us reserve more than there is.
    pub(crate) fn count(&mut self) -> Result<usize, RecordError> {
        let count = usize::try_from(self.u64()?).map_err(|_| RecordError::Range)?;
        if count > self.rest.len() { Err(RecordError::Short) } else { Ok(count) }
    }

    pub(crate) fn slice(&mut self) -> Result<&'a [u8], RecordError> {
        let length = self.count()?;
        self.take(length)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.slice()?).map_err(|_| RecordError::Text)
    }

    /// A copy, so that a small value does not hold on to the buffer it was read from.
    pub(crate) fn bytes(&mut self) -> Result<Bytes, RecordError> {
        self.slice().map(Bytes::copy_from_slice)
    }

    pub(crate) fn text(&mut self) -> Result<ByteString, RecordError> {
        self.str().map(ByteString::from)
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Option<T>, RecordError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }
}

pub(crate) fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_len(out: &mut Vec<u8>, length: usize) {
    put_u64(out, length as u64);
}

pub(crate) fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

pub(crate) fn put_slice(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_slice(out, text.as_bytes());
}

pub(crate) fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    put_bool(out, value.is_some());
    if let Some(value) = value {
        put(out, value);
    }
}

/// Writes something with its length, as four bytes, before it.
pub(crate) fn put_block(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    // A block beyond 4 GiB cannot be: the committer refuses such a changeset, whose true length it sees.
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(prefix) = out.get_mut(start..start + 4) {
        prefix.copy_from_slice(&length.to_le_bytes());
    }
}
