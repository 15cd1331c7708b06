//! SUBSCRIBE and UNSUBSCRIBE.

use bytestring::ByteString;
use model::event::Event;
use model::qos::Qos::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use model::refusal::Refusal;
use model::request::Ticket;
use mqtt::Options;
use mqtt::packet::{Filter, Packet, Properties, RetainHandling, Subscribe, SubscriptionId, Unsubscribe};
use mqtt::version::Version::{V5, V31, V311};

use crate::driver::{Client, connect, id};

#[test]
fn a_subscription_asks_for_what_its_options_say() {
    // 3.8.3.1
    let mut client = Client::open(V5);
    let properties = Properties {
        subscription_ids: SubscriptionId::new(7).into_iter().collect(),
        ..Properties::default()
    };
    let filters = vec![
        Filter::plain("a/+/#".into(), ExactlyOnce),
        Filter {
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::IfNew,
            ..Filter::plain("b".into(), AtLeastOnce)
        },
        Filter::plain("$share/g/c".into(), AtMostOnce),
        Filter {
            retain_handling: RetainHandling::Never,
            ..Filter::plain("$exchange/x/k/#".into(), AtMostOnce)
        },
    ];
    client.send(Packet::Subscribe(Subscribe { id: id(3), filters, properties: Some(Box::new(properties)) }));
    assert_eq!(
        client.requests(),
        [
            "1: subscribe amq.topic a/+/# qos 2 ids [7] Always, amq.topic b qos 1 ids [7] no-local as-published IfNew, \
          amq.topic c share g qos 0 ids [7] Never, x k/# qos 0 ids [7] Never"
        ]
    );
    client.event(Event::Subscribed {
        ticket: Ticket(1),
        results: vec![Ok(ExactlyOnce), Ok(AtLeastOnce), Ok(AtMostOnce), Ok(AtMostOnce)],
    });
    assert_eq!(client.says(), ["SUBACK 3 [GrantedQos2, GrantedQos1, Success, Success]"]);
}

#[test]
fn each_filter_is_answered_in_its_place() {
    // [MQTT-3.8.4-6], [MQTT-3.9.3-1]
    let mut client = Client::open(V5);
    subscribe(&mut client, &["a", "b#", "$share//x", "c", "$queue/jobs", "d/#/e", &"x/".repeat(128)]);
    assert_eq!(client.requests(), ["1: subscribe amq.topic a qos 1 Always, amq.topic c qos 1 Always"]);
    let denied = Refusal::Denied { action: "subscribe", target: "c".to_owned() };
    client.event(Event::Subscribed { ticket: Ticket(1), results: vec![Ok(AtLeastOnce), Err(denied)] });
    assert_eq!(
        client.says(),
        [
            "SUBACK 1 [GrantedQos1, TopicFilterInvalid, TopicFilterInvalid, NotAuthorized, TopicFilterInvalid, \
          TopicFilterInvalid, TopicFilterInvalid]"
        ]
    );
}

#[test]
fn a_subscribe_without_a_good_filter_is_answered_at_once() {
    let mut client = Client::open(V5);
    subscribe(&mut client, &["a#"]);
    assert_eq!(client.requests(), [""; 0]);
    assert_eq!(client.says(), ["SUBACK 1 [TopicFilterInvalid]"]);
    let mut client = Client::open(V311);
    subscribe(&mut client, &["$share/g"]);
    assert_eq!(client.says(), ["SUBACK 1 [UnspecifiedError]"]);
}

#[test]
fn in_3_x_a_filter_that_is_none_ends_the_connection() {
    // [MQTT-4.7.1-2], [MQTT-4.7.1-3] of 3.1.1
    for version in [V31, V311] {
        for filter in ["a#", "a/#/b", "a+"] {
            let mut client = Client::open(version);
            subscribe(&mut client, &[filter]);
            assert!(client.closed().is_some(), "{filter}");
            let mut client = Client::open(version);
            unsubscribe(&mut client, &[filter]);
            assert!(client.closed().is_some(), "{filter}");
        }
    }
}

#[test]
fn what_is_not_allowed_looks_granted_in_3_1() {
    // 3.1, 3.9: there is no code for it.
    for (version, expected) in [(V31, "SUBACK 1 [GrantedQos1]"), (V311, "SUBACK 1 [UnspecifiedError]")] {
        let mut client = Client::open(version);
        subscribe(&mut client, &["a"]);
        let denied = Refusal::Denied { action: "subscribe", target: "a".to_owned() };
        client.event(Event::Subscribed { ticket: Ticket(1), results: vec![Err(denied)] });
        assert_eq!(client.says(), [expected]);
    }
}

#[test]
fn one_packet_does_not_ask_for_too_much() {
    let filters: Vec<String> = (0..3).map(|n| n.to_string()).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let options = Options { subscriptions_per_packet: 2, ..Options::default() };
    let mut client = Client::open_with(connect(V5), options);
    subscribe(&mut client, &filters);
    assert_eq!(client.says(), ["SUBACK 1 [QuotaExceeded, QuotaExceeded, QuotaExceeded]"]);
    subscribe(&mut client, &filters[..2]);
    assert_eq!(client.requests().len(), 1);
}

#[test]
fn unsuback_says_what_was_there() {
    // [MQTT-3.10.4-5], [MQTT-3.11.3-1]
    let mut client = Client::open(V5);
    unsubscribe(&mut client, &["a", "b#", "$share/g/c"]);
    assert_eq!(client.requests(), ["1: unsubscribe amq.topic a, amq.topic c share g"]);
    client.event(Event::Unsubscribed { ticket: Ticket(1), existed: vec![true, false] });
    assert_eq!(client.says(), ["UNSUBACK 1 [Success, TopicFilterInvalid, NoSubscriptionExisted]"]);
    let mut client = Client::open(V311);
    unsubscribe(&mut client, &["a"]);
    client.event(Event::Unsubscribed { ticket: Ticket(1), existed: vec![false] });
    assert_eq!(&client.bytes()[..], b"\xB0\x02\x00\x01");
}

#[test]
fn answers_may_come_in_any_order() {
    let mut client = Client::open(V311);
    subscribe(&mut client, &["a"]);
    client.send(Packet::Unsubscribe(Unsubscribe { id: id(2), filters: vec!["b".into()], properties: None }));
    client.event(Event::Unsubscribed { ticket: Ticket(2), existed: vec![true] });
    client.event(Event::Subscribed { ticket: Ticket(1), results: vec![Ok(AtMostOnce)] });
    assert_eq!(client.says(), ["UNSUBACK 2 []", "SUBACK 1 [Success]"]);
}

#[test]
fn a_client_that_asks_faster_than_it_is_answered_is_not_read() {
    let mut client = Client::open(V311);
    let asks = b"\x82\x06\x00\x01\x00\x01a\x00".repeat(100);
    client.raw(&asks);
    assert_eq!(client.requests().len(), 64);
    client.event(Event::Subscribed { ticket: Ticket(1), results: vec![Ok(AtMostOnce)] });
    assert_eq!(client.requests().len(), 1);
}

fn subscribe(client: &mut Client, filters: &[&str]) {
    let filters = filters.iter().map(|text| Filter::plain(ByteString::from(*text), AtLeastOnce)).collect();
    client.send(Packet::Subscribe(Subscribe { id: id(1), filters, properties: None }));
}

fn unsubscribe(client: &mut Client, filters: &[&str]) {
    let filters = filters.iter().map(|text| ByteString::from(*text)).collect();
    client.send(Packet::Unsubscribe(Unsubscribe { id: id(1), filters, properties: None }));
}
