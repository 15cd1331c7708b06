//! Deliveries out, to settled.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use model::delivery::{Delivery, Stage};
use model::name::ExchangeName;
use model::outbox::CHAIN_MIN;
use model::properties::{Properties as Said, ReplyTo};
use model::qos::Qos::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use model::session::Session as _;
use mqtt::Options;
use mqtt::packet::{Ack, Packet, Properties};
use mqtt::reason::Reason;
use mqtt::version::Version::{V5, V31, V311};

use crate::driver::{Client, ack, connect, connect_with, deliver, delivery, id, message, with_properties};

#[test]
fn each_qos_has_its_exchange() {
    // 4.3
    for version in [V31, V311, V5] {
        let mut client = Client::open(version);
        client.deliver(vec![delivery(0, AtMostOnce), delivery(1, AtLeastOnce), delivery(2, ExactlyOnce)]);
        assert_eq!(client.says(), ["PUBLISH a/b qos 0", "PUBLISH 1 a/b qos 1", "PUBLISH 2 a/b qos 2"]);
        client.send(Packet::Puback(ack(1)));
        assert_eq!(client.requests(), ["settle 1 Accepted"]);
        client.send(Packet::Pubrec(ack(2)));
        assert_eq!(client.requests(), ["1: settle 2 Received"]);
        assert_eq!(client.says(), [""; 0], "PUBREL waits until PUBREC is durable");
        client.submitted(1);
        assert_eq!(client.says(), ["PUBREL 2"]);
        client.send(Packet::Pubcomp(ack(2)));
        assert_eq!(client.requests(), ["settle 2 Accepted"]);
    }
}

#[test]
fn the_packet_id_follows_from_the_tag() {
    // 2.2.1
    let mut client = Client::open(V311);
    client.deliver(vec![delivery(65_535, AtLeastOnce), delivery(65_536, AtLeastOnce)]);
    assert_eq!(client.says(), ["PUBLISH 65535 a/b qos 1", "PUBLISH 1 a/b qos 1"]);
}

#[test]
fn what_was_sent_before_is_sent_as_far_as_it_had_come() {
    // [MQTT-4.4.0-1], [MQTT-3.3.1-1], [MQTT-4.3.3-6]
    let mut client = Client::open(V311);
    client.deliver(vec![
        Delivery { attempts: 1, ..delivery(1, AtLeastOnce) },
        Delivery { attempts: 1, stage: Stage::Received, ..delivery(2, ExactlyOnce) },
        Delivery { attempts: 2, ..delivery(3, ExactlyOnce) },
        Delivery { attempts: 1, ..delivery(0, AtMostOnce) },
    ]);
    assert_eq!(
        client.says(),
        ["PUBLISH 1 a/b qos 1 dup", "PUBREL 2", "PUBLISH 3 a/b qos 2 dup", "PUBLISH a/b qos 0"]
    );
    assert_eq!(client.session.window(), 61);
    client.send(Packet::Pubcomp(ack(2)));
    assert_eq!(client.requests(), ["settle 2 Accepted"]);
}

#[test]
fn the_window_is_what_the_client_can_take() {
    // [MQTT-3.3.4-9]
    let window = |receive_maximum: Option<u16>, inflight_max: u16| {
        let properties = Properties {
            receive_maximum: receive_maximum.and_then(NonZeroU16::new),
            ..Properties::default()
        };
        let options = Options { inflight_max, ..Options::default() };
        Client::open_with(connect_with(properties), options).session.window()
    };
    assert_eq!(window(None, 64), 64);
    assert_eq!(window(Some(10), 64), 10);
    assert_eq!(window(Some(100), 64), 64);
    assert_eq!(Client::stranger(V5, Options::default()).session.window(), 0);

    let options = Options { inflight_max: 2, ..Options::default() };
    let mut client = Client::open_with(connect(V311), options);
    client.deliver(vec![delivery(0, AtMostOnce)]);
    assert_eq!(client.session.window(), 2, "QoS 0 does not count");
    client.deliver(vec![delivery(1, ExactlyOnce), delivery(2, AtLeastOnce)]);
    assert_eq!(client.session.window(), 0);
    client.send(Packet::Pubrec(ack(1)));
    client.submitted(1);
    assert_eq!(client.session.window(), 0, "a QoS 2 place is taken until PUBCOMP");
    client.says();
    // [MQTT-3.12.4-1], [MQTT-4.9.0-3]
    client.send(Packet::Pingreq);
    assert_eq!(client.says(), ["PINGRESP"]);
    client.send(Packet::Pubcomp(ack(1)));
    client.send(Packet::Puback(ack(2)));
    assert_eq!(client.session.window(), 2);
}

