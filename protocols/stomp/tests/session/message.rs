//! MESSAGE: what it says, in each version.

use std::sync::Arc;

use bytes::Bytes;
use model::key::RoutingKey;
use model::name::ExchangeName;
use model::properties::{Properties, ReplyTo};
use stomp::destination::{Destinations, Prefix, PrefixKind};
use stomp::options::Options;
use stomp::version::Version;

use crate::harness::{Peer, delivery, from, topic};

fn written(version: Version, headers: &str, message: model::message::Message) -> String {
    let mut peer = Peer::online(version);
    let consumer = peer.subscribe(headers);
    peer.deliver(vec![delivery(consumer, 5, &Arc::new(message))]);
    String::from_utf8(peer.raw().to_vec()).unwrap()
}

#[test]
fn a_message_names_subscription_destination_and_itself() {
    // STOMP 1.2, "MESSAGE"
    let message = || from(ExchangeName::TOPIC, "a/b", "hi", None);
    let text = written(Version::V1_2, "id:s:1\ndestination:/topic/#\nack:client", message());
    let expected = "MESSAGE\nsubscription:s\\c1\ndestination:/topic/a.b\nmessage-id:T_s\\c1@@session-1@@1\n\
                    ack:T_s\\c1@@session-1@@1\nredelivered:false\ncontent-length:2\n\nhi\0\n";
    assert_eq!(text, expected);
    let text = written(Version::V1_1, "id:s\ndestination:/topic/#\nack:client", message());
    assert!(!text.contains("\nack:"), "{text}");
    let text = written(Version::V1_2, "id:s\ndestination:/topic/#", message());
    assert!(!text.contains("\nack:"), "{text}");
    let text = written(Version::V1_0, "id:s:1\ndestination:/topic/#\nack:client", message());
    assert!(text.starts_with("MESSAGE\nsubscription:s:1\n"), "{text}");
    let text = written(Version::V1_2, "destination:/topic/#", message());
    assert!(!text.contains("subscription:"), "{text}");
    assert!(text.contains("message-id:Q_/topic/#@@session-1@@1q\n"), "{text}");
}

#[test]
fn the_destination_is_that_of_the_message() {
    for (exchange, key, expected) in [
        ("amq.topic", "방/일.이", "/topic/방.일%2F이"),
        ("", "chat.queue", "/queue/chat.queue"),
        ("chat.exchange", "room/1", "/exchange/chat.exchange/room.1"),
        ("amq.fanout", "", "/exchange/amq.fanout"),
        ("amq.topic", "a:b", "/topic/a\\cb"),
    ] {
        let message = from(ExchangeName::new(exchange), key, "", None);
        let text = written(Version::V1_2, "id:0\ndestination:/amq/queue/x", message);
        assert!(text.contains(&format!("\ndestination:{expected}\n")), "{text}");
        assert!(!text.contains("content-length"), "no body, no length: {text}");
    }
}

#[test]
fn each_message_has_its_own_destination_whatever_the_one_before_had() {
    let sub = Prefix::new("/sub/", PrefixKind::TOPIC, '/', false).unwrap();
    let options = Options { destinations: Destinations::new(vec![sub]), ..Options::default() };
    let mut peer = Peer::online_with(Version::V1_2, options, "");
    let usual = peer.subscribe("id:0\ndestination:/topic/#");
    let own = peer.subscribe("id:1\ndestination:/sub/#");
    for (consumer, exchange, key, expected) in [
        (usual, "", "", "/queue/"),
        (usual, "amq.topic", "a/b", "/topic/a.b"),
        (usual, "amq.topic", "a/b", "/topic/a.b"),
        (own, "amq.topic", "a/b", "/sub/a/b"),
        (usual, "amq.topic", "a/b", "/topic/a.b"),
        (usual, "amq.topic", "a/c", "/topic/a.c"),
        (usual, "chat", "a/c", "/exchange/chat/a.c"),
        (usual, "", "a/c", "/queue/a%2Fc"),
        (usual, "amq.topic", "a", "/topic/a"),
        (usual, "amq.topic", "a/c", "/topic/a.c"),
    ] {
        let message = from(ExchangeName::new(exchange), key, "x", None);
        peer.deliver(vec![delivery(consumer, 5, &Arc::new(message))]);
        assert_eq!(peer.frame().header("destination").unwrap(), expected, "{exchange} {key}");
    }
}

#[test]
fn a_configured_prefix_is_shown_to_its_own_subscribers() {
    let sub = Prefix::new("/sub/", PrefixKind::TOPIC, '/', false).unwrap();
    let options = Options { destinations: Destinations::new(vec![sub]), ..Options::default() };
    let mut peer = Peer::online_with(Version::V1_2, options, "");
    let by_prefix = peer.subscribe("id:0\ndestination:/sub/chat/room/5");
    let by_topic = peer.subscribe("id:1\ndestination:/topic/chat.room.5");
    let message = topic("chat/room/5", "x");
    peer.deliver(vec![delivery(by_prefix, 1, &message), delivery(by_topic, 1, &message)]);
    let frames = peer.frames();
    assert_eq!(frames[0].header("destination").unwrap(), "/sub/chat/room/5");
    assert_eq!(frames[1].header("destination").unwrap(), "/topic/chat.room.5");
}

