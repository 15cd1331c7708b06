//! ACK and NACK.

use model::delivery::{DeliveryTag, Outcome};
use model::event::Event;
use model::name::ConsumerId;
use model::request::Settle;
use stomp::version::Version;

use crate::harness::{Peer, settles_of};

fn ids(peer: &mut Peer, consumer: ConsumerId, tags: impl IntoIterator<Item = u64>) -> Vec<String> {
    tags.into_iter()
        .map(|tag| peer.message(consumer, tag).header("message-id").unwrap().to_string())
        .collect()
}

fn settled(consumer: ConsumerId, outcome: Outcome, tags: &[u64]) -> Vec<Settle> {
    tags.iter().map(|tag| Settle { consumer, tag: DeliveryTag(*tag), outcome }).collect()
}

#[test]
fn in_client_mode_an_ack_means_all_before_it_of_its_subscription() {
    // STOMP 1.2, "SUBSCRIBE ack Header"
    let mut peer = Peer::online(Version::V1_2);
    let one = peer.subscribe("id:1\ndestination:/queue/a\nack:client");
    let two = peer.subscribe("id:2\ndestination:/queue/b\nack:client");
    let first = ids(&mut peer, one, [10, 11]);
    ids(&mut peer, two, [20]);
    let second = ids(&mut peer, one, [12, 13]);
    peer.feed(&format!("ACK\nid:{}\n\n\0", second[0]));
    assert_eq!(peer.settles(), settled(one, Outcome::Accepted, &[10, 11, 12]));
    peer.feed(&format!("NACK\nid:{}\n\n\0", second[1]));
    assert_eq!(peer.settles(), settled(one, Outcome::Requeued, &[13]));
    assert_eq!(peer.refused(&format!("ACK\nid:{}\n\n\0", first[0])), "Unknown message", "settled already");
}

#[test]
fn in_client_individual_mode_an_ack_means_its_message() {
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:1\ndestination:/queue/a\nack:client-individual");
    let ids = ids(&mut peer, consumer, [7, 8, 9]);
    peer.feed(&format!("ACK\nid:{}\n\n\0", ids[2]));
    assert_eq!(peer.settles(), settled(consumer, Outcome::Accepted, &[9]));
    peer.feed(&format!("NACK\nid:{}\nrequeue:false\n\n\0", ids[0]));
    assert_eq!(peer.settles(), settled(consumer, Outcome::Rejected, &[7]));
    peer.feed(&format!("NACK\nid:{}\nrequeue:true\n\n\0", ids[1]));
    assert_eq!(peer.settles(), settled(consumer, Outcome::Requeued, &[8]));
}

#[test]
fn nack_is_cumulative_as_ack_is() {
    // STOMP 1.2, "NACK"
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:1\ndestination:/queue/a\nack:client");
    let ids = ids(&mut peer, consumer, [1, 2, 3]);
    peer.feed(&format!("NACK\nid:{}\nrequeue:false\n\n\0", ids[1]));
    assert_eq!(peer.settles(), settled(consumer, Outcome::Rejected, &[1, 2]));
}

#[test]
fn before_1_2_a_message_is_named_by_its_message_id() {
    for version in [Version::V1_0, Version::V1_1] {
        let mut peer = Peer::online(version);
        let consumer = peer.subscribe("id:a:b\ndestination:/queue/a\nack:client");
        let ids = ids(&mut peer, consumer, [1]);
        let id = if version == Version::V1_0 { ids[0].clone() } else { ids[0].replace(':', "\\c") };
        peer.feed(&format!("ACK\nsubscription:a\nmessage-id:{id}\n\n\0"));
        assert_eq!(peer.settles(), settled(consumer, Outcome::Accepted, &[1]));
        assert_eq!(peer.refused("ACK\nid:x\n\n\0"), "Missing Header");
    }
    assert_eq!(Peer::online(Version::V1_2).refused("ACK\nmessage-id:x\n\n\0"), "Missing Header");
}