#[test]
fn an_error_ends_the_exchange() {
    // [MQTT-4.3.3-4]
    let mut client = Client::open(V5);
    client.deliver(vec![delivery(1, ExactlyOnce), delivery(2, AtLeastOnce)]);
    client.says();
    client.send(Packet::Pubrec(Ack { id: id(1), reason: Reason::QuotaExceeded, properties: None }));
    client.send(Packet::Puback(Ack { id: id(2), reason: Reason::NotAuthorized, properties: None }));
    assert_eq!(client.requests(), ["settle 1 Accepted", "settle 2 Accepted"]);
    assert_eq!(client.says(), [""; 0], "no PUBREL");
    assert_eq!(client.session.window(), 64);
}

#[test]
fn a_busy_id_holds_up_all_that_follows() {
    let mut client = Client::open(V311);
    client.deliver(vec![delivery(1, AtLeastOnce)]);
    client.deliver(vec![
        delivery(65_536, ExactlyOnce),
        delivery(0, AtMostOnce),
        delivery(65_537, AtLeastOnce),
    ]);
    assert_eq!(client.says(), ["PUBLISH 1 a/b qos 1"]);
    assert_eq!(client.session.window(), 0);
    client.send(Packet::Puback(ack(1)));
    assert_eq!(client.says(), ["PUBLISH 1 a/b qos 2", "PUBLISH a/b qos 0", "PUBLISH 2 a/b qos 1"]);
    assert_eq!(client.session.window(), 62);
    client.send(Packet::Pubrec(ack(1)));
    assert_eq!(client.requests(), ["settle 1 Accepted", "1: settle 65536 Received"]);
}

#[test]
fn repeated_and_unknown_acknowledgements_do_no_harm() {
    let mut client = Client::open(V311);
    client.deliver(vec![delivery(1, ExactlyOnce)]);
    client.says();
    client.send(Packet::Pubrec(ack(1)));
    client.send(Packet::Pubrec(ack(1)));
    assert_eq!(client.requests(), ["1: settle 1 Received"]);
    client.submitted(1);
    client.send(Packet::Pubrec(ack(1)));
    assert_eq!(client.says(), ["PUBREL 1", "PUBREL 1"]);
    client.send(Packet::Puback(ack(50)));
    client.send(Packet::Pubcomp(ack(50)));
    assert_eq!(client.requests(), [""; 0]);
    for (version, expected) in [(V311, "PUBREL 50"), (V5, "PUBREL 50 PacketIdentifierNotFound")] {
        let mut client = Client::open(version);
        client.send(Packet::Pubrec(ack(50)));
        assert_eq!(client.says(), [expected]);
    }
}

#[test]
fn an_acknowledgement_of_another_qos_is_a_protocol_error() {
    let mut client = Client::open(V5);
    client.deliver(vec![delivery(1, ExactlyOnce)]);
    client.says();
    client.send(Packet::Puback(ack(1)));
    assert_eq!(client.says(), ["DISCONNECT ProtocolError"]);
    assert!(client.closed().is_some());
}

#[test]
fn a_message_that_is_too_large_is_as_good_as_delivered() {
    // [MQTT-3.1.2-24], [MQTT-3.1.2-25]
    let properties = Properties { maximum_packet_size: NonZeroU32::new(100), ..Properties::default() };
    let mut client = Client::open_with(connect_with(properties), Options::default());
    let large = |count: usize| Arc::new(message(ExchangeName::TOPIC, "a", &vec![b'x'; count]));
    // 2 bytes of header, 3 of topic, 2 of id, 1 of properties.
    client.deliver(vec![
        deliver(large(93), 1, AtLeastOnce),
        deliver(large(92), 2, AtLeastOnce),
        deliver(large(95), 0, AtMostOnce),
        deliver(large(94), 0, AtMostOnce),
    ]);
    assert_eq!(client.says(), ["PUBLISH 2 a qos 1", "PUBLISH a qos 0"]);
    assert_eq!(client.requests(), ["settle 1 Accepted"]);
    assert_eq!(client.session.window(), 63, "no id leaks");
    // The same where it goes to many.
    let shared = large(93);
    let _others = [shared.clone(), shared.clone()];
    client.deliver(vec![deliver(shared, 3, AtLeastOnce)]);
    assert_eq!(client.requests(), ["settle 3 Accepted"]);
}

#[test]
fn a_key_that_is_no_topic_is_settled_and_the_next_one_flows() {
    for is_shared in [false, true] {
        let mut client = Client::open(V311);
        let keys = ["a/+", "#", "", "a\0", "good"];
        let messages: Vec<_> =
            keys.iter().map(|key| Arc::new(message(ExchangeName::TOPIC, key, b"p"))).collect();
        let _others = is_shared.then(|| [messages.clone(), messages.clone()]);
        let deliveries =
            messages.into_iter().zip(1..).map(|(message, tag)| deliver(message, tag, AtLeastOnce));
        client.deliver(deliveries.collect());
        assert_eq!(client.says(), ["PUBLISH 5 good qos 1"]);
        assert_eq!(
            client.requests(),
            ["settle 1 Accepted", "settle 2 Accepted", "settle 3 Accepted", "settle 4 Accepted"]
        );
    }
}

