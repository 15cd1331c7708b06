//! How connections end.

use std::time::Duration;

use model::event::{Ending, Event, Farewell};
use model::outbox::By;
use model::session::Session as _;
use model::time::WallMs;
use mqtt::Options;
use mqtt::packet::{Connect, Disconnect, Packet, Properties};
use mqtt::reason::Reason;
use mqtt::version::Version::{V5, V31, V311};

use crate::driver::{Client, connect, connect_with, opened};

#[test]
fn only_a_normal_good_bye_takes_the_will_along() {
    // [MQTT-3.14.4-3]
    let leave = |reason: Reason| {
        let mut client = Client::open(V5);
        client.send(Packet::Disconnect(Disconnect { reason, properties: None }));
        assert_eq!(client.out.close.as_ref().unwrap().by, By::Client);
        client.requests()
    };
    assert_eq!(leave(Reason::Success), ["close discard true expiry None"]);
    assert_eq!(leave(Reason::DisconnectWithWill), ["close discard false expiry None"]);
    assert_eq!(leave(Reason::UnspecifiedError), ["close discard false expiry None"]);
    for version in [V31, V311] {
        let mut client = Client::open(version);
        client.raw(b"\xE0\x00\xC0\x00");
        assert_eq!(client.requests(), ["close discard true expiry None"]);
        assert_eq!(client.says(), [""; 0], "nothing is read after DISCONNECT");
    }
}

#[test]
fn the_session_expiry_may_change_but_not_begin() {
    // 3.14.2.2.2
    let leave = |at_connect: Option<u32>, at_disconnect: u32| {
        let with = |session_expiry_s| Properties { session_expiry_s, ..Properties::default() };
        let options = Options { session_expiry_max_s: 100, ..Options::default() };
        let mut client = Client::open_with(connect_with(with(at_connect)), options);
        client.send(Packet::Disconnect(Disconnect {
            reason: Reason::Success,
            properties: Some(Box::new(with(Some(at_disconnect)))),
        }));
        (client.requests(), client.says())
    };
    let nothing = Vec::<String>::new();
    assert_eq!(leave(Some(50), 0), (vec!["close discard true expiry Some(0)".to_owned()], nothing.clone()));
    assert_eq!(
        leave(Some(50), 1000),
        (vec!["close discard true expiry Some(100)".to_owned()], nothing.clone())
    );
    assert_eq!(leave(None, 0), (vec!["close discard true expiry Some(0)".to_owned()], nothing.clone()));
    assert_eq!(leave(None, 1), (nothing.clone(), vec!["DISCONNECT ProtocolError".to_owned()]));
    assert_eq!(leave(Some(0), 1), (nothing, vec!["DISCONNECT ProtocolError".to_owned()]));
}

#[test]
fn the_broker_says_why_to_those_who_can_hear_it() {
    // [MQTT-3.1.4-3]
    for (farewell, expected) in [
        (Farewell::TakenOver, "DISCONNECT SessionTakenOver"),
        (Farewell::ShuttingDown, "DISCONNECT ServerShuttingDown"),
        (Farewell::Kicked, "DISCONNECT AdministrativeAction"),
    ] {
        let mut client = Client::open(V5);
        client.event(Event::Closing(farewell));
        assert_eq!(client.says(), [expected]);
        assert_eq!(client.out.close.as_ref().unwrap().by, By::Broker);
        let mut client = Client::open(V311);
        client.event(Event::Closing(farewell));
        assert!(client.bytes().is_empty() && client.closed().is_some());
        // [MQTT-3.14.0-1]: never before CONNACK.
        let mut client = Client::stranger(V5, Options::default());
        client.send(Packet::Connect(Box::new(connect(V5))));
        client.event(Event::Closing(farewell));
        assert!(client.bytes().is_empty() && client.closed().is_some());
    }
}

#[test]
fn a_silent_client_goes_after_one_and_a_half_times_its_keep_alive() {
    // [MQTT-3.1.2-22]
    for (version, expected) in [(V5, vec!["DISCONNECT KeepAliveTimeout"]), (V311, vec![])] {
        let mut client =
            Client::open_with(Connect { keep_alive_s: 10, ..connect(version) }, Options::default());
        assert_eq!(client.session.deadline(), Some(client.now + Duration::from_secs(15)));
        client.wait(Duration::from_secs(14));
        client.send(Packet::Pingreq);
        client.says();
        assert_eq!(client.session.deadline(), Some(client.now + Duration::from_secs(15)));
        client.wait(Duration::from_secs(14));
        // Half a packet is silence, and so is what we write.
        client.raw(b"\x30");
        client.deliver(vec![crate::driver::delivery(0, model::qos::Qos::AtMostOnce)]);
        client.says();
        assert!(client.closed().is_none());
        client.wait(Duration::from_secs(1));
        assert_eq!(client.says(), expected);
        assert!(client.closed().is_some());
    }
}