fn properties() -> Properties {
    Properties {
        content_type: Some("text/plain".into()),
        payload_is_text: None,
        reply_to: Some(ReplyTo::Address { exchange: ExchangeName::TOPIC, key: RoutingKey::from("re/1") }),
        correlation: Some(Bytes::from_static(b"c:1")),
        priority: Some(4),
        headers: vec![
            ("foo".into(), "a\nb:c\\d\r".into()),
            ("x:y".into(), "값".into()),
            ("".into(), "no name".into()),
            ("destination".into(), "/queue/forged".into()),
            ("content-length".into(), "0".into()),
            ("ack".into(), "forged".into()),
            ("persistent".into(), "true".into()),
        ],
    }
}

#[test]
fn properties_become_headers_escaped_for_the_version() {
    let message = || from(ExchangeName::TOPIC, "a", "hi", Some(properties()));
    for (version, correlation, foo, xy) in [
        (Version::V1_0, "c:1", "foo:a b:c\\d ", "x_y:값"),
        (Version::V1_1, "c\\c1", "foo:a\\nb\\cc\\\\d\r", "x\\cy:값"),
        (Version::V1_2, "c\\c1", "foo:a\\nb\\cc\\\\d\\r", "x\\cy:값"),
    ] {
        let text = written(version, "id:0\ndestination:/topic/a", message());
        let common = format!(
            "content-type:text/plain\nreply-to:/topic/re.1\ncorrelation-id:{correlation}\npriority:4\n{foo}\n{xy}\n\
             content-length:2\n\nhi\0\n"
        );
        assert!(text.ends_with(&common), "{text}\n{common}");
        assert!(!text.contains("forged") && !text.contains("persistent"), "{text}");
    }
}

#[test]
fn what_is_left_and_what_comes_again_is_said() {
    let mut peer = Peer::online(Version::V1_2);
    let consumer = peer.subscribe("id:0\ndestination:/topic/a");
    let mut message = from(ExchangeName::TOPIC, "a", "x", None);
    message.persistent = true;
    let mut again = delivery(consumer, 1, &Arc::new(message));
    again.attempts = 1;
    again.expires_in_ms = Some(1234);
    peer.deliver(vec![again]);
    let frame = peer.frame();
    assert_eq!(frame.header("redelivered").unwrap(), "true");
    assert_eq!(frame.header("expiration").unwrap(), "1234");
    assert_eq!(frame.header("persistent").unwrap(), "true");
}

#[test]
fn correlation_that_is_no_text_is_written_in_hex() {
    let properties =
        Properties { correlation: Some(Bytes::from_static(b"\xff\x00")), ..Properties::default() };
    let text = written(
        Version::V1_2,
        "id:0\ndestination:/topic/a",
        from(ExchangeName::TOPIC, "a", "x", Some(properties)),
    );
    assert!(text.contains("\ncorrelation-id:hex\\cff00\n"), "{text}");
}

#[test]
fn every_receiver_gets_the_same_whoever_came_first() {
    for body in ["small".to_owned(), "large ".repeat(2000), String::new()] {
        let message = Arc::new(from(ExchangeName::TOPIC, "a", &body, Some(properties())));
        let others: Vec<_> = (0..3).map(|_| Arc::clone(&message)).collect();
        let receive = || {
            let mut peer = Peer::online(Version::V1_2);
            let consumer = peer.subscribe("id:0\ndestination:/topic/a");
            peer.deliver(vec![delivery(consumer, 1, &message)]);
            peer.raw()
        };
        let (first, second) = (receive(), receive());
        drop(others);
        assert_eq!(first, second);
        assert!(first.ends_with(format!("\n\n{body}\0\n").as_bytes()));
        let alone = Arc::new(from(ExchangeName::TOPIC, "a", &body, Some(properties())));
        let mut peer = Peer::online(Version::V1_2);
        let consumer = peer.subscribe("id:0\ndestination:/topic/a");
        peer.deliver(vec![delivery(consumer, 1, &alone)]);
        assert_eq!(peer.raw(), first, "kept or not, it is the same");
    }
}

#[test]
fn message_ids_are_unique_within_a_connection() {
    // STOMP 1.2, "MESSAGE"
    let mut peer = Peer::online(Version::V1_2);
    let a = peer.subscribe("id:a\ndestination:/topic/a\nack:client");
    let b = peer.subscribe("id:b\ndestination:/topic/a");
    let message = topic("a", "x");
    peer.deliver((0..50).flat_map(|tag| [delivery(a, tag, &message), delivery(b, 0, &message)]).collect());
    let frames = peer.frames();
    let ids: std::collections::HashSet<_> =
        frames.iter().map(|frame| frame.header("message-id").unwrap().to_string()).collect();
    assert_eq!(ids.len(), 100);
}
