//! Tokens on frames: shown again, refused, expired; and what is refused, told where the client listens for it.

use std::time::Duration;

use model::event::{Ending, Event};
use model::refusal::Refusal;
use model::request::{Operation, Request};
use model::session::Session as _;
use model::time::WallMs;
use stomp::frame::Command;
use stomp::options::Options;
use stomp::version::Version;

use crate::harness::Peer;

const ERRORS: &str = "id:e\ndestination:/session/queue/request-error";
const AT: WallMs = WallMs(1_769_853_600_000);

#[test]
fn a_token_that_is_known_is_not_asked_about_again() {
    let mut peer = online(Version::V1_2, "Authorization:Bearer one\n");
    for _ in 0..2 {
        peer.feed("SEND\ndestination:/topic/a\nauthorization:bearer one\n\nx\0");
        peer.publish();
    }
    peer.feed("SEND\ndestination:/topic/a\n\nwithout one\0");
    peer.publish();
    // Nor is one on a frame that says nothing new.
    peer.feed("BEGIN\ntransaction:t\nAuthorization:Bearer two\n\n\0");
    assert!(peer.requests().is_empty());
}

#[test]
fn a_frame_waits_until_its_token_is_found_good_and_all_others_behind_it() {
    let mut peer = online(Version::V1_2, "Authorization:Bearer one\n");
    peer.feed(
        "SEND\ndestination:/topic/a\nX-Auth-Token:two\n\nfirst\0SEND\ndestination:/topic/a\n\nsecond\0",
    );
    assert_eq!(shown(&mut peer), "two");
    peer.feed("SEND\ndestination:/topic/a\nAuthorization:Bearer three\n\nthird\0");
    assert!(peer.requests().is_empty());
    peer.notify(Event::Reauthenticated(None));
    peer.feed("");
    let mut requests = peer.requests().into_iter();
    for expected in ["first", "second"] {
        assert_eq!(payload(requests.next()), expected);
    }
    // The last one is asked about in its turn.
    let Some(Request::Reauthenticate(asked)) = requests.next() else { panic!("three") };
    assert_eq!(asked.token.as_deref(), Some("three"));
    peer.notify(Event::Reauthenticated(None));
    assert_eq!(payload(peer.requests().pop()), "third");
    // It is the last good one that is known.
    peer.feed("SEND\ndestination:/topic/a\nAuthorization:Bearer three\n\nx\0");
    peer.publish();
    peer.feed("SUBSCRIBE\nid:1\ndestination:/topic/a\nAuthorization:Bearer two\n\n\0");
    assert_eq!(shown(&mut peer), "two");
    assert!(peer.is_open());
}

#[test]
fn a_refused_token_drops_its_frame_and_is_told_where_the_client_listens() {
    for version in [Version::V1_0, Version::V1_1, Version::V1_2] {
        let mut peer = online(version, "Authorization:Bearer one\n");
        peer.subscribe(ERRORS);
        let send = "SEND\ndestination:/topic/a\nAuthorization:Bearer two\nreceipt:r\nclient-request-code:42\n\
                    correlation-id:c\n\nx\0";
        for (refusal, code, at) in [
            (Refusal::BadToken("forged"), "token_refused", None),
            (Refusal::Expired { at: AT }, "token_expired", Some("2026-01-31T10:00:00Z")),
            (Refusal::NotProven("as another user"), "access_refused", None),
        ] {
            peer.feed(send);
            // What is not good is not known: it is asked about each time.
            assert_eq!(shown(&mut peer), "two");
            let text = refusal.to_string();
            peer.notify(Event::Refused(refusal));
            let message = peer.frame();
            assert_eq!(message.command, Command::Message);
            for (name, value) in [
                ("subscription", "e"),
                ("destination", "/session/queue/request-error"),
                ("error-code", code),
                ("error", &text),
                ("receipt", "r"),
                ("client-request-code", "42"),
                ("correlation-id", "c"),
                ("content-type", "text/plain"),
            ] {
                assert_eq!(message.header(name).map(|value| &**value), Some(value), "{version} {name}");
            }
            assert_eq!(message.header("expired-at").map(|value| &**value), at);
            let body = String::from_utf8_lossy(&message.body);
            assert!(body.contains("SEND") && !body.contains("two"), "{body}");
            assert!(peer.requests().is_empty() && peer.is_open(), "the frame is dropped");
        }
        peer.feed("SEND\ndestination:/topic/a\n\nall else goes on\0");
        peer.submit();
    }
}

