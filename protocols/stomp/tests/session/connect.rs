//! CONNECT, CONNECTED, and what is said to those who are not let in.

use std::time::Duration;

use model::event::{Event, Farewell};
use model::name::ClientId;
use model::refusal::Refusal;
use model::request::{Identity, Open, Request};
use model::session::Session as _;
use stomp::frame::Command;
use stomp::options::Options;
use stomp::version::Version;

use crate::harness::{Peer, text};

fn opened(connect: &str) -> Open {
    let mut peer =
        Peer::greeting(Options { host_names: vec!["broker.example".into()], ..Options::default() });
    peer.feed(connect);
    match <[Request; 1]>::try_from(peer.requests()) {
        Ok([Request::Open(open)]) => *open,
        other => panic!("{connect:?}: {other:?}"),
    }
}

#[test]
fn connect_and_stomp_ask_to_open() {
    for command in ["CONNECT", "STOMP"] {
        let open = opened(&format!("{command}\naccept-version:1.2\nlogin:ann\npasscode:a\\b:c\n\n\0"));
        assert_eq!(open.identity, Identity::Connection);
        assert_eq!(open.credentials.user.unwrap(), "ann");
        assert_eq!(&open.credentials.password.unwrap()[..], b"a\\b:c");
        assert_eq!(open.credentials.client, None::<ClientId>);
        assert_eq!(open.vhost, None);
        assert!(open.will.is_none());
    }
    let open = opened("CONNECT\nlogin:\npasscode:\n\n\0");
    assert_eq!((open.credentials.user, open.credentials.password), (None, None));
    let open = opened("CONNECT\nlogin: ann\npasscode: secret\n\n\0");
    assert_eq!(open.credentials.user.unwrap(), "ann", "1.0 pads");
}

#[test]
fn a_host_of_this_machine_is_the_default_virtual_host() {
    for host in [
        "",
        "/",
        "localhost",
        "LOCALHOST",
        "localhost:61613",
        "127.0.0.1",
        "10.0.0.7:61613",
        "::1",
        "[::1]",
        "[::1]:61613",
        "broker.example",
        "Broker.Example:61613",
    ] {
        assert_eq!(opened(&format!("CONNECT\naccept-version:1.2\nhost:{host}\n\n\0")).vhost, None, "{host}");
    }
    let open = opened("CONNECT\naccept-version:1.2\nhost:shop\n\n\0");
    assert_eq!(open.vhost.as_deref(), Some("shop"));
}

#[test]
fn an_unknown_virtual_host_is_refused() {
    let mut peer = Peer::greeting(Options::default());
    peer.feed("CONNECT\naccept-version:1.2\nhost:shop\n\n\0");
    peer.notify(Event::Refused(Refusal::NoVhost("shop".into())));
    assert_eq!(peer.error().header("message").unwrap(), "virtual host \"shop\" does not exist");
}

#[test]
fn connected_says_what_was_agreed() {
    // STOMP 1.2, "CONNECTED Frame"
    for (accept, version) in
        [("", "1.0"), ("accept-version:1.0,1.1\n", "1.1"), ("accept-version:1.1,1.2\n", "1.2")]
    {
        let mut peer = Peer::greeting(Options::default());
        peer.feed(&format!("CONNECT\n{accept}heart-beat:10000,0\n\n\0"));
        peer.open();
        let frame = peer.frame();
        assert_eq!(frame.command, Command::Connected);
        assert_eq!(frame.header("version").unwrap(), version);
        assert_eq!(frame.header("session").unwrap(), "session-1");
        assert!(frame.header("server").unwrap().starts_with("DuetMQ/"));
        let heart_beat = if version == "1.0" { "0,0" } else { "0,10000" };
        assert_eq!(frame.header("heart-beat").unwrap(), heart_beat);
    }
}

