//! AUTH: who the client is, shown in several steps.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use model::event::Event;
use model::qos::Qos;
use model::refusal::Refusal;
use mqtt::Options;
use mqtt::packet::{Connect, Disconnect, Packet, Properties};
use mqtt::reason::Reason;
use mqtt::version::Version::V5;

use crate::driver::{Client, connect_with, opened, publish};

#[test]
fn a_challenge_is_auth_and_what_answers_it_is_passed_on() {
    // [MQTT-4.12.0-2], [MQTT-4.12.0-5]
    let mut client = Client::stranger(V5, Options::default());
    client.send(Packet::Connect(Box::new(by("M", Some("first")))));
    assert_eq!(client.requests(), ["open c clean true expiry 0 by M first"]);
    assert_eq!(client.says(), [""; 0]);
    client.event(Event::Challenged(Bytes::from_static(b"who?")));
    assert_eq!(client.says(), ["AUTH ContinueAuthentication M who?"]);
    client.send(auth(Reason::ContinueAuthentication, Some("M"), Some("me")));
    assert_eq!(client.requests(), ["proceed me"]);
    client.event(Event::Challenged(Bytes::from_static(b"really?")));
    assert_eq!(client.says(), ["AUTH ContinueAuthentication M really?"]);
    client.send(auth(Reason::ContinueAuthentication, Some("M"), None));
    assert_eq!(client.requests(), ["proceed -"]);
    client.event(proven("welcome"));
    let Packet::Connack(connack) = client.packets().remove(0) else { panic!("a CONNACK") };
    let properties = connack.properties.unwrap();
    assert_eq!(connack.reason, Reason::Success);
    assert_eq!(properties.authentication_method.as_deref(), Some("M"));
    assert_eq!(properties.authentication_data.as_deref(), Some(&b"welcome"[..]));
}

#[test]
fn without_a_method_nothing_names_one() {
    // [MQTT-4.12.0-6]; whatever the broker says at the end.
    let mut client = Client::stranger(V5, Options::default());
    client.send(Packet::Connect(Box::new(connect_with(Properties::default()))));
    client.event(proven("welcome"));
    let Packet::Connack(connack) = client.packets().remove(0) else { panic!("a CONNACK") };
    let properties = connack.properties.unwrap();
    assert_eq!((properties.authentication_method, properties.authentication_data), (None, None));
    client.send(auth(Reason::ReAuthenticate, Some("M"), None));
    assert_eq!(client.says(), ["DISCONNECT ProtocolError"]);
}

#[test]
fn an_unknown_method_and_a_failed_exchange_have_their_codes() {
    // [MQTT-4.12.0-1], [MQTT-4.12.0-4]
    let no_method = || Refusal::NoMethod { method: "M".to_owned(), supported: "N" };
    let cases = [
        (no_method(), Reason::BadAuthenticationMethod),
        (Refusal::NotProven("wrong"), Reason::NotAuthorized),
    ];
    for (refusal, reason) in cases {
        let mut client = Client::stranger(V5, Options::default());
        client.send(Packet::Connect(Box::new(by("M", None))));
        client.event(Event::Refused(refusal.clone()));
        assert_eq!(client.says(), [format!("CONNACK {reason:?} present false")]);
        assert!(client.closed().is_some());
        let mut client = challenged();
        client.send(auth(Reason::ContinueAuthentication, Some("M"), None));
        client.event(Event::Refused(refusal));
        assert_eq!(client.says(), [format!("CONNACK {reason:?} present false")]);
        assert!(client.closed().is_some());
    }
}

#[test]
fn before_connack_nothing_but_an_answer_is_taken() {
    // [MQTT-3.1.2-30], 3.15.2.2.2, [MQTT-3.14.0-1]: no DISCONNECT before CONNACK.
    let check = |packet: Packet, expected: Reason| {
        let mut client = challenged();
        client.send(packet.clone());
        assert_eq!(client.requests(), [""; 0], "{packet:?}");
        assert_eq!(client.says(), [format!("CONNACK {expected:?} present false")], "{packet:?}");
        assert!(client.closed().is_some(), "{packet:?}");
    };
    check(Packet::Pingreq, Reason::ProtocolError);
    check(Packet::Publish(publish("a", Qos::AtMostOnce, 1)), Reason::ProtocolError);
    check(Packet::Connect(Box::new(by("M", None))), Reason::ProtocolError);
    check(auth(Reason::ContinueAuthentication, Some("N"), None), Reason::BadAuthenticationMethod);
    check(auth(Reason::ContinueAuthentication, None, None), Reason::ProtocolError);
    check(auth(Reason::ReAuthenticate, Some("M"), None), Reason::ProtocolError);
    check(auth(Reason::Success, Some("M"), None), Reason::ProtocolError);
    let mut client = challenged();
    client.raw(b"\xF1\x00");
    assert_eq!(client.says(), ["CONNACK MalformedPacket present false"]);
    let mut client = challenged();
    client.send(Packet::Disconnect(Disconnect { reason: Reason::Success, properties: None }));
    assert_eq!(client.says(), [""; 0]);
    assert!(client.closed().is_some());
}

