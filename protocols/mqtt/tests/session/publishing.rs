//! PUBLISH in, to its last ack.

use std::num::NonZeroU16;

use model::event::{Event, Submitted};
use model::qos::Qos::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use model::refusal::Refusal;
use model::request::Ticket;
use mqtt::Options;
use mqtt::packet::{Packet, Properties, Publish};
use mqtt::version::Version::{V5, V31, V311};

use crate::driver::{Client, ack, connect, connect_with, opened, publish};

#[test]
fn a_batch_of_qos_0_becomes_as_many_requests() {
    for version in [V31, V311, V5] {
        let mut client = Client::open(version);
        for topic in ["a", "b", "a"] {
            client.send(Packet::Publish(publish(topic, AtMostOnce, 1)));
        }
        assert_eq!(
            client.requests(),
            ["publish amq.topic a qos 0 p", "publish amq.topic b qos 0 p", "publish amq.topic a qos 0 p"]
        );
        assert_eq!(client.says(), [""; 0]);
    }
}

#[test]
fn acknowledgements_wait_for_the_broker_and_leave_in_order() {
    // [MQTT-4.6.0-2]
    for version in [V31, V311, V5] {
        let mut client = Client::open(version);
        client.send(Packet::Publish(publish("a", AtLeastOnce, 7)));
        client.send(Packet::Publish(publish("a", AtLeastOnce, 8)));
        assert_eq!(client.requests(), ["1: publish amq.topic a qos 1 p", "2: publish amq.topic a qos 1 p"]);
        assert_eq!(client.says(), [""; 0]);
        client.submitted(1);
        assert_eq!(client.says(), ["PUBACK 7"]);
        client.submitted(2);
        assert_eq!(client.says(), ["PUBACK 8"]);
    }
}

#[test]
fn a_qos_2_message_is_remembered_and_released_by_the_broker() {
    // 4.3.3
    let mut client = Client::open(V5);
    client.send(Packet::Publish(publish("a", ExactlyOnce, 7)));
    assert_eq!(client.requests(), ["1: publish amq.topic a qos 2 remember 7 p"]);
    client.submitted(1);
    assert_eq!(client.says(), ["PUBREC 7"]);
    client.send(Packet::Pubrel(ack(7)));
    assert_eq!(client.requests(), ["2: release 7"]);
    assert_eq!(client.says(), [""; 0], "not before that is durable");
    client.event(Event::Released { ticket: Ticket(2), id: 7, known: true });
    assert_eq!(client.says(), ["PUBCOMP 7"]);
}

#[test]
fn an_id_that_is_not_released_is_not_a_second_message() {
    // [MQTT-4.3.3-10]. DUP says nothing about it.
    for dup in [true, false] {
        let mut client = Client::open(V311);
        client.send(Packet::Publish(publish("a", ExactlyOnce, 7)));
        client.requests();
        client.send(Packet::Publish(Publish { dup, ..publish("a", ExactlyOnce, 7) }));
        assert_eq!(client.requests(), ["2: barrier"]);
        client.submitted(1);
        client.submitted(2);
        assert_eq!(client.says(), ["PUBREC 7", "PUBREC 7"]);
        client.send(Packet::Pubrel(ack(7)));
        client.send(Packet::Publish(publish("a", ExactlyOnce, 7)));
        assert_eq!(client.requests(), ["3: release 7", "4: publish amq.topic a qos 2 remember 7 p"]);
    }
}

#[test]
fn an_id_from_an_earlier_connection_is_not_a_second_message() {
    let mut client = Client::resumed(connect(V5), Options::default(), opened(true, &[7]));
    client.send(Packet::Publish(Publish { dup: true, ..publish("a", ExactlyOnce, 7) }));
    assert_eq!(client.requests(), ["1: barrier"]);
    client.submitted(1);
    assert_eq!(client.says(), ["PUBREC 7"]);
}

#[test]
fn a_repetition_of_a_refused_message_is_not_said_to_be_there() {
    let mut client = Client::open(V5);
    client.send(Packet::Publish(publish("a", ExactlyOnce, 7)));
    client.send(Packet::Publish(publish("a", ExactlyOnce, 7)));
    client.refused(1, denied());
    // The id is free, and at once used again: the repetition's answer must not be taken for this message's.
    client.send(Packet::Publish(publish("b", ExactlyOnce, 7)));
    client.submitted(2);
    assert_eq!(client.says(), ["PUBREC 7 NotAuthorized", "PUBREC 7 UnspecifiedError"]);
    client.submitted(3);
    assert_eq!(client.says(), ["PUBREC 7"]);
}

