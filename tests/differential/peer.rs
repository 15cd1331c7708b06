//! rumqttd's codec, by version.

use bytes::BytesMut;
use mqtt::version::Version;
use rumqttd::protocol::v4::V4;
use rumqttd::protocol::v5::V5;
use rumqttd::protocol::{Packet, Protocol};

/// Takes one packet.
pub(crate) fn read(bytes: &mut BytesMut, version: Version) -> Result<Packet, String> {
    let packet = match version {
        Version::V5 => V5.read_mut(bytes, SIZE_MAX),
        Version::V31 | Version::V311 => V4.read_mut(bytes, SIZE_MAX),
    };
    packet.map_err(|error| error.to_string())
}

/// Writes one packet.
pub(crate) fn write(packet: Packet, version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    let shown = format!("{packet:?}");
    let written = match version {
        Version::V5 => V5.write(packet, &mut bytes),
        Version::V31 | Version::V311 => V4.write(packet, &mut bytes),
    };
    if let Err(error) = written {
        panic!("they cannot write {shown}: {error}");
    }
    bytes
}

const SIZE_MAX: usize = 1 << 20;
