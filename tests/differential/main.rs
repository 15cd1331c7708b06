//! Our MQTT codec and rumqttd's, side by side: what both call legal must mean the same to both.
//!
//! Each packet goes from ours to theirs and back: they must read what we write, see in it what we meant, and what they
//! write must read as the packet we began with. Left out is what is known to be wrong on their side: CONNACK and UNSUBACK
//! of 5.0 cannot be read there (they are tested the other way round), AUTH and MQTT 3.1 are missing, a DISCONNECT with a
//! reason but no properties is misread, passwords must be text, user names must not be empty, SUBACK of 3.1.1 knows one
//! refusal only, and their writer of properties drops what it does not know.

mod packets;
mod peer;
mod said;
mod theirs;

use bytes::BytesMut;
use harness::dice::Dice;
use mqtt::codec::{PropertyLimits, Role, Rules, decode, encode};
use mqtt::packet::Packet;
use mqtt::version::Version;

use crate::packets::Kind;

#[test]
fn what_we_write_means_the_same_to_them_and_what_they_write_the_same_to_us() {
    for version in [Version::V311, Version::V5] {
        for kind in Kind::ALL {
            for seed in 0..400 {
                let mut dice = Dice::new(seed);
                let (packet, role) = packets::make(kind, version, &mut dice);
                check(&packet, version, role, seed);
            }
        }
    }
}

#[test]
fn what_only_they_can_write_is_read_by_us() {
    for seed in 0..400 {
        let (theirs, expected) = theirs::connack(&mut Dice::new(seed));
        assert_eq!(
            read(&peer::write(theirs, Version::V5), Version::V5, Role::Client, seed),
            expected,
            "seed {seed}"
        );
        let (theirs, expected) = theirs::unsuback(&mut Dice::new(seed));
        assert_eq!(
            read(&peer::write(theirs, Version::V5), Version::V5, Role::Client, seed),
            expected,
            "seed {seed}"
        );
    }
}

#[track_caller]
fn check(packet: &Packet, version: Version, role: Role, seed: u64) {
    let mut bytes = BytesMut::new();
    encode(packet, version, &mut bytes);
    let shown = bytes.clone();
    let theirs = match peer::read(&mut bytes, version) {
        Ok(theirs) => theirs,
        Err(error) => panic!("seed {seed}: they cannot read {packet:?}: {error}\n{shown:?}"),
    };
    assert!(bytes.is_empty(), "seed {seed}: they left {bytes:?} of {packet:?}");
    let text = format!("{theirs:?}");
    for word in said::by(packet, version) {
        assert!(text.contains(&word), "seed {seed}: they do not see `{word}` of {packet:?}, but {text}");
    }
    let back = peer::write(theirs, version);
    assert_eq!(read(&back, version, role, seed), *packet, "seed {seed}: {shown:?} came back as {back:?}");
}

#[track_caller]
fn read(bytes: &BytesMut, version: Version, role: Role, seed: u64) -> Packet {
    // Only CONNECT is read before the version is known.
    let known = (bytes.first() != Some(&0x10)).then_some(version);
    let rules = Rules { version: known, role, packet_max: 1 << 20, properties: PropertyLimits::default() };
    match decode(&mut bytes.clone(), &rules) {
        Ok(Some(packet)) => packet,
        other => panic!("seed {seed}: we read {bytes:?} as {other:?}"),
    }
}
