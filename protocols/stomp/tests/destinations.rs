//! Destinations to keys and back: whatever a key is, its destination leads to it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests; clippy knows only the tests themselves"
)]

use model::key::RoutingKey;
use model::name::{ExchangeName, QueueName};
use proptest::prelude::*;
use stomp::destination::{DestinationError, Destinations, Prefix, PrefixError, PrefixKind, Wanted};

#[test]
fn keys_and_destinations_are_two_ways_to_write_the_same() {
    // destination, exchange, key
    for (destination, exchange, key) in [
        ("/topic/a.b", "amq.topic", "a/b"),
        ("/topic/a%2Fb.c", "amq.topic", "a.b/c"),
        ("/topic/.a..b.", "amq.topic", "/a//b/"),
        ("/topic/채팅.방.1", "amq.topic", "채팅/방/1"),
        ("/topic/a b", "amq.topic", "a b"),
        ("/topic/100%", "amq.topic", "100%"),
        ("/topic/%2541", "amq.topic", "%41"),
        ("/topic/%%2F", "amq.topic", "%."),
        ("/topic/*", "amq.topic", "*"),
        ("/queue/a.b", "", "a.b"),
        ("/queue/a%2Fb", "", "a/b"),
        ("/queue/큐", "", "큐"),
        ("/exchange/x", "x", ""),
        ("/exchange/x.y/a.b", "x.y", "a/b"),
        ("/exchange/x%2Fy/#.+", "x/y", "#/+"),
        ("/exchange/amq.topic/", "amq.topic", ""),
    ] {
        let destinations = Destinations::default();
        let address = destinations.address(destination).unwrap();
        assert_eq!((address.exchange.as_str(), address.key.as_str()), (exchange, key), "{destination}");
        assert_eq!(destinations.text(&address.exchange, &address.key), destination);
    }
}

#[test]
fn a_users_and_a_sessions_own_say_whose_they_are_when_sent_to() {
    let destinations = Destinations::default();
    for (destination, exchange, key) in [
        ("/user/kim/queue/x", "$user", "kim/queue/x"),
        ("/user/a%2Fb/queue/x", "$user", "a%2Fb/queue/x"),
        ("/user/100%25/x", "$user", "100%25/x"),
        ("/user/김/queue/새 소식", "$user", "김/queue/새 소식"),
        ("/user/session-1-5/x", "$user", "session-1-5/x"),
        ("/user/%73ession-1-5/x", "$user", "%73ession-1-5/x"),
        ("/session/session-1-5/queue/a.b", "$session", "session-1-5/queue/a.b"),
    ] {
        let address = destinations.address(destination).unwrap();
        assert_eq!((address.exchange.as_str(), address.key.as_str()), (exchange, key), "{destination}");
        assert_eq!(destinations.text(&address.exchange, &address.key), destination);
    }
    // The broker adds the sender's own session.
    assert_eq!(destinations.address("/session/queue/x").unwrap().key.as_str(), "queue/x");
    for bad in
        ["/user/kim", "/user/kim/", "/user//x", "/user/", "/user", "/session/", "/user/%ff/x", "/user/kim/#"]
    {
        assert!(destinations.address(bad).is_err(), "{bad}");
    }
    for named in ["/exchange/$user/kim.x", "/exchange/$session", "/exchange/%24user/kim.x"] {
        assert!(destinations.address(named).is_err() && destinations.origin(named).is_err(), "{named}");
    }
}

#[test]
fn percent_signs_are_read_in_any_form() {
    let destinations = Destinations::default();
    for (destination, key) in [
        ("/topic/%EA%B0%80.x", "가/x"),
        ("/topic/a%2fb", "a.b"),
        ("/topic/a%2Eb", "a/b"),
        ("/topic/%2", "%2"),
        ("/topic/%zz", "%zz"),
        ("/topic/%%", "%%"),
    ] {
        assert_eq!(destinations.address(destination).unwrap().key.as_str(), key, "{destination}");
    }
}