#[test]
fn no_common_version_is_an_error_that_lists_ours() {
    // STOMP 1.2, "Protocol Negotiation"
    let mut peer = Peer::greeting(Options::default());
    peer.feed("CONNECT\naccept-version:2.0\n\n\0");
    let error = peer.error();
    assert_eq!(error.header("message").unwrap(), "Version mismatch");
    assert_eq!(text(&error), "Supported versions are 1.0,1.1,1.2\n");

    let options = Options { versions: vec![Version::V1_2], ..Options::default() };
    let mut peer = Peer::greeting(options);
    peer.feed("CONNECT\n\n\0");
    assert_eq!(peer.frame().header("version").unwrap(), "1.2");
    assert!(!peer.is_open());
}

#[test]
fn other_frames_must_wait_for_connect() {
    for command in ["SEND", "SUBSCRIBE", "DISCONNECT", "CONNECTED", "ACK"] {
        let mut peer = Peer::greeting(Options::default());
        let message = peer.refused(&format!("{command}\ndestination:/queue/a\nreceipt:1\n\n\0"));
        assert_eq!(message, "Illegal command");
    }
    let mut peer = Peer::greeting(Options::default());
    peer.feed("SEND\ndestination:/queue/a\nreceipt:r1\n\nhello\0");
    let error = peer.error();
    assert!(text(&error).starts_with("You must log in using CONNECT first"));
    assert_eq!(error.header("receipt-id").unwrap(), "r1");
}

#[test]
fn frames_behind_connect_wait_for_the_answer() {
    let mut peer = Peer::greeting(Options::default());
    peer.feed("CONNECT\naccept-version:1.2\n\n\0SEND\ndestination:/queue/a\n\nx\0");
    assert_eq!(peer.requests().len(), 1);
    assert!(peer.bytes.starts_with(b"SEND"));
    assert_eq!(peer.session.window(), 0);
    peer.open();
    peer.feed("");
    assert_eq!(peer.publish().key.as_str(), "a");
    assert_eq!(peer.session.window(), 1024);
}

#[test]
fn wrong_credentials_are_told_without_the_passcode() {
    let mut peer = Peer::greeting(Options::default());
    peer.feed("CONNECT\naccept-version:1.2\nlogin:ann\npasscode:geheim\n\n\0");
    peer.notify(Event::Refused(Refusal::BadCredentials("wrong user or password")));
    let error = peer.error();
    assert_eq!(error.header("message").unwrap(), "Bad CONNECT");
    assert_eq!(error.header("error-code").unwrap(), "access_refused");
    assert!(text(&error).starts_with("Access refused for user 'ann'\n"), "{}", text(&error));
    assert!(!text(&error).contains("geheim"));
}

#[test]
fn a_quoted_connect_hides_the_passcode() {
    let mut peer = Peer::greeting(Options::default());
    peer.feed("CONNECT\naccept-version:1.2\nheart-beat:x\npasscode:geheim\nAuthorization:Bearer t0ken\n\n\0");
    let error = peer.error();
    let body = text(&error);
    assert!(body.contains("passcode:***") && body.contains("Authorization:***"), "{body}");
    assert!(!body.contains("geheim") && !body.contains("t0ken"));
}

#[test]
fn a_malformed_heart_beat_is_refused() {
    for value in ["1", "a,b", "-1,0", "1,2,3", "1 000,0"] {
        let mut peer = Peer::greeting(Options::default());
        let message = peer.refused(&format!("CONNECT\naccept-version:1.1\nheart-beat:{value}\n\n\0"));
        assert_eq!(message, "Invalid header", "{value}");
    }
    Peer::online_with(Version::V1_0, Options::default(), "heart-beat:x\n");
}

#[test]
fn a_second_connect_is_an_error() {
    let mut peer = Peer::online(Version::V1_2);
    assert_eq!(peer.refused("CONNECT\naccept-version:1.2\n\n\0"), "Already connected");
}

#[test]
fn frames_of_servers_are_refused() {
    for command in ["MESSAGE", "RECEIPT", "CONNECTED", "ERROR"] {
        assert_eq!(Peer::online(Version::V1_2).refused(&format!("{command}\n\n\0")), "Illegal command");
    }
}