#[test]
fn who_does_not_listen_for_it_gets_an_error_and_its_connection_ends() {
    let mut peer = online(Version::V1_2, "Authorization:Bearer one\n");
    peer.subscribe(ERRORS);
    peer.feed("UNSUBSCRIBE\nid:e\n\n\0");
    peer.unsubscription();
    peer.feed(
        "SEND\ndestination:/topic/a\nAuthorization:Bearer two\nreceipt:r\nclient-request-code:42\n\nx\0",
    );
    shown(&mut peer);
    peer.notify(Event::Refused(Refusal::Expired { at: AT }));
    let error = peer.error();
    for (name, value) in [
        ("error-code", "token_expired"),
        ("expired-at", "2026-01-31T10:00:00Z"),
        ("receipt-id", "r"),
        ("client-request-code", "42"),
    ] {
        assert_eq!(error.header(name).map(|value| &**value), Some(value));
    }
    assert!(!String::from_utf8_lossy(&error.body).contains("two"));
}

#[test]
fn what_is_denied_is_told_there_too_with_or_without_a_receipt() {
    let mut peer = Peer::online(Version::V1_2);
    peer.subscribe(ERRORS);
    let denied = || Refusal::Denied { action: "publish to", target: "a".into() };
    for receipt in ["", "receipt:r\n"] {
        peer.feed(&format!("SEND\ndestination:/topic/a\n{receipt}client-request-code:7\n\nx\0"));
        let submit = peer.submit();
        assert!(submit.answer, "to be told of which frame");
        peer.refuse(submit.ticket, denied());
        let message = peer.frame();
        assert_eq!(message.header("client-request-code").unwrap(), "7");
        assert_eq!(message.header("receipt").is_some(), !receipt.is_empty());
        assert_eq!(message.header("error-code").unwrap(), "access_refused");
    }
    // A subscription that is denied is none: its name is free.
    for _ in 0..2 {
        peer.feed("SUBSCRIBE\nid:1\ndestination:/topic/secret\nclient-request-code:8\n\n\0");
        let (ticket, _) = peer.subscription();
        peer.notify(Event::Subscribed { ticket, results: vec![Err(denied())] });
        assert_eq!(peer.frame().header("client-request-code").unwrap(), "8");
    }
    // What was sent well has its receipt as ever.
    peer.feed("SEND\ndestination:/topic/a\nreceipt:r\n\nx\0");
    let ticket = peer.submit().ticket;
    peer.accept(ticket);
    assert_eq!(peer.receipts(), ["r"]);
    // What is not about rights ends the connection as ever.
    peer.feed("SEND\ndestination:/topic/a\n\nx\0");
    let ticket = peer.submit().ticket;
    peer.refuse(ticket, Refusal::LimitReached("so many"));
    peer.error();
}

#[test]
fn where_it_is_denied_to_listen_for_it_nobody_listens() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed(&format!("SUBSCRIBE\n{ERRORS}\n\n\0"));
    let (ticket, _) = peer.subscription();
    let refusal = Refusal::Denied { action: "subscribe to", target: "x".into() };
    peer.notify(Event::Subscribed { ticket, results: vec![Err(refusal)] });
    peer.error();
}

