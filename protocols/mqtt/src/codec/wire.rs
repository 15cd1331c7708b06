//! Integers, strings, sizes: every read checked, nothing copied.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use model::qos::Qos;

use crate::codec::error::DecodeError;
use crate::packet::{PacketId, SubscriptionId};
use crate::topic::TopicName;

/// What is left to read of a packet.
pub(crate) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(crate) const fn new(rest: Bytes) -> Self {
        Self { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.rest.first().ok_or(DecodeError::Truncated)?;
        self.rest.advance(1);
        Ok(byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        let bytes = *self.rest.first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest.advance(2);
        Ok(u16::from_be_bytes(bytes))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        let bytes = *self.rest.first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest.advance(4);
        Ok(u32::from_be_bytes(bytes))
    }

    /// A variable byte integer (1.5.5). Unlike in the fixed header, running out of bytes is an error here.
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        let (value, used) = read_varint(&self.rest)?.ok_or(DecodeError::Truncated)?;
        self.rest.advance(used);
        Ok(value)
    }

    /// The next `count` bytes, shared with the buffer they were read into.
    pub(crate) fn take(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        if count > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.rest.split_to(count))
    }

    /// Binary data (1.5.6).
    pub(crate) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let count = self.u16()?;
        self.take(usize::from(count))
    }

    /// A UTF-8 encoded string (1.5.4), which has no U+0000.
    pub(crate) fn text(&mut self) -> Result<ByteString, DecodeError> {
        let text = self.utf8()?;
        if text.as_bytes().contains(&0) {
            return Err(DecodeError::Nul);
        }
        Ok(text)
    }

    /// A topic name; `None` if it is empty. U+0000 is looked for together with the wildcards.
    pub(crate) fn topic(&mut self) -> Result<Option<TopicName>, DecodeError> {
        let text = self.utf8()?;
        if text.is_empty() {
            return Ok(None);
        }
        TopicName::parse(text).map(Some).map_err(DecodeError::Topic)
    }

    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?).ok_or(DecodeError::PacketId)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> Bytes {
        self.rest
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::LeftOver) }
    }

    fn utf8(&mut self) -> Result<ByteString, DecodeError> {
        ByteString::try_from(self.binary()?).map_err(|_| DecodeError::Utf8)
    }
}

/// Reads a variable byte integer at the start of `bytes`, with the number of bytes it took; `None` if it goes on after
/// their end [MQTT-1.5.5-1].
pub(crate) fn read_varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            // A last byte of zero adds nothing: the same value has a shorter form.
            let over_long = index > 0 && *byte == 0;
            return if over_long {
                Err(DecodeError::VariableByteInteger)
            } else {
                Ok(Some((value, index + 1)))
            };
        }
    }
    if bytes.len() >= VARINT_BYTES_MAX { Err(DecodeError::VariableByteInteger) } else { Ok(None) }
}