#[test]
fn who_says_nothing_is_cut_off() {
    let mut peer = Peer::greeting(Options::default());
    assert_eq!(peer.session.deadline(), Some(peer.now + Duration::from_secs(10)));
    peer.feed("\n\n");
    peer.pass(Duration::from_millis(9_999));
    assert!(peer.is_open());
    peer.pass(Duration::from_millis(1));
    assert_eq!(peer.error().header("message").unwrap(), "Connect timed out");
}

#[test]
fn before_login_a_frame_is_small() {
    let mut peer = Peer::greeting(Options::default());
    assert_eq!(peer.refused("SEND\ncontent-length:65537\n\n"), "Frame too large");
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SEND\ndestination:/queue/a\ncontent-length:65537\n\n");
    assert!(peer.is_open());
}

#[test]
fn what_is_no_frame_gets_an_error() {
    // STOMP 1.2, "ERROR"
    for (bytes, message) in [
        ("GET / HTTP/1.1\r\n", "Bad command"),
        ("SEND\nnocolon\n\n\0", "Malformed frame"),
        ("SEND\na:\\t\n\n\0", "Undefined escape"),
        ("SEND\ncontent-length:x\n\n\0", "Bad content-length"),
        ("SEND\ncontent-length:1\n\nxx\0", "Bad content-length"),
        ("SUBSCRIBE\n\nbody\0", "Malformed frame"),
        ("SEND\ncontent-length:99999999\n\n", "Frame too large"),
    ] {
        assert_eq!(Peer::online(Version::V1_2).refused(bytes), message, "{bytes:?}");
    }
}

#[test]
fn after_an_error_nothing_is_read() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("NONSENSE\n\n\0SEND\ndestination:/queue/a\nreceipt:1\n\nx\0");
    assert!(peer.requests().is_empty());
    assert_eq!(peer.frames().len(), 1);
    assert_eq!(peer.session.deadline(), None);
}

#[test]
fn a_farewell_is_said() {
    for (farewell, message) in [
        (Farewell::ShuttingDown, "Broker stopping"),
        (Farewell::Kicked, "Connection closed"),
        (Farewell::TakenOver, "Connection taken over"),
    ] {
        let mut peer = Peer::online(Version::V1_2);
        peer.notify(Event::Closing(farewell));
        assert_eq!(peer.error().header("message").unwrap(), message);
    }
    let mut peer = Peer::greeting(Options::default());
    peer.notify(Event::Closing(Farewell::ShuttingDown));
    assert_eq!(peer.error().command, Command::Error);
}

#[test]
fn what_cannot_be_read_is_quoted_without_secrets_and_its_receipt_is_named() {
    // STOMP 1.2, "ERROR"
    for (version, frame, receipt) in [
        (Version::V1_2, "SEND\nreceipt:a\\cb\npasscode:s3cret\nx:\\t\n\nbody\0", "a:b"),
        (Version::V1_1, "SEND\nreceipt:7\nAuthorization:s3cret\nnothing\n\n\0", "7"),
        (Version::V1_0, "SEND\nreceipt:a\\cb\npasscode:s3cret\ncontent-length:x\n\n\0", "a\\cb"),
        (Version::V1_2, "SUBSCRIBE\nreceipt:7\nX-Auth-Token:s3cret\n\nbody\0", "7"),
        (Version::V1_2, "SEND\nreceipt:7\n passcode :s3cret\ncontent-length:1\n\nbody\0", "7"),
    ] {
        let mut peer = Peer::online(version);
        peer.feed(frame);
        let error = peer.frame();
        assert_eq!(error.header("receipt-id").unwrap(), receipt, "{frame}");
        let text = String::from_utf8(error.body.to_vec()).unwrap();
        assert!(text.contains(frame.lines().next().unwrap()) && text.contains("***"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    // What is no frame at all is not repeated.
    let mut peer = Peer::greeting(Options::default());
    peer.feed("GET / HTTP/1.1\nAuthorization: s3cret\n\n");
    let error = peer.frame();
    assert!(!String::from_utf8(error.body.to_vec()).unwrap().contains("s3cret"));
}
