//! The decoder of MQTT: how the bytes are cut changes nothing, and what it reads can be written and read again.

use bytes::BytesMut;
use mqtt::codec::{DecodeError, PropertyLimits, Role, Rules, decode, encode};
use mqtt::packet::Packet;
use mqtt::version::Version;

use crate::script::Script;

/// The first byte chooses version, side and size limit, the second how the stream is cut; the rest is the stream.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let setup = script.byte();
    let cut = usize::from(script.byte()) + 1;
    let rules = Rules {
        version: [None, Some(Version::V31), Some(Version::V311), Some(Version::V5)][usize::from(setup & 3)],
        role: if setup & 4 == 0 { Role::Server } else { Role::Client },
        packet_max: if setup & 8 == 0 { 1 << 20 } else { 64 },
        properties: PropertyLimits::default(),
    };
    let stream = script.rest();
    let whole = read(rules, [stream].into_iter());
    assert_eq!(read(rules, stream.chunks(cut)), whole, "cut into pieces of {cut}");
    for (packet, version) in &whole.packets {
        again(packet, *version);
    }
}

/// What a stream turned out to be.
#[derive(Debug, PartialEq)]
struct Heard {
    packets: Vec<(Packet, Version)>,
    end: Option<DecodeError>,
    /// What is left of it, while nothing is wrong: half a packet.
    left_bytes: Option<usize>,
}

fn read<'a>(mut rules: Rules, pieces: impl Iterator<Item = &'a [u8]>) -> Heard {
    let mut unread = BytesMut::new();
    let mut packets = Vec::new();
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            match decode(&mut unread, &rules) {
                Ok(None) => break,
                Ok(Some(packet)) => {
                    // As a session does: what comes after CONNECT is in the language of CONNECT.
                    if let Packet::Connect(connect) = &packet {
                        rules.version = Some(connect.version);
                    }
                    packets.push((packet, rules.version.unwrap_or(Version::V5)));
                }
                Err(error) => return Heard { packets, end: Some(error), left_bytes: None },
            }
        }
    }
    Heard { packets, end: None, left_bytes: Some(unread.len()) }
}

/// Writes the packet and reads it again, on whichever side may.
fn again(packet: &Packet, version: Version) {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes);
    let written = bytes.clone();
    let is_connect = matches!(packet, Packet::Connect(_));
    let both = [Role::Server, Role::Client].map(|role| {
        let version = (!is_connect).then_some(version);
        decode(
            &mut bytes.clone(),
            &Rules { version, role, packet_max: u32::MAX, properties: PropertyLimits::default() },
        )
    });
    let read = both.into_iter().find_map(|read| read.ok().flatten().filter(|read| read == packet));
    let read = read.unwrap_or_else(|| panic!("{packet:?} as {written:?} is not read again in {version}"));
    bytes.clear();
    encode(&read, version, &mut bytes);
    assert_eq!(bytes, written, "one packet has one form");
}