#[test]
fn what_follows_connect_waits_until_the_broker_has_spoken() {
    // The answer may be there before the question, where a client knows it.
    let mut client = Client::stranger(V5, Options::default());
    client.send(Packet::Connect(Box::new(by("M", None))));
    client.send(auth(Reason::ContinueAuthentication, Some("M"), Some("me")));
    assert_eq!(client.requests(), ["open c clean true expiry 0 by M -"]);
    client.event(Event::Challenged(Bytes::from_static(b"who?")));
    assert_eq!(client.requests(), ["proceed me"]);
    assert_eq!(client.says(), ["AUTH ContinueAuthentication M who?"]);
    // And what follows that waits for CONNACK [MQTT-3.1.4-5].
    client.send(Packet::Pingreq);
    assert_eq!(client.says(), [""; 0]);
    client.event(proven("welcome"));
    assert_eq!(client.says(), ["CONNACK Success present false", "PINGRESP"]);
}

#[test]
fn the_time_for_connect_is_for_the_exchange_too() {
    let mut client = challenged();
    assert_eq!(
        model::session::Session::deadline(&client.session),
        Some(client.now + Duration::from_secs(10)),
        "counted from the first byte on"
    );
    client.raw(b"\xF0\x10");
    client.wait(Duration::from_millis(9_999));
    assert!(client.closed().is_none());
    client.wait(Duration::from_millis(1));
    assert_eq!(client.says(), ["CONNACK NotAuthorized present false"]);
    assert!(client.closed().is_some());
}

#[test]
fn an_exchange_that_the_client_cannot_read_is_refused() {
    // [MQTT-3.1.2-24]
    let maximum_packet_size = NonZeroU32::new(10);
    let connect = |method: &'static str| {
        let properties = Properties {
            authentication_method: Some(method.into()),
            maximum_packet_size,
            ..Properties::default()
        };
        connect_with(properties)
    };
    let mut client = Client::stranger(V5, Options::default());
    client.send(Packet::Connect(Box::new(connect("M"))));
    client.event(Event::Challenged(Bytes::from_static(b"longer than that")));
    assert_eq!(client.says(), ["CONNACK PacketTooLarge present false"]);
    assert!(client.closed().is_some());
}

#[test]
fn auth_explains_nothing() {
    // [MQTT-3.15.2-2], [MQTT-3.15.2-3]: so that nothing of it is ever too much.
    let mut client = challenged();
    client.packets();
    client.send(auth(Reason::ContinueAuthentication, Some("M"), None));
    client.event(Event::Challenged(Bytes::from_static(b"more")));
    let Packet::Auth(packet) = client.packets().remove(0) else { panic!("an AUTH") };
    let expected = Properties {
        authentication_method: Some("M".into()),
        authentication_data: Some(Bytes::from_static(b"more")),
        ..Properties::default()
    };
    assert_eq!(*packet.properties.unwrap(), expected);
}

