//! Whatever a client sends, wherever it is cut: the same requests, the same answers, no panic.

use model::qos::Qos;
use mqtt::Options;
use mqtt::version::Version::{self, V5, V31, V311};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::driver::{Client, connect, delivery};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cutting_what_a_client_sends_changes_nothing(
        version in prop_oneof![Just(V31), Just(V311), Just(V5)],
        packets in vec(client_bytes(), 0..12),
        cuts in vec(1..20_usize, 0..20),
    ) {
        let bytes = packets.concat();
        let whole = outcome(version, &[&bytes]);
        let mut parts = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts {
            let (part, tail) = rest.split_at(cut.min(rest.len()));
            parts.push(part);
            rest = tail;
        }
        parts.push(rest);
        prop_assert_eq!(outcome(version, &parts), whole);
    }

    #[test]
    fn strangers_are_let_in_or_sent_away_but_never_asked_for_twice(bytes in vec(any::<u8>(), 0..60)) {
        let mut client = Client::stranger(V5, Options::default());
        client.raw(&bytes);
        prop_assert!(client.requests().len() <= 1);
    }
}

/// Requests, answers and the reason to close, for a client that is in and has two deliveries under way.
fn outcome(version: Version, parts: &[&[u8]]) -> (Vec<String>, Vec<u8>, Option<String>) {
    let mut client =
        Client::open_with(connect(version), Options { receive_maximum: 3, ..Options::default() });
    client.deliver(vec![delivery(1, Qos::AtLeastOnce), delivery(2, Qos::ExactlyOnce)]);
    for part in parts {
        if client.closed().is_none() {
            client.raw(part);
        }
    }
    let closed = client.closed().map(str::to_owned);
    (client.requests(), client.bytes().to_vec(), closed)
}

/// Packets that say something here, in the form of 3.x or 5.0, and now and then something else.
fn client_bytes() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        &b"\x30\x04\x00\x01a\x00"[..],
        b"\x32\x06\x00\x01a\x00\x05\x00",
        b"\x34\x06\x00\x01a\x00\x06\x00",
        b"\x3C\x06\x00\x01a\x00\x06\x00",
        b"\x30\x09\x00\x03a/b\x03\x23\x00\x01",
        b"\x30\x06\x00\x00\x03\x23\x00\x01",
        b"\x40\x02\x00\x01",
        b"\x50\x02\x00\x02",
        b"\x50\x03\x00\x02\x97",
        b"\x62\x02\x00\x06",
        b"\x70\x02\x00\x02",
        b"\x82\x06\x00\x01\x00\x01a\x01",
        b"\x82\x07\x00\x01\x00\x00\x01#\x2D",
        b"\xA2\x06\x00\x01\x00\x00\x01a",
        b"\xC0\x00",
        b"\xE0\x00",
    ])
    .prop_map(<[u8]>::to_vec);
    prop_oneof![30 => known, 1 => vec(any::<u8>(), 0..10)]
}
