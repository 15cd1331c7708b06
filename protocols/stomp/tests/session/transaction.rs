//! BEGIN, COMMIT, ABORT.

use std::time::Duration;

use model::delivery::{DeliveryTag, Outcome};
use model::refusal::Refusal;
use model::request::{Operation, Settle};
use model::session::Session as _;
use stomp::options::Options;
use stomp::version::Version;

use crate::harness::{Peer, settles_of, text};

#[test]
fn a_transaction_is_one_submit_at_commit() {
    // STOMP 1.2, "BEGIN"
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:1\ndestination:/queue/in\nack:client-individual");
    let id = peer.message(consumer, 7).header("ack").unwrap().to_string();
    peer.feed("BEGIN\ntransaction:t\nreceipt:b\n\n\0");
    assert_eq!(peer.receipts(), ["b"], "at once");
    peer.feed("SEND\ndestination:/queue/out\ntransaction:t\nreceipt:s1\nfoo:bar\n\none\0");
    peer.feed(&format!("ACK\nid:{id}\ntransaction:t\nreceipt:a\n\n\0"));
    peer.feed("SEND\ndestination:/queue/out\ntransaction:t\n\ntwo\0");
    assert!(peer.requests().is_empty() && peer.frames().is_empty());
    peer.feed("COMMIT\ntransaction:t\nreceipt:c\n\n\0");
    let submit = peer.submit();
    assert!(submit.answer);
    let [Operation::Publish(one), Operation::Settle(settle), Operation::Publish(two)] =
        &submit.operations[..]
    else {
        panic!("{submit:?}")
    };
    assert_eq!((&one.payload[..], &two.payload[..]), (&b"one"[..], &b"two"[..]));
    assert_eq!(
        one.properties.as_ref().unwrap().headers,
        [("foo".into(), "bar".into())],
        "no transaction header"
    );
    assert_eq!(*settle, Settle { consumer, tag: DeliveryTag(7), outcome: Outcome::Accepted });
    assert!(peer.frames().is_empty());
    peer.accept(submit.ticket);
    assert_eq!(peer.receipts(), ["s1", "a", "c"]);
}

#[test]
fn an_empty_transaction_commits() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("BEGIN\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0");
    assert!(peer.requests().is_empty() && peer.is_open());
    peer.feed("BEGIN\ntransaction:t\n\n\0COMMIT\ntransaction:t\nreceipt:c\n\n\0");
    let submit = peer.submit();
    peer.accept(submit.ticket);
    assert_eq!(peer.receipts(), ["c"]);
}

#[test]
fn a_refused_commit_names_its_own_receipt_alone() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("BEGIN\ntransaction:t\n\n\0SEND\ndestination:/queue/a\ntransaction:t\nreceipt:s\n\nx\0");
    peer.feed("COMMIT\ntransaction:t\nreceipt:c\n\n\0");
    let ticket = peer.submit().ticket;
    peer.refuse(ticket, Refusal::LimitReached("messages that may wait in the queue"));
    let frames = peer.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].header("receipt-id").unwrap(), "c");
    assert!(!peer.is_open());
}

#[test]
fn abort_undoes_what_was_acknowledged() {
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:1\ndestination:/queue/in\nack:client");
    let ids: Vec<String> =
        (1..=4).map(|tag| peer.message(consumer, tag).header("ack").unwrap().to_string()).collect();
    peer.feed("BEGIN\ntransaction:t\n\n\0");
    peer.feed(&format!("ACK\nid:{}\ntransaction:t\n\n\0", ids[1]));
    peer.feed("SEND\ndestination:/queue/out\ntransaction:t\nreceipt:never\n\nx\0");
    peer.feed("ABORT\ntransaction:t\nreceipt:a\n\n\0");
    assert!(peer.requests().is_empty());
    assert_eq!(peer.receipts(), ["a"]);
    peer.feed(&format!("ACK\nid:{}\n\n\0", ids[2]));
    let tags: Vec<u64> = peer.settles().iter().map(|settle| settle.tag.0).collect();
    assert_eq!(tags, [1, 2, 3], "they wait again, in order");
}