#[test]
fn a_release_of_an_unknown_id_is_answered() {
    // [MQTT-4.3.3-11]
    for (version, expected) in
        [(V31, "PUBCOMP 9"), (V311, "PUBCOMP 9"), (V5, "PUBCOMP 9 PacketIdentifierNotFound")]
    {
        let mut client = Client::open(version);
        client.send(Packet::Pubrel(ack(9)));
        assert_eq!(client.requests(), ["1: release 9"]);
        client.event(Event::Released { ticket: Ticket(1), id: 9, known: false });
        assert_eq!(client.says(), [expected]);
    }
}

#[test]
fn nobody_there_is_said_to_those_who_can_hear_it() {
    // 3.4.2.1
    for (version, expected) in [
        (V311, ["PUBACK 1", "PUBREC 2"]),
        (V5, ["PUBACK 1 NoMatchingSubscribers", "PUBREC 2 NoMatchingSubscribers"]),
    ] {
        let mut client = Client::open(version);
        client.send(Packet::Publish(publish("a", AtLeastOnce, 1)));
        client.send(Packet::Publish(publish("a", ExactlyOnce, 2)));
        for ticket in [Ticket(1), Ticket(2)] {
            client.event(Event::Submitted { ticket, result: Ok(Submitted::one(false)) });
        }
        assert_eq!(client.says(), expected);
    }
}

#[test]
fn a_refused_message_is_told_or_acknowledged_or_ends_the_connection() {
    // 3.4.2.1, [MQTT-3.3.5-2 of 3.1.1]
    let mut client = Client::open(V5);
    client.send(Packet::Publish(publish("a", AtLeastOnce, 1)));
    client.send(Packet::Publish(publish("a", ExactlyOnce, 2)));
    client.refused(1, denied());
    client.refused(2, Refusal::LimitReached("the queue is full"));
    assert_eq!(client.says(), ["PUBACK 1 NotAuthorized", "PUBREC 2 QuotaExceeded"]);
    // The id is free [MQTT-4.3.3-9].
    client.requests();
    client.send(Packet::Publish(publish("a", ExactlyOnce, 2)));
    assert_eq!(client.requests(), ["3: publish amq.topic a qos 2 remember 2 p"]);

    let mut client = Client::open(V311);
    client.send(Packet::Publish(publish("a", AtLeastOnce, 1)));
    client.send(Packet::Publish(publish("a", AtLeastOnce, 2)));
    client.refused(1, denied());
    assert_eq!(client.says(), ["PUBACK 1"]);
    client.refused(2, Refusal::LimitReached("the queue is full"));
    assert_eq!(client.says(), [""; 0], "not a lie about a lost message");
    assert!(client.closed().is_some());
}

#[test]
fn a_publish_during_the_stop_is_left_to_the_next_connection() {
    let mut client = Client::open(V5);
    client.send(Packet::Publish(publish("a", AtLeastOnce, 1)));
    client.refused(1, Refusal::ShuttingDown);
    assert_eq!(client.says(), ["DISCONNECT ServerShuttingDown"]);
}

#[test]
fn the_brokers_own_topics_are_not_published_to() {
    // 4.7.2
    for topic in ["$SYS/x", "$share/g/a", "$queue/", "$exchange/"] {
        let mut client = Client::open(V5);
        client.send(Packet::Publish(publish(topic, AtMostOnce, 1)));
        assert_eq!(client.requests(), [""; 0]);
        client.send(Packet::Publish(publish(topic, AtLeastOnce, 1)));
        client.send(Packet::Publish(publish(topic, ExactlyOnce, 2)));
        // In their turn, behind what came before.
        assert_eq!(client.requests(), ["1: barrier", "2: barrier"]);
        client.submitted(1);
        client.submitted(2);
        assert_eq!(client.says(), ["PUBACK 1 NotAuthorized", "PUBREC 2 NotAuthorized"]);
        let mut client = Client::open(V311);
        client.send(Packet::Publish(publish(topic, AtLeastOnce, 1)));
        client.submitted(1);
        assert_eq!(client.says(), ["PUBACK 1"]);
    }
}

#[test]
fn exchanges_and_queues_can_be_named() {
    let mut client = Client::open(V311);
    for topic in ["$exchange/x/a/b", "$exchange/x", "$queue/jobs"] {
        client.send(Packet::Publish(publish(topic, AtMostOnce, 1)));
    }
    assert_eq!(client.requests(), ["publish x a/b qos 0 p", "publish x  qos 0 p", "publish  jobs qos 0 p"]);
}

#[test]
fn a_topic_beyond_the_limits_is_refused() {
    let deep = "a/".repeat(128);
    let mut client = Client::open(V5);
    client.send(Packet::Publish(publish(&deep, AtLeastOnce, 1)));
    client.submitted(1);
    assert_eq!(client.says(), ["PUBACK 1 TopicNameInvalid"]);
    let mut client = Client::open(V311);
    client.send(Packet::Publish(publish(&deep, AtLeastOnce, 1)));
    assert!(client.closed().is_some());
    let mut client = Client::open(V311);
    client.send(Packet::Publish(publish(&deep[..deep.len() - 1], AtLeastOnce, 1)));
    assert!(client.closed().is_none());
}

