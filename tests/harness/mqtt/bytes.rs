//! The pieces that MQTT packets are made of.

use std::io::{self, Error};

/// Appends an integer of two bytes.
pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends bytes with their length in front. Longer ones than 65,535 bytes get the length that fits, which is wrong.
pub fn put_binary(out: &mut Vec<u8>, value: &[u8]) {
    put_u16(out, u16::try_from(value.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(value);
}

/// Appends a variable byte integer.
pub fn put_variable(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value % 128).unwrap_or(0);
        value /= 128;
        out.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

/// A packet from its first byte and what follows the length.
pub fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    put_variable(&mut out, body.len());
    out.extend_from_slice(body);
    out
}

/// Reads a variable byte integer at the front: its value and its size. `None`: it is not all there.
///
/// # Errors
///
/// If it is longer than four bytes.
pub fn variable(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < 4 {
        Ok(None)
    } else {
        Err(Error::other("a variable byte integer of more than four bytes"))
    }
}

/// Takes pieces from the front of a packet.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads these.
    pub const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Whether all was taken.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub const fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.rest = &[];
        rest
    }

    /// That many bytes.
    ///
    /// # Errors
    ///
    /// If there are fewer; so with all that follow.
    pub fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| Error::other("a packet that ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// One byte.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    pub fn u8(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?.iter().copied().sum())
    }

    /// Two bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    pub fn u16(&mut self) -> io::Result<u16> {
        Ok(u16::from(self.u8()?) << 8 | u16::from(self.u8()?))
    }

    /// Four bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    pub fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// A variable byte integer.
    ///
    /// # Errors
    ///
    /// As [`Self::take`], or if it is too long.
    pub fn variable(&mut self) -> io::Result<usize> {
        let (value, size) =
            variable(self.rest)?.ok_or_else(|| Error::other("a length that ends too early"))?;
        self.take(size)?;
        Ok(value)
    }

    /// Bytes with their length in front.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    pub fn binary(&mut self) -> io::Result<&'a [u8]> {
        let size = self.u16()?;
        self.take(size.into())
    }

    /// Text with its length in front.
    ///
    /// # Errors
    ///
    /// As [`Self::take`], or if it is not UTF-8.
    pub fn text(&mut self) -> io::Result<String> {
        String::from_utf8(self.binary()?.to_vec()).map_err(Error::other)
    }
}