#[test]
fn a_subscription_without_id_is_acknowledged_too() {
    let mut peer = Peer::online(Version::V1_1);
    let consumer = peer.subscribe("destination:/queue/a\nack:client");
    let ids = ids(&mut peer, consumer, [1]);
    peer.feed(&format!("ACK\nmessage-id:{}\n\n\0", ids[0]));
    assert_eq!(peer.settles(), settled(consumer, Outcome::Accepted, &[1]));
}

#[test]
fn unknown_ids_are_errors() {
    for id in [
        "x",
        "",
        "@@",
        "@@@@1",
        "T_1@@session-1@@",
        "T_1@@session-1@@2",
        "T_1@@session-1@@0",
        "T_1@@session-1@@+1",
        "T_1@@session-2@@1",
        "T_1@@session-1@@18446744073709551616",
        "T_1@@session-1@@1qq",
        "T_1@@session-1@@x",
    ] {
        let mut peer = Peer::online(Version::V1_2);
        let consumer = peer.subscribe("id:1\ndestination:/queue/a\nack:client-individual");
        ids(&mut peer, consumer, [1]);
        peer.feed(&format!("ACK\nid:{id}\nreceipt:r\n\n\0"));
        let error = peer.error();
        assert_eq!(error.header("message").unwrap(), "Unknown message", "{id}");
        assert_eq!(error.header("receipt-id").unwrap(), "r");
    }
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:1\ndestination:/queue/a");
    let ids = ids(&mut peer, consumer, [0]);
    assert_eq!(peer.refused(&format!("ACK\nid:{}\n\n\0", ids[0])), "Unknown message", "ack:auto");
}

#[test]
fn an_ack_after_unsubscribe_is_accepted_and_does_nothing() {
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:1\ndestination:/queue/a\nack:client");
    let ids = ids(&mut peer, consumer, [1, 2]);
    peer.feed("UNSUBSCRIBE\nid:1\n\n\0");
    let (ticket, _) = peer.unsubscription();
    peer.feed(&format!("ACK\nid:{}\n\n\0", ids[0]));
    assert!(peer.requests().is_empty() && peer.is_open());
    peer.notify(Event::Unsubscribed { ticket, existed: vec![true] });
    // Also when another one has the name by now.
    peer.subscribe("id:1\ndestination:/queue/a\nack:client");
    peer.feed(&format!("ACK\nid:{}\nreceipt:r\n\n\0", ids[1]));
    let submit = peer.submit();
    assert!(submit.operations.is_empty() && submit.answer);
    peer.accept(submit.ticket);
    assert_eq!(peer.receipts(), ["r"]);
}

#[test]
fn a_message_at_qos_0_has_nothing_to_settle() {
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:1\ndestination:/topic/a\nack:client");
    let ids = ids(&mut peer, consumer, [5, 0, 6]);
    peer.feed(&format!("ACK\nid:{}\n\n\0", ids[1]));
    assert_eq!(peer.settles(), settled(consumer, Outcome::Accepted, &[5]), "what was before it, still");
    peer.feed(&format!("ACK\nid:{}\n\n\0", ids[1]));
    assert!(peer.requests().is_empty() && peer.is_open());
}

#[test]
fn the_receipt_of_an_ack_comes_when_it_is_settled() {
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:1\ndestination:/queue/a\nack:client");
    let ids = ids(&mut peer, consumer, [5]);
    peer.feed(&format!("ACK\nid:{}\nreceipt:r\n\n\0", ids[0]));
    let submit = peer.submit();
    let ticket = submit.ticket;
    assert!(submit.answer && peer.frames().is_empty());
    assert_eq!(settles_of(submit), settled(consumer, Outcome::Accepted, &[5]));
    peer.accept(ticket);
    assert_eq!(peer.receipts(), ["r"]);
}