#[test]
fn who_names_a_topic_that_is_too_long_is_told_the_key_and_the_limit() {
    let said = "the topic is longer than the 40 bytes of limits.topic_bytes";
    let options = || Options { topic_bytes_max: 40, ..Options::default() };
    for (qos, bytes, fits) in [(AtLeastOnce, 40, true), (AtLeastOnce, 41, false), (ExactlyOnce, 41, false)] {
        let topic = "t".repeat(bytes);
        let mut client = Client::open_with(connect(V5), options());
        client.send(Packet::Publish(publish(&topic, qos, 1)));
        client.submitted(1);
        let packets = client.packets();
        let [Packet::Puback(ack) | Packet::Pubrec(ack)] = packets.as_slice() else { panic!("{packets:?}") };
        let why = ack.properties.as_ref().and_then(|properties| properties.reason_string.as_deref());
        assert_eq!(why, (!fits).then_some(said));
        assert_eq!(ack.reason == mqtt::reason::Reason::TopicNameInvalid, !fits);
        let mut client = Client::open_with(connect(V311), options());
        client.send(Packet::Publish(publish(&topic, qos, 1)));
        assert_eq!(client.closed(), (!fits).then_some(said));
    }
}

#[test]
fn no_more_than_the_receive_maximum_is_under_way() {
    // [MQTT-3.3.4-7]. QoS 0 does not count; 3.x has no such limit.
    let options = || Options { receive_maximum: 2, ..Options::default() };
    let mut client = Client::open_with(connect(V5), options());
    client.send(Packet::Publish(publish("a", AtLeastOnce, 1)));
    client.send(Packet::Publish(publish("a", ExactlyOnce, 2)));
    client.send(Packet::Publish(publish("a", AtMostOnce, 1)));
    assert!(client.closed().is_none());
    client.submitted(1);
    client.send(Packet::Publish(publish("a", ExactlyOnce, 3)));
    assert!(client.closed().is_none(), "PUBACK made room");
    client.submitted(2);
    // PUBREC does not.
    client.says();
    client.send(Packet::Publish(publish("a", AtLeastOnce, 4)));
    assert_eq!(client.says(), ["DISCONNECT ReceiveMaximumExceeded"]);
    assert!(client.closed().is_some());

    let mut client = Client::open_with(connect(V311), options());
    for number in 1..=10 {
        client.send(Packet::Publish(publish("a", AtLeastOnce, number)));
    }
    assert!(client.closed().is_none());
}

#[test]
fn what_ends_an_exchange_makes_room() {
    let mut client = Client::open_with(connect(V5), Options { receive_maximum: 1, ..Options::default() });
    for (round, number) in (0..4).zip([5, 6, 5, 5]) {
        client.send(Packet::Publish(publish("a", ExactlyOnce, number)));
        let ticket = client.requests()[0].split(':').next().unwrap().parse().unwrap();
        if round % 2 == 0 {
            client.refused(ticket, denied());
        } else {
            client.submitted(ticket);
            client.send(Packet::Pubrel(ack(number)));
            client.requests();
            client.event(Event::Released { ticket: Ticket(ticket + 1), id: number, known: true });
        }
        assert!(client.closed().is_none(), "round {round}");
    }
}

#[test]
fn an_alias_stands_for_its_topic_and_goes_no_further() {
    // 3.3.2.3.4
    let aliased = |topic: &str, alias: u16| Publish {
        properties: Some(Box::new(Properties {
            topic_alias: NonZeroU16::new(alias),
            ..Properties::default()
        })),
        ..publish(topic, AtMostOnce, 1)
    };
    let mut client = Client::open(V5);
    client.send(Packet::Publish(aliased("a/b", 32)));
    client.send(Packet::Publish(aliased("", 32)));
    assert_eq!(client.requests(), ["publish amq.topic a/b qos 0 p"; 2]);
    client.send(Packet::Publish(aliased("", 31)));
    assert_eq!(client.says(), ["DISCONNECT ProtocolError"]);
    let mut client = Client::open(V5);
    client.send(Packet::Publish(aliased("a/b", 33)));
    assert_eq!(client.says(), ["DISCONNECT TopicAliasInvalid"]);
    let mut client = Client::open(V5);
    client.raw(b"\x30\x07\x00\x01a\x03\x23\x00\x00");
    assert_eq!(client.says(), ["DISCONNECT TopicAliasInvalid"]);
}