#[test]
fn other_exchanges_are_named_in_the_topic() {
    let mut client = Client::open(V311);
    let from =
        |exchange: ExchangeName, key: &str| deliver(Arc::new(message(exchange, key, b"p")), 0, AtMostOnce);
    client.deliver(vec![
        from(ExchangeName::new("x"), "a/b"),
        from(ExchangeName::FANOUT, ""),
        from(ExchangeName::DEFAULT, "jobs"),
    ]);
    assert_eq!(
        client.says(),
        ["PUBLISH $exchange/x/a/b qos 0", "PUBLISH $exchange/amq.fanout/ qos 0", "PUBLISH $queue/jobs qos 0"]
    );
}

#[test]
fn all_that_a_message_says_of_itself_reaches_a_5_0_client_and_no_other() {
    let said = Said {
        content_type: Some("text/plain".into()),
        payload_is_text: Some(true),
        reply_to: Some(ReplyTo::Address { exchange: ExchangeName::TOPIC, key: "r".into() }),
        correlation: Some("id".into()),
        priority: Some(4),
        headers: vec![("k".into(), "2".into()), ("nul\0".into(), "".into()), ("k".into(), "1".into())],
    };
    let shared = Arc::new(with_properties(message(ExchangeName::TOPIC, "a", b"p"), said));
    let mut client = Client::open(V5);
    client.deliver(vec![Delivery {
        subscription_ids: [7, 1].into_iter().collect(),
        expires_in_ms: Some(1_001),
        retain: true,
        ..deliver(shared.clone(), 1, AtLeastOnce)
    }]);
    let Packet::Publish(publish) = client.packets().remove(0) else {
        panic!("a PUBLISH");
    };
    assert!(publish.retain);
    let properties = publish.properties.unwrap();
    assert_eq!(properties.message_expiry_s, Some(2));
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(properties.payload_is_text, Some(true));
    assert_eq!(properties.response_topic.unwrap().as_str(), "r");
    assert_eq!(properties.correlation_data.as_deref(), Some(&b"id"[..]));
    assert_eq!(properties.user, [("k".into(), "2".into()), ("k".into(), "1".into())]);
    let ids: Vec<u32> = properties.subscription_ids.iter().map(|id| id.get()).collect();
    assert_eq!(ids, [7, 1]);
    let mut client = Client::open(V311);
    client.deliver(vec![deliver(shared, 0, AtMostOnce)]);
    assert_eq!(&client.bytes()[..], b"\x30\x04\x00\x01ap");
}

#[test]
fn aliases_are_defined_once_within_the_clients_limit() {
    // [MQTT-3.1.2-26], [MQTT-3.1.2-27]
    let properties = Properties { topic_alias_maximum: Some(1), ..Properties::default() };
    let mut client = Client::open_with(connect_with(properties), Options::default());
    let to = |topic: &str| deliver(Arc::new(message(ExchangeName::TOPIC, topic, b"p")), 0, AtMostOnce);
    client.deliver(vec![to("a"), to("a"), to("b"), to("a")]);
    let aliases: Vec<_> = client
        .packets()
        .into_iter()
        .map(|packet| {
            let Packet::Publish(publish) = packet else {
                panic!("a PUBLISH");
            };
            let alias = publish.properties.and_then(|properties| properties.topic_alias);
            (publish.topic.map(|topic| topic.as_str().to_owned()), alias.map(NonZeroU16::get))
        })
        .collect();
    assert_eq!(
        aliases,
        [(Some("a".to_owned()), Some(1)), (None, Some(1)), (Some("b".to_owned()), None), (None, Some(1))]
    );
}

#[test]
fn the_shared_form_differs_from_the_plain_one_in_nothing() {
    // Around the sizes where the fixed header grows, and where a payload is chained.
    for version in [V311, V5] {
        for size in
            [0, 1, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, CHAIN_MIN - 6, CHAIN_MIN, 16_380, 16_384]
        {
            let plain = || Arc::new(message(ExchangeName::TOPIC, "a/b", &vec![b'x'; size]));
            let shared = plain();
            let _others = [shared.clone(), shared.clone()];
            for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
                let sent = |message: &Arc<model::message::Message>| {
                    let mut client = Client::open(version);
                    client.deliver(vec![Delivery {
                        attempts: 1,
                        retain: true,
                        ..deliver(message.clone(), 9, qos)
                    }]);
                    client.bytes()
                };
                assert_eq!(sent(&shared), sent(&plain()), "{version} {size} {qos:?}");
            }
        }
    }
}
