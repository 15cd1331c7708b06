//! DISCONNECT: the work first, then the receipt, then the end.

use model::outbox::By;
use model::refusal::Refusal;
use model::request::{Close, Request};
use model::session::Session as _;
use stomp::version::Version;

use crate::harness::Peer;

#[test]
fn disconnect_waits_for_all_that_was_asked() {
    // STOMP 1.2, "DISCONNECT"
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SEND\ndestination:/queue/a\nreceipt:s\n\nx\0DISCONNECT\nreceipt:bye\n\n\0\n\nSEND\ndestination:/queue/a\n\nx\0");
    let requests = peer.requests();
    let [Request::Submit(send), Request::Submit(last)] = &requests[..] else { panic!("{requests:?}") };
    assert!(last.operations.is_empty() && last.answer);
    assert!(peer.bytes.is_empty(), "nothing is read after DISCONNECT");
    assert_eq!(peer.session.window(), 0);
    assert!(peer.is_open() && peer.frames().is_empty());
    peer.accept(send.ticket);
    assert_eq!(peer.receipts(), ["s"]);
    assert!(peer.is_open());
    peer.accept(last.ticket);
    assert_eq!(peer.receipts(), ["bye"]);
    assert!(matches!(peer.requests()[..], [Request::Close(Close { discard_will: true, expiry_s: None })]));
    assert_eq!(peer.out.close.as_ref().map(|close| close.by), Some(By::Client));
}

#[test]
fn disconnect_without_receipt_ends_silently() {
    let mut peer = Peer::online(Version::V1_0);
    peer.feed("BEGIN\ntransaction:t\n\n\0SEND\ndestination:/queue/a\ntransaction:t\n\nx\0DISCONNECT\n\n\0");
    let submit = peer.submit();
    assert!(submit.operations.is_empty(), "open transactions are aborted");
    peer.accept(submit.ticket);
    assert!(peer.frames().is_empty() && !peer.is_open());
}

#[test]
fn a_refusal_that_comes_late_is_still_told() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SEND\ndestination:/queue/a\n\nx\0DISCONNECT\nreceipt:bye\n\n\0");
    let requests = peer.requests();
    let [Request::Submit(send), Request::Submit(_)] = &requests[..] else { panic!("{requests:?}") };
    peer.refuse(send.ticket, Refusal::ShuttingDown);
    assert_eq!(peer.error().header("error-code").unwrap(), "connection_forced");
    assert!(peer.requests().is_empty(), "no good-bye");
}
