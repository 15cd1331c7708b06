//! CONNECT to CONNACK.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use bytes::Bytes;
use model::qos::Qos;
use model::refusal::Refusal;
use mqtt::Options;
use mqtt::packet::{Connect, Packet, Properties, Will};
use mqtt::reason::Reason;
use mqtt::topic::TopicName;
use mqtt::version::Version::{self, V5, V31, V311};

use crate::driver::{Client, connect, connect_with, opened};

#[test]
fn connect_is_asked_once_and_connack_follows_the_answer() {
    for version in [V31, V311, V5] {
        let mut client = Client::stranger(version, Options::default());
        client.send(Packet::Connect(Box::new(connect(version))));
        assert_eq!(client.requests(), ["open c clean true expiry 0"]);
        assert_eq!(client.says(), [""; 0], "nothing before the answer");
        client.event(opened(false, &[]));
        assert_eq!(client.says(), ["CONNACK Success present false"]);
    }
}

#[test]
fn session_present_tells_the_truth_where_it_can_be_told() {
    // [MQTT-3.2.2-3]; the bit does not exist in 3.1.
    for (version, expected) in [(V31, false), (V311, true), (V5, true)] {
        let mut client = Client::stranger(version, Options::default());
        client.send(Packet::Connect(Box::new(Connect { clean_start: false, ..connect(version) })));
        client.event(opened(true, &[]));
        assert_eq!(client.says(), [format!("CONNACK Success present {expected}")]);
    }
}