#[test]
fn an_ack_in_a_transaction_is_not_settled_twice() {
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:1\ndestination:/queue/in\nack:client");
    let ids: Vec<String> =
        (1..=2).map(|tag| peer.message(consumer, tag).header("ack").unwrap().to_string()).collect();
    peer.feed("BEGIN\ntransaction:t\n\n\0");
    peer.feed(&format!("NACK\nid:{}\ntransaction:t\n\n\0", ids[0]));
    peer.feed(&format!("ACK\nid:{}\n\n\0", ids[1]));
    assert_eq!(peer.settles(), [Settle { consumer, tag: DeliveryTag(2), outcome: Outcome::Accepted }]);
    peer.feed("COMMIT\ntransaction:t\n\n\0");
    let submit = peer.submit();
    assert!(!submit.answer);
    assert_eq!(settles_of(submit), [Settle { consumer, tag: DeliveryTag(1), outcome: Outcome::Requeued }]);
}

#[test]
fn what_a_subscription_gave_back_is_not_settled_at_commit() {
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:1\ndestination:/queue/in\nack:client");
    let id = peer.message(consumer, 1).header("ack").unwrap().to_string();
    peer.feed(&format!("BEGIN\ntransaction:t\n\n\0ACK\nid:{id}\ntransaction:t\n\n\0UNSUBSCRIBE\nid:1\n\n\0"));
    peer.unsubscription();
    peer.feed("COMMIT\ntransaction:t\nreceipt:c\n\n\0");
    assert!(peer.submit().operations.is_empty());
}

#[test]
fn names_are_checked() {
    for frames in [
        "BEGIN\ntransaction:t\n\n\0BEGIN\ntransaction:t\n\n\0",
        "COMMIT\ntransaction:t\n\n\0",
        "ABORT\ntransaction:t\n\n\0",
        "SEND\ndestination:/queue/a\ntransaction:t\n\nx\0",
        "ACK\nid:x\ntransaction:t\n\n\0",
        "BEGIN\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0COMMIT\ntransaction:t\n\n\0",
    ] {
        assert_eq!(Peer::online(Version::V1_2).refused(frames), "Bad transaction", "{frames:?}");
    }
    for command in ["BEGIN", "COMMIT", "ABORT"] {
        let message = Peer::online(Version::V1_2).refused(&format!("{command}\nreceipt:1\n\n\0"));
        assert_eq!(message, "Missing transaction");
    }
}

#[test]
fn transactions_have_limits() {
    let options = Options {
        transactions_max: 2,
        transaction_frames_max: 2,
        transaction_bytes_max: 2000,
        ..Options::default()
    };
    let mut peer = Peer::online_with(Version::V1_2, options.clone(), "");
    let message =
        peer.refused("BEGIN\ntransaction:1\n\n\0BEGIN\ntransaction:2\n\n\0BEGIN\ntransaction:3\n\n\0");
    assert_eq!(message, "Too many transactions");
    let send = "SEND\ndestination:/queue/a\ntransaction:1\n\nx\0";
    let mut peer = Peer::online_with(Version::V1_2, options.clone(), "");
    peer.feed(&format!("BEGIN\ntransaction:1\n\n\0{send}{send}"));
    assert!(peer.is_open());
    assert_eq!(peer.refused(send), "Transaction too large");
    let mut peer = Peer::online_with(Version::V1_2, options, "");
    peer.feed("BEGIN\ntransaction:1\n\n\0");
    let large = format!("SEND\ndestination:/queue/a\ntransaction:1\n\n{}\0", "x".repeat(2000));
    assert_eq!(peer.refused(&large), "Transaction too large");
}

#[test]
fn a_transaction_may_not_stay_open_for_ever() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("BEGIN\ntransaction:t1\n\n\0");
    assert_eq!(peer.session.deadline(), Some(peer.now + Duration::from_secs(60)));
    peer.pass(Duration::from_secs(59));
    assert!(peer.is_open());
    peer.pass(Duration::from_secs(1));
    let error = peer.error();
    assert_eq!(error.header("message").unwrap(), "Transaction timed out");
    assert!(text(&error).contains("'t1'"));
}