#[test]
fn properties_become_the_messages() {
    let mut client = Client::open(V5);
    let properties = Properties {
        payload_is_text: Some(true),
        message_expiry_s: Some(u32::MAX),
        content_type: Some("text/plain".into()),
        response_topic: Some(mqtt::topic::TopicName::parse("r".into()).unwrap()),
        correlation_data: Some("id".into()),
        user: vec![("k".into(), "2".into()), ("k".into(), "1".into())],
        ..Properties::default()
    };
    client.send(Packet::Publish(Publish {
        properties: Some(Box::new(properties)),
        ..publish("a", AtMostOnce, 1)
    }));
    let model::request::Request::Submit(submit) = client.out.requests.remove(0) else {
        panic!("a submit");
    };
    let model::request::Operation::Publish(message) = &submit.operations[0] else {
        panic!("a publish");
    };
    assert_eq!(message.expiry_ms, Some(u64::from(u32::MAX) * 1000));
    let properties = message.properties.as_ref().unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(properties.payload_is_text, Some(true));
    assert_eq!(properties.headers, [("k".into(), "2".into()), ("k".into(), "1".into())]);
    assert_eq!(
        properties.reply_to,
        Some(model::properties::ReplyTo::Address {
            exchange: model::name::ExchangeName::TOPIC,
            key: "r".into()
        })
    );
}

#[test]
fn a_message_that_waits_is_for_the_topic_behind_its_delay() {
    let asked = |client: &mut Client| {
        let model::request::Request::Submit(submit) = client.out.requests.remove(0) else {
            panic!("a submit");
        };
        let model::request::Operation::Publish(message) = &submit.operations[0] else {
            panic!("a publish");
        };
        (message.key.to_string(), message.delay_ms, message.properties.clone())
    };
    for version in [V31, V311, V5] {
        let mut client = Client::open(version);
        client.send(Packet::Publish(publish("$delayed/5/a/b", AtLeastOnce, 1)));
        assert_eq!(asked(&mut client), ("a/b".to_owned(), 5000, None), "{version:?}");
    }
    let mut client = Client::open(V5);
    let waits = |value: &str| {
        let user = vec![("x-delay".into(), value.into())];
        Some(Box::new(Properties { user, ..Properties::default() }))
    };
    client.send(Packet::Publish(Publish { properties: waits("250"), ..publish("a", AtLeastOnce, 1) }));
    assert_eq!(asked(&mut client), ("a".to_owned(), 250, None));
    client.submitted(1);
    client.says();
    client.send(Packet::Publish(Publish { properties: waits("soon"), ..publish("a", AtLeastOnce, 2) }));
    client.submitted(2);
    assert_eq!(client.says(), ["PUBACK 2 ImplementationSpecific"]);
    client.send(Packet::Publish(publish("$delayed/soon/a", AtLeastOnce, 3)));
    client.submitted(3);
    assert_eq!(client.says(), ["PUBACK 3 TopicNameInvalid"]);
    // Nobody can be told there: the connection ends, as for a topic beyond our limits.
    let mut client = Client::open(V311);
    client.send(Packet::Publish(publish("$delayed/soon/a", AtLeastOnce, 3)));
    assert!(
        client.closed().is_some_and(|why| why.contains("$delayed/SECONDS/TOPIC")),
        "{:?}",
        client.closed()
    );
}

#[test]
fn explanations_are_for_those_who_asked() {
    // [MQTT-3.1.2-29]
    let explained = |request_problem_information: Option<bool>| {
        let properties = Properties { request_problem_information, ..Properties::default() };
        let mut client = Client::open_with(connect_with(properties), Options::default());
        client.send(Packet::Publish(publish("a", AtLeastOnce, 1)));
        client.refused(1, denied());
        let Packet::Puback(ack) = client.packets().remove(0) else {
            panic!("a PUBACK");
        };
        ack.properties.is_some()
    };
    assert!(explained(None));
    assert!(explained(Some(true)));
    assert!(!explained(Some(false)));
}

#[test]
fn what_is_broken_ends_the_connection_with_its_code() {
    let mut client = Client::open(V5);
    client.raw(b"\x30\x04\x00\x01+\x00");
    assert_eq!(client.says(), ["DISCONNECT MalformedPacket"]);
    assert_eq!(client.closed(), Some("[MQTT-3.3.2-2] the topic name contains a wildcard"));
    let mut client = Client::open(V5);
    client.raw(b"\x10");
    assert_eq!(client.says(), ["DISCONNECT ProtocolError"]);
    let mut client = Client::open(V5);
    client.raw(b"\x30\xFF\xFF\x7F");
    assert_eq!(client.says(), ["DISCONNECT PacketTooLarge"]);
    // 3.x has no way to say it.
    let mut client = Client::open(V311);
    client.raw(b"\x30\x03\x00\x01+");
    assert!(client.bytes().is_empty() && client.closed().is_some());
}

fn denied() -> Refusal {
    Refusal::Denied { action: "publish", target: "a".to_owned() }
}