#[test]
fn what_follows_connect_waits_for_the_answer() {
    // [MQTT-3.1.4-5]
    let mut client = Client::stranger(V311, Options::default());
    client.raw(b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x00\x00\x01c\x30\x04\x00\x01tp\xC0\x00");
    assert_eq!(client.requests(), ["open c clean true expiry 0"]);
    client.event(opened(false, &[]));
    assert_eq!(client.requests(), ["publish amq.topic t qos 0 p"]);
    assert_eq!(client.says(), ["CONNACK Success present false", "PINGRESP"]);
    // And is not looked at when the client is refused [MQTT-3.1.4-6].
    let mut client = Client::stranger(V311, Options::default());
    client.raw(b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x00\x00\x01c\x30\x04\x00\x01tp");
    client.requests();
    client.event(model::event::Event::Refused(Refusal::BadCredentials("wrong password")));
    assert_eq!(client.requests(), [""; 0]);
    assert_eq!(client.says(), ["CONNACK BadUserNameOrPassword present false"]);
    assert!(client.closed().is_some());
}

#[test]
fn a_stranger_gets_an_answer_it_can_read() {
    let check = |bytes: &[u8], expected: &[u8]| {
        let mut client = Client::stranger(V5, Options::default());
        client.raw(bytes);
        assert_eq!(client.bytes().get(..expected.len()), Some(expected), "{bytes:02X?}");
        assert!(client.closed().is_some(), "{bytes:02X?}");
        assert_eq!(client.requests(), [""; 0]);
    };
    let five = |bytes: &[u8]| {
        let mut client = Client::stranger(V5, Options::default());
        client.raw(bytes);
        client.says()
    };
    assert_eq!(
        five(b"\x10\x0D\x00\x04MQTT\x06\x02\x00\x00\x00\x01c"),
        ["CONNACK UnsupportedProtocolVersion present false"]
    );
    check(b"\x10\x0F\x00\x06MQIsdp\x04\x02\x00\x00\x00\x01c", b"\x20\x02\x00\x01");
    for silent in [&b"\x10\x0D\x00\x04MQTT\x09\x02\x00\x00\x00\x01c"[..], b"\xC0\x00", b"GET / HTTP/1.1\r\n"]
    {
        let mut client = Client::stranger(V5, Options::default());
        client.raw(silent);
        assert!(client.bytes().is_empty() && client.closed().is_some());
    }
    // A malformed CONNECT: in 3.1.1 a bare close, in 5.0 the code.
    let mut client = Client::stranger(V311, Options::default());
    client.raw(b"\x10\x0D\x00\x04MQTT\x04\x03\x00\x00\x00\x01c");
    assert!(client.bytes().is_empty() && client.closed().is_some());
    assert_eq!(
        five(b"\x10\x0E\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x01c"),
        ["CONNACK MalformedPacket present false"]
    );
    assert_eq!(
        five(b"\x10\x11\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x00\x00\x01c"),
        ["CONNACK ProtocolError present false"]
    );
    assert_eq!(five(b"\x10\x80\x80\x08\x00\x04MQTT\x05"), ["CONNACK PacketTooLarge present false"]);
}

#[test]
fn what_a_stranger_is_told_does_not_depend_on_how_its_bytes_arrive() {
    let told = |pieces: &[&[u8]]| {
        let mut client = Client::stranger(V5, Options::default());
        for piece in pieces {
            if client.closed().is_none() {
                client.raw(piece);
            }
        }
        let said = client.bytes();
        (said, client.closed().map(str::to_owned))
    };
    for level in [3, 4, 5, 6] {
        // Wrong flags; a length that is too large, or has a byte too many; a packet that ends before the version.
        for (first, size) in
            [(0x13, &[0x0D][..]), (0x10, &[0x80, 0x80, 0x08]), (0x10, &[0x8D, 0x00]), (0x10, &[0x06])]
        {
            let connect = [&[first], size, b"\x00\x04MQTT", &[level], b"\x02\x00\x00\x00\x00\x01c"].concat();
            let at_once = told(&[&connect]);
            assert!(at_once.1.is_some(), "{connect:02X?}");
            for cut in 0..connect.len() {
                let (start, end) = connect.split_at(cut);
                assert_eq!(told(&[start, end]), at_once, "{connect:02X?}, cut at {cut}");
            }
            let bytes: Vec<&[u8]> = connect.chunks(1).collect();
            assert_eq!(told(&bytes), at_once, "{connect:02X?}, byte by byte");
        }
    }
}

#[test]
fn whoever_is_refused_by_a_header_and_says_no_more_is_not_waited_for() {
    let check = |bytes: &[u8], patience: Duration, reason: &str| {
        let mut client = Client::stranger(V5, Options::default());
        client.raw(bytes);
        assert_eq!(client.closed(), None);
        client.wait(patience - Duration::from_millis(1));
        client.raw(b"");
        assert_eq!(client.closed(), None);
        client.wait(Duration::from_millis(1));
        assert!(client.closed().is_some_and(|closed| closed.contains(reason)), "{:?}", client.closed());
        assert!(client.bytes().is_empty());
    };
    let second = Duration::from_secs(1);
    check(b"\x10\xFF\xFF\xFF\x7F", second, "MQTT-3.2.2-15");
    check(b"\x10\x80\x80\x08\x00\x04MQ", second, "MQTT-3.2.2-15");
    check(b"\x13", Options::default().connect_timeout, "MQTT-2.1.3-1");
    // Where no version can follow, nothing is waited for.
    let mut client = Client::stranger(V5, Options::default());
    client.raw(b"\x10\xFF\xFF\xFF\xFF");
    assert!(client.closed().is_some() && client.bytes().is_empty());
}

#[test]
fn an_empty_client_id_is_made_up_where_that_makes_sense() {
    // [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.1.3-8 of 3.1.1]
    let check = |version: Version, clean_start: bool, expected: Option<&str>| {
        let mut client = Client::stranger(version, Options::default());
        let connect = Connect { client_id: "".into(), clean_start, ..connect(version) };
        client.send(Packet::Connect(Box::new(connect)));
        match expected {
            None => {
                assert_eq!(client.says(), ["CONNACK ClientIdentifierNotValid present false"]);
                assert!(client.closed().is_some());
            }
            Some(expected) => {
                assert_eq!(client.requests(), [expected]);
                client.event(opened(false, &[]));
            }
        }
        client
    };
    check(V31, true, None);
    check(V311, false, None);
    check(V311, true, Some("open - clean true expiry 0"));
    for clean_start in [true, false] {
        let mut client = check(V5, clean_start, Some(&format!("open - clean {clean_start} expiry 0")));
        assert_eq!(promises(&mut client).assigned_client_id.as_deref(), Some("c"));
    }
}

#[test]
fn three_x_sessions_outlive_their_connection_unless_they_are_clean() {
    let mut client = Client::stranger(V311, Options { session_expiry_v3_s: 100, ..Options::default() });
    client.send(Packet::Connect(Box::new(Connect { clean_start: false, ..connect(V311) })));
    assert_eq!(client.requests(), ["open c clean false expiry 100"]);
}

#[test]
fn connack_says_what_was_lowered_and_nothing_else() {
    // 3.2.2.3; [MQTT-3.2.2-21], [MQTT-3.2.2-22]
    let options = || Options { session_expiry_max_s: 1000, keep_alive_max_s: 600, ..Options::default() };
    let promised = |keep_alive_s: u16, session_expiry_s: Option<u32>| {
        let properties = Properties { session_expiry_s, ..Properties::default() };
        let mut client = Client::stranger(V5, options());
        client.send(Packet::Connect(Box::new(Connect { keep_alive_s, ..connect_with(properties) })));
        client.event(opened(false, &[]));
        promises(&mut client)
    };
    let usual = Properties {
        receive_maximum: NonZeroU16::new(64),
        maximum_packet_size: NonZeroU32::new(1 << 20),
        topic_alias_maximum: Some(32),
        ..Properties::default()
    };
    assert_eq!(promised(60, Some(1000)), usual);
    assert_eq!(promised(600, None), usual);
    let lowered = promised(601, Some(u32::MAX));
    assert_eq!((lowered.server_keep_alive_s, lowered.session_expiry_s), (Some(600), Some(1000)));
    assert_eq!(promised(0, None).server_keep_alive_s, Some(600));
}

#[test]
fn refusals_have_the_codes_of_their_version() {
    let check = |version: Version, refusal: Refusal, expected: Reason| {
        let mut client = Client::stranger(version, Options::default());
        client.send(Packet::Connect(Box::new(connect(version))));
        client.event(model::event::Event::Refused(refusal));
        assert_eq!(client.says(), [format!("CONNACK {expected:?} present false")]);
        assert!(client.closed().is_some());
    };
    let denied = || Refusal::Denied { action: "connect", target: String::new() };
    check(V5, Refusal::BadCredentials(""), Reason::BadUserNameOrPassword);
    check(V5, denied(), Reason::NotAuthorized);
    check(V5, Refusal::ShuttingDown, Reason::ServerUnavailable);
    check(V5, Refusal::LimitReached("sessions"), Reason::QuotaExceeded);
    check(V311, denied(), Reason::NotAuthorized);
    check(V311, Refusal::LimitReached("sessions"), Reason::ServerUnavailable);
    check(V31, Refusal::BadCredentials(""), Reason::BadUserNameOrPassword);
}

#[test]
fn a_version_that_is_switched_off_is_refused() {
    for (version, options) in [(V311, vec![V5]), (V5, vec![V311])] {
        let mut client = Client::stranger(version, Options { versions: options, ..Options::default() });
        client.send(Packet::Connect(Box::new(connect(version))));
        assert_eq!(client.says(), ["CONNACK UnsupportedProtocolVersion present false"]);
    }
}

#[test]
fn a_will_goes_along_with_all_it_says() {
    // 3.1.3.2
    let will = |topic: &str, payload: &'static [u8]| Will {
        topic: TopicName::parse(topic.into()).unwrap(),
        payload: Bytes::from_static(payload),
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: Some(Box::new(Properties {
            will_delay_s: Some(5),
            message_expiry_s: Some(7),
            user: vec![("k".into(), "v".into()), ("k".into(), "w".into())],
            ..Properties::default()
        })),
    };
    let mut client = Client::stranger(V5, Options::default());
    client.send(Packet::Connect(Box::new(Connect { will: Some(will("a/b", b"")), ..connect(V5) })));
    let model::request::Request::Open(open) = &client.out.requests[0] else {
        panic!("asks to be let in");
    };
    let properties = open.will.as_ref().unwrap().publish.properties.as_ref().unwrap();
    assert_eq!(properties.headers.len(), 2);
    assert_eq!(
        client.requests(),
        ["open c clean true expiry 0 will amq.topic a/b qos 1 retain expiry 7000  after 5"]
    );
    let mut client = Client::stranger(V5, Options::default());
    client.send(Packet::Connect(Box::new(Connect { will: Some(will("$SYS/x", b"p")), ..connect(V5) })));
    assert_eq!(client.says(), ["CONNACK TopicNameInvalid present false"]);
    assert_eq!(client.requests(), [""; 0]);
}

#[test]
fn a_connack_that_is_too_large_for_the_client_becomes_a_short_one() {
    // [MQTT-3.1.2-24], [MQTT-3.2.2-19]
    let properties = Properties { maximum_packet_size: NonZeroU32::new(8), ..Properties::default() };
    let mut client = Client::stranger(V5, Options::default());
    client.send(Packet::Connect(Box::new(connect_with(properties))));
    client.event(opened(false, &[]));
    let bytes = client.bytes();
    assert_eq!(&bytes[..], b"\x20\x03\x00\x95\x00");
    assert!(client.closed().is_some());
}

#[test]
fn connect_has_its_time() {
    let mut client = Client::stranger(V5, Options::default());
    let deadline = model::session::Session::deadline(&client.session);
    assert_eq!(deadline, Some(client.now + Duration::from_secs(10)));
    client.raw(b"\x10\x0D\x00");
    client.wait(Duration::from_millis(9_999));
    assert!(client.closed().is_none());
    client.wait(Duration::from_millis(1));
    assert!(client.closed().is_some());
}

fn promises(client: &mut Client) -> Properties {
    let Packet::Connack(connack) = client.packets().remove(0) else {
        panic!("a CONNACK");
    };
    *connack.properties.expect("promises")
}