#[test]
fn a_prefix_means_what_the_configuration_says() {
    let destinations = Destinations::new(vec![
        Prefix::new("/sub/", PrefixKind::TOPIC, '/', false).unwrap(),
        Prefix::new("/pub/", PrefixKind::TOPIC, '/', true).unwrap(),
        Prefix::new("/app/", PrefixKind::Queue, '/', true).unwrap(),
        Prefix::new("/sub/queue/", PrefixKind::Queue, '.', false).unwrap(),
    ]);
    for (destination, exchange, key) in [
        ("/sub/chat/room/5", "amq.topic", "chat/room/5"),
        ("/sub/a.b", "amq.topic", "a.b"),
        ("/pub/chat/5", "amq.topic", "pub/chat/5"),
        ("/app/message/x", "", "app/message/x"),
        ("/sub/queue/jobs", "", "jobs"),
        ("/topic/a.b", "amq.topic", "a/b"),
    ] {
        let address = destinations.address(destination).unwrap();
        assert_eq!((address.exchange.as_str(), address.key.as_str()), (exchange, key), "{destination}");
        let origin = destinations.origin(destination).unwrap();
        let mut shown = bytes::BytesMut::new();
        let escapes = stomp::escape::Escapes::Off;
        destinations.write(&address.exchange, &address.key, origin.shown_by, escapes, &mut shown);
        assert_eq!(shown, destination.as_bytes());
    }
    assert!(destinations.address("/sub/queue/a/b").is_err());
    assert!(destinations.address("/sub").is_err());
    assert!(matches!(destinations.origin("/sub/chat/*/#").unwrap().what, Wanted::Keys { pattern, .. }
        if pattern.matches(&RoutingKey::from("chat/room/5/x"))));
}

#[test]
fn a_prefix_may_stand_for_any_exchange_or_for_an_application() {
    let destinations = Destinations::new(vec![
        Prefix::new("/orders/", PrefixKind::Exchange(ExchangeName::new("shop")), '/', false).unwrap(),
        Prefix::new("/dotted/", PrefixKind::Exchange(ExchangeName::new("x.y")), '.', true).unwrap(),
        Prefix::new("/app/", PrefixKind::Application(QueueName::new("service")), '/', true).unwrap(),
    ]);
    for (destination, exchange, key) in [
        ("/orders/new/5", "shop", "new/5"),
        ("/orders/a.b", "shop", "a.b"),
        ("/dotted/a.b", "x.y", "dotted/a/b"),
    ] {
        let address = destinations.address(destination).unwrap();
        assert_eq!((address.exchange.as_str(), address.key.as_str()), (exchange, key), "{destination}");
        assert!(!address.hides_destination);
        let origin = destinations.origin(destination).unwrap();
        let mut shown = bytes::BytesMut::new();
        let escapes = stomp::escape::Escapes::Off;
        destinations.write(&address.exchange, &address.key, origin.shown_by, escapes, &mut shown);
        assert_eq!(shown, destination.as_bytes());
        // To whoever subscribed in another way, it has its usual name.
        assert!(destinations.text(&address.exchange, &address.key).starts_with("/exchange/"));
    }
    for destination in ["/app/chat/room/5", "/app/hello"] {
        let address = destinations.address(destination).unwrap();
        assert_eq!((address.exchange.as_str(), address.key.as_str()), ("", "service"));
        assert_eq!(address.declares, Some(QueueName::new("service")));
        assert!(address.hides_destination);
        let refused = destinations.origin(destination).unwrap_err();
        assert!(matches!(refused, DestinationError::Application { .. }), "{refused}");
    }
    assert!(destinations.address("/app/").is_err());
    let default = PrefixKind::Exchange(ExchangeName::DEFAULT);
    assert_eq!(Prefix::new("/q/", default, '/', false), Err(PrefixError::DefaultExchange("/q/".to_owned())));
}

