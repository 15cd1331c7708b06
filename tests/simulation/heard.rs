//! Heard: the next that a client reads of what the broker sent it.

use bytes::BytesMut;
use mqtt::codec::{self, PropertyLimits, Role, Rules};
use mqtt::packet::Packet;
use stomp::decode::{Decoder, Limits};
use stomp::frame::Frame;

/// The next packet of MQTT, if all of it is there.
pub(crate) fn packet(
    incoming: &mut BytesMut,
    version: mqtt::version::Version,
) -> Result<Option<Packet>, String> {
    let rules = Rules {
        version: Some(version),
        role: Role::Client,
        packet_max: 1 << 20,
        properties: PropertyLimits::default(),
    };
    codec::decode(incoming, &rules).map_err(|error| format!("no MQTT: {error}"))
}

/// The next frame of STOMP 1.2, if all of it is there.
pub(crate) fn frame(decoder: &mut Decoder, incoming: &mut BytesMut) -> Result<Option<Frame>, String> {
    let version = stomp::version::Version::V1_2;
    decoder.decode(incoming, &Limits::default(), version).map_err(|error| format!("no STOMP: {error}"))
}
