//! Heart-beats, both ways.

use std::time::Duration;

use model::outbox::By;
use model::session::Session as _;
use stomp::options::Options;
use stomp::version::Version;

use crate::harness::{Peer, delivery, topic};

#[test]
fn a_silent_client_is_given_up_after_two_intervals() {
    // STOMP 1.2, "Heart-beating"
    let mut peer = Peer::online_with(Version::V1_2, Options::default(), "heart-beat:4000,0\n");
    assert_eq!(peer.session.deadline(), Some(peer.now + Duration::from_secs(8)));
    peer.pass(Duration::from_secs(7));
    assert!(peer.is_open() && peer.raw().is_empty());
    peer.feed("\n");
    peer.pass(Duration::from_secs(7));
    assert!(peer.is_open(), "any byte is a sign of life");
    peer.feed("SEND\ndesti");
    peer.pass(Duration::from_secs(7));
    // The connection calls again after every event, also without new bytes: that is no sign of life.
    peer.feed("");
    peer.pass(Duration::from_secs(1));
    assert_eq!(peer.out.close.as_ref().map(|close| close.by), Some(By::Timeout));
    assert!(peer.raw().is_empty());
}

#[test]
fn after_a_pause_of_our_own_a_client_gets_one_fresh_interval() {
    let mut peer = Peer::online_with(Version::V1_2, Options::default(), "heart-beat:4000,0\n");
    peer.pass(Duration::from_secs(60));
    assert!(peer.is_open());
    assert_eq!(peer.session.deadline(), Some(peer.now + Duration::from_secs(8)));
    peer.pass(Duration::from_secs(8));
    assert_eq!(peer.out.close.as_ref().map(|close| close.by), Some(By::Timeout));
}

#[test]
fn the_server_beats_when_it_has_nothing_to_say() {
    let mut peer = Peer::online_with(Version::V1_1, Options::default(), "heart-beat:0,10000\n");
    let consumer = peer.subscribe("id:1\ndestination:/topic/a");
    peer.pass(Duration::from_secs(4));
    assert!(peer.raw().is_empty());
    peer.pass(Duration::from_secs(1));
    assert_eq!(&peer.raw()[..], b"\n");
    peer.pass(Duration::from_secs(4));
    peer.deliver(vec![delivery(consumer, 1, &topic("a", "x"))]);
    peer.raw();
    peer.pass(Duration::from_secs(4));
    assert!(peer.raw().is_empty(), "a message is a sign of life");
    assert_eq!(peer.session.deadline(), Some(peer.now + Duration::from_secs(1)));
}

#[test]
fn without_wishes_there_are_no_timers() {
    for headers in ["", "heart-beat:0,0\n"] {
        let peer = Peer::online_with(Version::V1_2, Options::default(), headers);
        assert_eq!(peer.session.deadline(), None);
    }
    let peer = Peer::online_with(Version::V1_0, Options::default(), "heart-beat:1000,1000\n");
    assert_eq!(peer.session.deadline(), None, "1.0 has no heart-beats");
}