#[test]
fn a_message_of_the_broker_is_acknowledged_like_others_and_settles_nothing() {
    let mut peer = Peer::online(Version::V1_2);
    peer.subscribe(&format!("{ERRORS}\nack:client-individual"));
    peer.feed("SEND\ndestination:/topic/a\n\nx\0");
    let ticket = peer.submit().ticket;
    peer.refuse(ticket, Refusal::Denied { action: "publish to", target: "a".into() });
    let id = peer.frame().header("ack").unwrap().to_string();
    peer.feed(&format!("ACK\nid:{id}\nreceipt:r\n\n\0"));
    assert!(peer.is_open());
    let settles = peer
        .requests()
        .into_iter()
        .any(|request| matches!(&request, Request::Submit(submit) if !submit.operations.is_empty()));
    assert!(!settles);
}

#[test]
fn who_only_listens_is_told_when_its_token_has_expired_and_cut_off_after_a_while() {
    let second = Duration::from_secs(1);
    for listens in [true, false] {
        let mut peer = online(Version::V1_2, "");
        if listens {
            peer.subscribe(ERRORS);
        }
        expires(&mut peer, 10);
        peer.pass(second * 9);
        assert!(peer.frames().is_empty());
        peer.pass(second);
        let told = peer.frames();
        assert_eq!(told.len(), usize::from(listens));
        for message in told {
            assert_eq!(message.header("error-code").unwrap(), "token_expired");
            assert_eq!(message.header("expired-at").unwrap(), "2026-01-31T10:00:00Z");
        }
        assert!(peer.session.deadline().is_some_and(|at| at <= peer.now + second * 5), "to be called again");
        peer.pass(second * 4);
        assert!(peer.frames().is_empty() && peer.is_open(), "told once");
        peer.pass(second);
        assert_eq!(peer.error().header("error-code").unwrap(), "token_expired");
    }
}

#[test]
fn a_newer_token_in_time_lets_it_stay() {
    let mut peer = online(Version::V1_2, "");
    peer.subscribe(ERRORS);
    expires(&mut peer, 10);
    peer.pass(Duration::from_secs(12));
    assert_eq!(peer.frame().header("error-code").unwrap(), "token_expired");
    peer.feed("SEND\ndestination:/topic/a\nAuthorization:Bearer two\n\nx\0");
    shown(&mut peer);
    peer.notify(Event::Reauthenticated(None));
    expires(&mut peer, 60);
    peer.publish();
    peer.pass(Duration::from_secs(59));
    assert!(peer.frames().is_empty() && peer.is_open());
    peer.pass(Duration::from_secs(1));
    assert_eq!(peer.frame().header("error-code").unwrap(), "token_expired");
}

#[test]
fn where_tokens_are_not_taken_none_is_looked_at() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SEND\ndestination:/topic/a\nAuthorization:Bearer one\n\nx\0");
    let publish = peer.publish();
    assert!(publish.properties.is_none(), "nor handed on");
}

fn online(version: Version, headers: &str) -> Peer {
    Peer::online_with(version, Options { tokens: true, ..Options::default() }, headers)
}

fn expires(peer: &mut Peer, seconds: u64) {
    let until = peer.now + Duration::from_secs(seconds);
    peer.notify(Event::Expires(Ending { at: AT, until }));
}

/// The token that is asked about, and nothing else is.
#[track_caller]
fn shown(peer: &mut Peer) -> String {
    match <[Request; 1]>::try_from(peer.requests()) {
        Ok([Request::Reauthenticate(credentials)]) => credentials.token.unwrap().to_string(),
        other => panic!("no question about a token: {other:?}"),
    }
}

#[track_caller]
fn payload(request: Option<Request>) -> String {
    let Some(Request::Submit(mut submit)) = request else { panic!("no submit: {request:?}") };
    let Some(Operation::Publish(publish)) = submit.operations.pop() else { panic!("no publish") };
    String::from_utf8(publish.payload.to_vec()).unwrap()
}
