//! Tables of packets of which each ends a connection.

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Target};
use crate::conform::mqtt_cases::client::{Client, expect};
use crate::conform::mqtt_cases::packet::Packet;
use crate::conform::mqtt_cases::row::about;

/// What a client says, with a name for it.
pub(crate) type Said = (&'static str, Vec<u8>);

/// Each of these is said by a client that is in, on a connection of its own, and ends it; before that the server may say
/// DISCONNECT with one of `codes` (5.0), and nothing else.
pub(crate) fn each_refused(target: &Target, version: Version, codes: &[u8], packets: &[Said]) -> Outcome {
    for (what, bytes) in packets {
        let mut client = Client::clean(target, version)?;
        client.send(bytes);
        client.refused(codes).map_err(|short| about(what, short))?;
    }
    Ok(())
}

/// Each of these is the first thing that is said on a connection, and ends it; before that the server may say CONNACK
/// with one of `codes`, and nothing else.
pub(crate) fn each_turned_away(target: &Target, version: Version, codes: &[u8], packets: &[Said]) -> Outcome {
    for (what, bytes) in packets {
        let mut client = Client::dial(target, version)?;
        client.send(bytes);
        turned_away(&mut client, codes).map_err(|short| about(what, short))?;
    }
    Ok(())
}

/// The server hangs up on a client that is not in, without a word or with CONNACK with one of `codes`.
pub(crate) fn turned_away(client: &mut Client, codes: &[u8]) -> Outcome {
    let said = client.closed()?;
    let is_fine = match said.as_slice() {
        [] => true,
        [Packet::Connack(connack)] => codes.contains(&connack.code) && !connack.present,
        _ => false,
    };
    expect(is_fine, || {
        format!("the server says {said:?} before it closes; allowed is CONNACK {codes:02x?}, or nothing")
    })
}

/// What a packet that cannot be parsed, or may not be sent, is answered with (5.0).
pub(crate) const BROKEN: &[u8] = &[0x81, 0x82];