#[test]
fn who_is_in_may_show_anew_who_it_is_while_all_goes_on() {
    // 4.12.1
    let mut client = inside();
    client.send(auth(Reason::ReAuthenticate, Some("M"), Some("first")));
    assert_eq!(client.requests(), ["reauthenticate by M first"]);
    client.send(Packet::Publish(publish("a", Qos::AtMostOnce, 1)));
    client.send(Packet::Pingreq);
    assert_eq!(client.requests(), ["publish amq.topic a qos 0 p"]);
    client.event(Event::Challenged(Bytes::from_static(b"who?")));
    client.deliver(vec![crate::driver::delivery(1, Qos::AtMostOnce)]);
    assert_eq!(client.says(), ["PINGRESP", "AUTH ContinueAuthentication M who?", "PUBLISH a/b qos 0"]);
    client.send(auth(Reason::ContinueAuthentication, Some("M"), Some("me")));
    assert_eq!(client.requests(), ["proceed me"]);
    client.event(Event::Reauthenticated(Some(Bytes::from_static(b"again"))));
    assert_eq!(client.says(), ["AUTH Success M again"]);
    // As often as it likes.
    client.send(auth(Reason::ReAuthenticate, Some("M"), None));
    assert_eq!(client.requests(), ["reauthenticate by M -"]);
    client.event(Event::Reauthenticated(None));
    assert_eq!(client.says(), ["AUTH Success M -"]);
    assert!(client.closed().is_none());
}

#[test]
fn a_renewal_that_fails_ends_the_connection() {
    // [MQTT-4.12.1-2]
    let mut client = inside();
    client.send(auth(Reason::ReAuthenticate, Some("M"), None));
    client.event(Event::Refused(Refusal::NotProven("wrong")));
    assert_eq!(client.says(), ["DISCONNECT NotAuthorized"]);
    assert!(client.closed().is_some());
}

#[test]
fn auth_out_of_turn_ends_the_connection() {
    let check = |client: &mut Client, packet: Packet, expected: Reason| {
        client.send(packet.clone());
        assert_eq!(client.requests(), [""; 0], "{packet:?}");
        assert_eq!(client.says(), [format!("DISCONNECT {expected:?}")], "{packet:?}");
        assert!(client.closed().is_some(), "{packet:?}");
    };
    let asked = || {
        let mut client = inside();
        client.send(auth(Reason::ReAuthenticate, Some("M"), None));
        client.requests();
        client
    };
    let renew = |method| auth(Reason::ReAuthenticate, method, None);
    // [MQTT-4.12.1-1], 3.15.2.2.2
    check(&mut inside(), renew(Some("N")), Reason::BadAuthenticationMethod);
    check(&mut inside(), renew(None), Reason::ProtocolError);
    check(&mut inside(), auth(Reason::ContinueAuthentication, Some("M"), None), Reason::ProtocolError);
    check(&mut inside(), auth(Reason::Success, Some("M"), None), Reason::ProtocolError);
    check(&mut asked(), renew(Some("M")), Reason::ProtocolError);
    check(&mut asked(), auth(Reason::ContinueAuthentication, Some("M"), None), Reason::ProtocolError);
    let mut client = asked();
    client.event(Event::Challenged(Bytes::new()));
    client.says();
    check(&mut client, renew(Some("M")), Reason::ProtocolError);
    // 3.15.2.1: a code that AUTH does not have.
    let mut client = inside();
    client.raw(b"\xF0\x02\x87\x00");
    assert_eq!(client.says(), ["DISCONNECT ProtocolError"]);
}

/// A CONNECT with this method.
fn by(method: &'static str, data: Option<&'static str>) -> Connect {
    connect_with(Properties {
        authentication_method: Some(method.into()),
        authentication_data: data.map(|data| Bytes::from_static(data.as_bytes())),
        ..Properties::default()
    })
}

fn auth(reason: Reason, method: Option<&'static str>, data: Option<&'static str>) -> Packet {
    let properties = Properties {
        authentication_method: method.map(Into::into),
        authentication_data: data.map(|data| Bytes::from_static(data.as_bytes())),
        ..Properties::default()
    };
    let properties = (properties != Properties::default()).then(|| Box::new(properties));
    Packet::Auth(Disconnect { reason, properties })
}

fn proven(data: &'static str) -> Event {
    let Event::Opened(mut answer) = opened(false, &[]) else { panic!("an answer") };
    answer.proof = Some(Bytes::from_static(data.as_bytes()));
    Event::Opened(answer)
}

/// A client whose turn it is.
fn challenged() -> Client {
    let mut client = Client::stranger(V5, Options::default());
    client.send(Packet::Connect(Box::new(by("M", None))));
    client.requests();
    client.event(Event::Challenged(Bytes::from_static(b"who?")));
    client.says();
    client
}

/// A client that is in by a method.
fn inside() -> Client {
    let mut client = challenged();
    client.send(auth(Reason::ContinueAuthentication, Some("M"), None));
    client.requests();
    client.event(proven("welcome"));
    client.says();
    client
}
