//! PUBLISH out: only what differs between two receivers is written anew.

use bytes::{BufMut, Bytes, BytesMut};
use model::outbox::{CHAIN_MIN, Wire};

use crate::codec::header::{publish_byte, write_first};
use crate::codec::property::{self, Owner};
use crate::codec::wire::{VARINT_MAX, put_text, text_size, varint_size};
use crate::packet::{Guarantee, Kind, Properties};
use crate::version::Version;

/// A PUBLISH that is about to be written.
pub(crate) struct Outgoing<'a> {
    pub(crate) version: Version,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) delivery: Guarantee,
    /// Empty where an alias in the properties stands for it.
    pub(crate) topic: &'a str,
    pub(crate) properties: Option<&'a Properties>,
    pub(crate) payload: &'a Bytes,
}

impl Outgoing<'_> {
    /// How long the whole packet is, in bytes.
    fn packet_bytes(&self) -> usize {
        let body = self.body_bytes();
        1 + varint_size(body) + body
    }

    fn body_bytes(&self) -> usize {
        let id = if self.delivery.id().is_some() { 2 } else { 0 };
        text_size(self.topic) + id + self.properties_bytes() + self.payload.len()
    }

    fn properties_bytes(&self) -> usize {
        if self.version.has_properties() { property::size(self.properties, PUBLISH) } else { 0 }
    }

    /// Writes all that stands before the payload. Nothing if the packet is longer than `bytes_max`, or than any packet can be;
    /// whether it was written.
    fn write_head(&self, bytes_max: usize, to: &mut BytesMut) -> bool {
        let body_bytes = self.body_bytes();
        if body_bytes > VARINT_MAX || 1 + varint_size(body_bytes) + body_bytes > bytes_max {
            return false;
        }
        write_first(publish_byte(self.dup, self.delivery.qos(), self.retain), body_bytes, to);
        put_text(to, self.topic);
        if let Some(id) = self.delivery.id() {
            to.put_u16(id.get());
        }
        if self.version.has_properties() {
            property::write(self.properties, PUBLISH, to);
        }
        true
    }

    /// Writes the packet, if it has `bytes_max` at most, and says whether it has; a large payload is chained, not copied.
    pub(crate) fn write(&self, bytes_max: usize, to: &mut Wire) -> bool {
        let fits = self.write_head(bytes_max, to.buf());
        if fits {
            to.put_shared(self.payload);
        }
        fits
    }

    /// Writes the packet into one piece.
    pub(crate) fn write_whole(&self, to: &mut BytesMut) {
        if self.write_head(usize::MAX, to) {
            to.extend_from_slice(self.payload);
        }
    }

    /// The packet as all its receivers share it, whatever their QoS: see [`Shared`].
    pub(crate) fn to_shared(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.packet_bytes());
        self.write_whole(&mut bytes);
        bytes.freeze()
    }
}

/// A PUBLISH in its form for QoS 0, written once and sent to many: for other receivers the first byte differs, and
/// the packet id is put between the topic and what follows.
pub(crate) struct Shared<'a> {
    whole: &'a Bytes,
    /// Where the topic starts, with its length: after the fixed header.
    topic_at: usize,
    /// Where the topic ends.
    rest_at: usize,
}

impl<'a> Shared<'a> {
    /// Finds the parts of what [`Outgoing::to_shared`] made; `None` if that was nothing.
    pub(crate) fn of(whole: &'a Bytes) -> Option<Self> {
        // The fixed header's size is known from the length of the whole: 1 byte, and the size of what follows it.
        let topic_at = (2..=5).find(|at| whole.len().checked_sub(*at).map(varint_size) == Some(at - 1))?;
        let length = whole.get(topic_at..)?.first_chunk::<2>()?;
        let rest_at = topic_at + 2 + usize::from(u16::from_be_bytes(*length));
        Some(Self { whole, topic_at, rest_at })
    }

    /// How long the packet is for this receiver, in bytes.
    pub(crate) fn packet_bytes(&self, delivery: Guarantee) -> usize {
        let body = self.body_bytes(delivery);
        1 + varint_size(body) + body
    }

    fn body_bytes(&self, delivery: Guarantee) -> usize {
        let id = if delivery.id().is_some() { 2 } else { 0 };
        self.whole.len() - self.topic_at + id
    }

    /// Writes the packet for this receiver.
    pub(crate) fn write(&self, dup: bool, retain: bool, delivery: Guarantee, to: &mut Wire) {
        let first = publish_byte(dup, delivery.qos(), retain);
        match delivery.id() {
            None => {
                to.buf().put_u8(first);
                self.put_from(1, to);
            }
            Some(id) if self.body_bytes(delivery) <= VARINT_MAX => {
                write_first(first, self.body_bytes(delivery), to.buf());
                to.buf().put_slice(self.whole.get(self.topic_at..self.rest_at).unwrap_or_default());
                to.buf().put_u16(id.get());
                self.put_from(self.rest_at, to);
            }
            Some(_) => {}
        }
    }

    fn put_from(&self, at: usize, to: &mut Wire) {
        let rest = self.whole.get(at..).unwrap_or_default();
        // Below the limit it is copied anyway: no need to touch the reference count that all receivers share.
        if rest.len() < CHAIN_MIN {
            to.buf().extend_from_slice(rest);
        } else {
            to.put_shared(&self.whole.slice_ref(rest));
        }
    }
}

const PUBLISH: Owner = Owner::Packet(Kind::Publish);