#[test]
fn after_a_pause_of_our_own_a_client_gets_one_fresh_interval() {
    for version in [V5, V311] {
        let mut client =
            Client::open_with(Connect { keep_alive_s: 10, ..connect(version) }, Options::default());
        // Who is stopped himself cannot say who was silent.
        client.wait(Duration::from_secs(40));
        assert!(client.closed().is_none());
        assert_eq!(client.session.deadline(), Some(client.now + Duration::from_secs(15)));
        client.wait(Duration::from_secs(15));
        assert!(client.closed().is_some(), "one, and no more");
    }
}

#[test]
fn a_client_whose_token_has_expired_goes_after_a_while_unless_it_shows_a_newer_one() {
    let second = Duration::from_secs(1);
    for (version, expected) in [(V5, vec!["DISCONNECT NotAuthorized"]), (V311, vec![]), (V31, vec![])] {
        for is_renewed in [false, true] {
            let options = Options { token_grace: second * 3, ..Options::default() };
            let mut client = Client::open_with(Connect { keep_alive_s: 0, ..connect(version) }, options);
            let ends = |client: &mut Client, seconds: u32| {
                client.event(Event::Expires(Ending { at: WallMs(0), until: client.now + second * seconds }));
            };
            ends(&mut client, 10);
            assert_eq!(client.session.deadline(), Some(client.now + second * 13));
            client.wait(second * 12);
            if is_renewed {
                ends(&mut client, 5);
                assert_eq!(client.session.deadline(), Some(client.now + second * 8));
                client.wait(second * 7);
            }
            assert!(client.says().is_empty() && client.closed().is_none());
            client.wait(second);
            assert_eq!(client.says(), expected);
            assert!(client.closed().is_some_and(|reason| reason.contains("has expired at 1970-01-01")));
        }
    }
}

#[test]
fn without_a_keep_alive_there_is_no_deadline_unless_the_server_says_so() {
    // 3.1.2.10, [MQTT-3.2.2-21]
    let deadline_s = |version, keep_alive_s, keep_alive_max_s| {
        let options = Options { keep_alive_max_s, ..Options::default() };
        let client = Client::open_with(Connect { keep_alive_s, ..connect(version) }, options);
        client.session.deadline().map(|deadline| (deadline - client.now).as_secs())
    };
    assert_eq!(deadline_s(V311, 0, 600), None);
    assert_eq!(deadline_s(V311, 65_535, 600), Some(98_302));
    assert_eq!(deadline_s(V5, 0, 600), Some(900));
    assert_eq!(deadline_s(V5, 65_535, 600), Some(900));
    assert_eq!(deadline_s(V5, 0, 0), None);
}

#[test]
fn a_3_x_client_that_promised_less_than_it_may_be_silent_is_given_up_after_that() {
    let deadline_s = |version, keep_alive_s, idle_max| {
        let options = Options { idle_max, keep_alive_max_s: 0, ..Options::default() };
        let client = Client::open_with(Connect { keep_alive_s, ..connect(version) }, options);
        client.session.deadline().map(|deadline| (deadline - client.now).as_secs())
    };
    let max = Some(Duration::from_secs(100));
    for version in [V31, V311] {
        assert_eq!(deadline_s(version, 0, None), None);
        assert_eq!(deadline_s(version, 0, max), Some(100));
        assert_eq!(deadline_s(version, 101, max), Some(100));
        // What it promised is enough: it has what the specification gives it.
        assert_eq!(deadline_s(version, 100, max), Some(150));
        assert_eq!(deadline_s(version, 10, max), Some(15));
    }
    assert_eq!(deadline_s(V5, 0, max), None);
}

#[test]
fn an_early_call_of_the_timer_does_nothing() {
    let mut client = Client::open_with(Connect { keep_alive_s: 10, ..connect(V5) }, Options::default());
    client.wait(Duration::from_secs(3));
    assert!(client.closed().is_none());
}

#[test]
fn a_second_answer_to_connect_changes_nothing() {
    let mut client = Client::open(V5);
    client.event(opened(false, &[]));
    assert_eq!(client.says(), [""; 0], "[MQTT-3.2.0-2]: no second CONNACK");
}