/// Writes a variable byte integer of at most [`VARINT_MAX`]; the caller has seen to that.
pub(crate) fn put_varint(to: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        to.put_u8((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    to.put_u8(value as u8);
}

/// How many bytes a variable byte integer takes.
pub(crate) const fn varint_size(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

const VARINT_BYTES_MAX: usize = 4;

/// The largest value of a variable byte integer, so the largest remaining length.
pub(crate) const VARINT_MAX: usize = 268_435_455;

/// Something that stands in a packet by itself: how it is read, written and measured.
pub(crate) trait Value: Sized {
    fn read(from: &mut Reader) -> Result<Self, DecodeError>;
    fn write(&self, to: &mut BytesMut);
    fn size(&self) -> usize;
}

/// A byte of 0 or 1; other values are protocol errors wherever a property has one.
impl Value for bool {
    fn read(from: &mut Reader) -> Result<Self, DecodeError> {
        match from.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::PropertyValue),
        }
    }

    fn write(&self, to: &mut BytesMut) {
        to.put_u8(u8::from(*self));
    }

    fn size(&self) -> usize {
        1
    }
}

/// Maximum QoS: 0 or 1, since 2 is said by silence (3.2.2.3.4).
impl Value for Qos {
    fn read(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok(if bool::read(from)? { Self::AtLeastOnce } else { Self::AtMostOnce })
    }

    fn write(&self, to: &mut BytesMut) {
        to.put_u8(self.bits().min(1));
    }

    fn size(&self) -> usize {
        1
    }
}

macro_rules! integers {
    ($($type:ty, $read:ident, $put:ident;)*) => {$(
        impl Value for $type {
            fn read(from: &mut Reader) -> Result<Self, DecodeError> {
                from.$read()
            }

            fn write(&self, to: &mut BytesMut) {
                to.$put(*self);
            }

            fn size(&self) -> usize {
                size_of::<Self>()
            }
        }
    )*};
}

integers! {
    u16, u16, put_u16;
    u32, u32, put_u32;
}

impl Value for NonZeroU16 {
    fn read(from: &mut Reader) -> Result<Self, DecodeError> {
        Self::new(from.u16()?).ok_or(DecodeError::PropertyValue)
    }

    fn write(&self, to: &mut BytesMut) {
        to.put_u16(self.get());
    }

    fn size(&self) -> usize {
        2
    }
}

impl Value for NonZeroU32 {
    fn read(from: &mut Reader) -> Result<Self, DecodeError> {
        Self::new(from.u32()?).ok_or(DecodeError::PropertyValue)
    }

    fn write(&self, to: &mut BytesMut) {
        to.put_u32(self.get());
    }

    fn size(&self) -> usize {
        4
    }
}

impl Value for SubscriptionId {
    fn read(from: &mut Reader) -> Result<Self, DecodeError> {
        Self::new(from.varint()?).ok_or(DecodeError::PropertyValue)
    }

    fn write(&self, to: &mut BytesMut) {
        put_varint(to, self.get());
    }

    fn size(&self) -> usize {
        varint_size(self.get() as usize)
    }
}

impl Value for ByteString {
    fn read(from: &mut Reader) -> Result<Self, DecodeError> {
        from.text()
    }

    fn write(&self, to: &mut BytesMut) {
        put_text(to, self);
    }

    fn size(&self) -> usize {
        text_size(self)
    }
}

impl Value for TopicName {
    fn read(from: &mut Reader) -> Result<Self, DecodeError> {
        from.topic()?.ok_or(DecodeError::Topic(crate::topic::TopicError::Empty))
    }

    fn write(&self, to: &mut BytesMut) {
        put_text(to, self.as_str());
    }

    fn size(&self) -> usize {
        text_size(self.as_str())
    }
}

impl Value for Bytes {
    fn read(from: &mut Reader) -> Result<Self, DecodeError> {
        from.binary()
    }

    fn write(&self, to: &mut BytesMut) {
        put_binary(to, self);
    }

    fn size(&self) -> usize {
        2 + self.len().min(FIELD_BYTES_MAX)
    }
}

impl Value for (ByteString, ByteString) {
    fn read(from: &mut Reader) -> Result<Self, DecodeError> {
        Ok((from.text()?, from.text()?))
    }

    fn write(&self, to: &mut BytesMut) {
        put_text(to, &self.0);
        put_text(to, &self.1);
    }

    fn size(&self) -> usize {
        text_size(&self.0) + text_size(&self.1)
    }
}

/// Writes a string; what does not fit its two-byte length is cut off between two characters.
pub(crate) fn put_text(to: &mut BytesMut, text: &str) {
    put_binary(to, fitting(text).as_bytes());
}

/// How many bytes [`put_text`] writes.
pub(crate) fn text_size(text: &str) -> usize {
    2 + fitting(text).len()
}

fn fitting(text: &str) -> &str {
    text.get(..text.floor_char_boundary(FIELD_BYTES_MAX)).unwrap_or_default()
}

/// Writes binary data; what does not fit its two-byte length is cut off.
pub(crate) fn put_binary(to: &mut BytesMut, bytes: &[u8]) {
    let bytes = bytes.get(..FIELD_BYTES_MAX).unwrap_or(bytes);
    to.put_u16(bytes.len() as u16);
    to.put_slice(bytes);
}

/// The longest string and the longest binary data, in bytes (1.5.4, 1.5.6).
pub(crate) const FIELD_BYTES_MAX: usize = u16::MAX as usize;
