//! Bytes to packets and back: strict, without copying, the same for all versions, both directions and all transports.

use bytes::{Buf, BytesMut};

use crate::codec::decode::Dialect;
use crate::packet::Packet;
use crate::version::Version;

mod decode;
mod encode;
mod error;
mod header;
mod property;
pub(crate) mod publish;
pub(crate) mod wire;

pub use error::DecodeError;
pub use header::{PropertyLimits, Role, Rules};

/// Takes one packet off the front of `bytes`; `Ok(None)` if it is not complete, and then nothing is taken. Topic, payload
/// and all other strings are slices of the buffer. The size is judged from the fixed header, so that a packet which will
/// be refused is never waited for.
///
/// # Errors
///
/// Names the statement that the bytes break. Nothing can be read after that.
pub fn decode(bytes: &mut BytesMut, rules: &Rules) -> Result<Option<Packet>, DecodeError> {
    let Some(header) = header::read(bytes, rules)? else {
        return Ok(None);
    };
    if bytes.len() < header.packet_bytes() {
        return Ok(None);
    }
    // One that came alone needs no share of the buffer beside the reader's own.
    let is_alone = bytes.len() == header.packet_bytes();
    let mut packet = if is_alone { std::mem::take(bytes) } else { bytes.split_to(header.packet_bytes()) };
    packet.advance(header.header_bytes);
    let dialect = Dialect {
        version: rules.version.unwrap_or(Version::V5),
        role: rules.role,
        properties: rules.properties,
    };
    decode::body(header, packet.freeze(), dialect).map(Some)
}

/// Appends `packet` to `out`, as `version` writes it; CONNECT names its own version. What the version does not have is
/// left out. Strings and binary data are cut off after 65,535 bytes; a packet longer than 268,435,455 bytes is not
/// written at all.
pub fn encode(packet: &Packet, version: Version, out: &mut BytesMut) {
    encode::packet(packet, version, out);
}