#[test]
fn topic_itself_may_be_given_another_separator() {
    let topic = Prefix::new("/topic/", PrefixKind::TOPIC, '/', false).unwrap();
    let destinations = Destinations::new(vec![topic]);
    let address = destinations.address("/topic/a/b.c").unwrap();
    assert_eq!(address.key.as_str(), "a/b.c");
    assert_eq!(destinations.text(&address.exchange, &address.key), "/topic/a/b.c");
    let queue = Prefix::new("/topic/", PrefixKind::Queue, '/', false).unwrap();
    let text = Destinations::new(vec![queue]).text(&ExchangeName::TOPIC, &RoutingKey::from("a/b"));
    assert_eq!(text, "/exchange/amq.topic/a.b");
}

#[test]
fn prefixes_are_checked() {
    let check =
        |text: &str, separator: char| Prefix::new(text, PrefixKind::TOPIC, separator, false).unwrap_err();
    for text in ["", "/", "//", "sub/", "/sub", "sub"] {
        assert_eq!(check(text, '/'), PrefixError::Slashes(text.into()));
    }
    for separator in ['a', '1', ' ', '%', '*', '#', '+', '한', '\n'] {
        assert_eq!(check("/sub/", separator), PrefixError::Separator(separator));
    }
}

#[test]
fn topics_of_the_broker_are_subscribed_to_and_not_sent_to() {
    // MQTT 5.0, 4.7.2
    let destinations = Destinations::new(vec![Prefix::new("/sub/", PrefixKind::TOPIC, '/', false).unwrap()]);
    for destination in
        ["/topic/$SYS.x", "/topic/%24SYS.x", "/exchange/amq.topic/$exchange.x.k", "/sub/$share/g/x"]
    {
        let refused = destinations.address(destination).unwrap_err();
        assert!(matches!(refused, DestinationError::Reserved(_)), "{refused}");
        assert!(destinations.origin(destination).is_ok());
    }
    for destination in ["/topic/a.$SYS", "/queue/$x", "/exchange/amq.direct/$x"] {
        assert!(destinations.address(destination).is_ok(), "{destination}");
    }
}

#[test]
fn long_and_deep_names_are_refused() {
    let destinations = Destinations::default();
    assert!(destinations.address(&format!("/topic/{}", "a".repeat(1024))).is_ok());
    assert!(destinations.address(&format!("/topic/{}", "a".repeat(1025))).is_err());
    assert!(destinations.address(&format!("/topic/{}", ".".repeat(127))).is_ok());
    assert!(destinations.address(&format!("/topic/{}", ".".repeat(128))).is_err());
    assert!(destinations.address(&format!("/queue/{}", "a".repeat(255))).is_ok());
    assert!(destinations.address(&format!("/queue/{}", "a".repeat(256))).is_err());
    assert!(destinations.origin(&format!("/exchange/{}/k", "a".repeat(256))).is_err());
}

proptest! {
    #[test]
    fn every_key_has_a_destination_that_leads_to_it(
        key in "[a-c./%:*2F가-나 ]{1,12}|\\PC{1,8}",
        exchange in prop::sample::select(vec!["amq.topic", "", "x", "x/y.%41"]),
        separator in prop::sample::select(vec!['.', '/', ':', '-']),
    ) {
        let usable = exchange != "amq.topic" || !(key.contains(['+', '#']) || key.starts_with('$'));
        prop_assume!(usable);
        let topic = Prefix::new("/topic/", PrefixKind::TOPIC, separator, false).unwrap();
        for destinations in [Destinations::default(), Destinations::new(vec![topic])] {
            let exchange = ExchangeName::new(exchange);
            let key = RoutingKey::from(&*key);
            let text = destinations.text(&exchange, &key);
            let address = destinations.address(&text).unwrap();
            prop_assert_eq!((&address.exchange, &address.key), (&exchange, &key), "{}", text);
        }
    }
}
