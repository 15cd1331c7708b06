//! What a client may not do.

use std::sync::Arc;

use engine::{Broker, Options};
use model::access::{AccessControl, Admission};
use model::event::Event;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ClientId, ExchangeName, QueueName, ShareName};
use model::principal::{Credentials, Permissions, Principal};
use model::qos::Qos;
use model::queue::{DeadLetter, QueueDeclaration, QueueOptions};
use model::refusal::Refusal;
use model::request::{Identity, Operation, Publish, Replay, Source, Subscription, Target, Will};
use model::rights::{Action, Actions, Area, Right, Rights, RuleName};
use telemetry::Metrics;

use crate::client::{Client, publish, retained, texts};

#[tokio::test]
async fn what_is_denied_is_not_published() {
    let broker = broker(&[("no/#", true, false)]);
    let mut reader = Client::open(&broker, "reader", true, 0).await;
    reader.subscribe("#", Qos::ExactlyOnce).await;
    let mut client = Client::open(&broker, "client", true, 0).await;
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let refused = client.publish("no/a", "x", qos, None).await;
        assert_eq!(rule(refused.map(drop)), "no/#", "{qos:?}");
    }
    assert_eq!(rule(client.submit(retained("no", "x", Qos::AtLeastOnce)).await.map(drop)), "no/#");
    // A transaction is refused as a whole.
    let both = ["yes", "no/a"].map(|key| Operation::Publish(publish(key, "x", Qos::AtLeastOnce, None)));
    assert_eq!(rule(client.submit(both.into()).await.map(drop)), "no/#");
    client.publish("yes", "allowed", Qos::AtLeastOnce, None).await.unwrap();
    assert_eq!(texts(&reader.wait().await), ["allowed"]);
}

#[tokio::test]
async fn a_will_that_is_denied_keeps_its_client_out() {
    let broker = broker(&[("no/#", true, false)]);
    for (key, expected) in [("no/will", false), ("yes", true)] {
        let mut client = Client::stranger(&broker);
        let will = Box::new(Will { publish: publish(key, "x", Qos::AtLeastOnce, None), delay_s: 0 });
        let identity = Identity::Session { client: Some(ClientId::new(key)), clean_start: true, expiry_s: 0 };
        client.knock(Credentials::default(), identity, Some(will));
        match client.event().await {
            Event::Opened(_) => assert!(expected, "{key}"),
            Event::Refused(refusal) => assert!(!expected && rule(Err(refusal)) == "no/#", "{key}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_denied_is_not_subscribed_to_nor_is_a_part_of_it() {
    let broker = broker(&[("no/#", false, true)]);
    let mut client = Client::open(&broker, "client", true, 0).await;
    for filter in ["no/#", "no", "no/a", "no/+/b"] {
        let refused = client.subscribe_to(subscription(filter, None)).await;
        assert_eq!(rule(refused.map(drop)), "no/#", "{filter}");
    }
    for filter in ["#", "+/a", "yes"] {
        assert!(client.subscribe_to(subscription(filter, None)).await.is_ok(), "{filter}");
    }
    // A member that misses some of it would lose that for its share.
    for filter in ["#", "+/a", "no/a"] {
        let refused = client.subscribe_to(subscription(filter, Some("g"))).await;
        assert_eq!(rule(refused.map(drop)), "no/#", "{filter}");
    }
    assert!(client.subscribe_to(subscription("yes/#", Some("g"))).await.is_ok());
}

#[tokio::test]
async fn what_is_denied_is_left_out_of_wider_subscriptions() {
    let broker = broker(&[("no/#", false, true)]);
    let mut writer = Client::open(&broker, "writer", true, 0).await;
    writer.submit(retained("no/kept", "no", Qos::AtLeastOnce)).await.unwrap();
    writer.submit(retained("yes/kept", "kept", Qos::AtLeastOnce)).await.unwrap();
    let mut client = Client::open(&broker, "client", true, 0).await;
    client.subscribe("#", Qos::AtLeastOnce).await;
    assert_eq!(texts(&client.wait().await), ["kept"]);
    // More of them than are looked at in one turn, and what comes behind them comes all the same.
    for number in 0..5000 {
        let qos = if number % 2 == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
        writer.publish("no/a", "no", qos, None).await.unwrap();
    }
    writer.publish("yes", "yes", Qos::AtLeastOnce, None).await.unwrap();
    assert_eq!(texts(&client.wait().await), ["yes"]);
}

#[tokio::test]
async fn a_queue_is_denied_by_its_name() {
    let broker = broker(&[("$queue/jobs", true, true)]);
    let mut client = Client::connect(&broker).await;
    let queue = |name: &str| {
        let options = QueueOptions {
            name: QueueName::new(name),
            durable: false,
            exclusive: false,
            auto_delete: false,
            ready_max: None,
            ready_bytes_max: None,
            arguments: None,
        };
        Target::Declare(Box::new(options.into()))
    };
    assert_eq!(rule(client.consume(1, queue("jobs")).await.map(drop)), "$queue/jobs");
    let existing = Target::Existing(QueueName::new("jobs"));
    assert_eq!(rule(client.consume(1, existing).await.map(drop)), "$queue/jobs");
    assert!(client.consume(1, queue("other")).await.is_ok());
    let send = |name: &str| {
        let publish =
            Publish { exchange: ExchangeName::DEFAULT, ..publish(name, "x", Qos::AtLeastOnce, None) };
        vec![Operation::Publish(publish)]
    };
    assert_eq!(rule(client.submit(send("jobs")).await.map(drop)), "$queue/jobs");
    assert!(client.submit(send("other")).await.is_ok());
}

#[tokio::test]
async fn dead_letters_are_no_way_around_what_is_denied() {
    let broker = broker(&[("no/#", true, false)]);
    let mut client = Client::connect(&broker).await;
    for (exchange, key, expected) in [
        (ExchangeName::TOPIC, Some("no/a"), "no/#"),
        // With the key of whatever comes: that may be one of those.
        (ExchangeName::TOPIC, None, "no/#"),
        (ExchangeName::TOPIC, Some("yes"), "Ok(())"),
        (ExchangeName::DIRECT, None, "Ok(())"),
    ] {
        let options = QueueOptions {
            name: QueueName::new(&format!("{exchange}-{key:?}")),
            durable: false,
            exclusive: false,
            auto_delete: false,
            ready_max: None,
            ready_bytes_max: None,
            arguments: None,
        };
        let to = DeadLetter { exchange, key: key.map(RoutingKey::from) };
        let declaration = options.with(|all| all.dead_letter = Some(to)).into();
        let mut sent = publish("q", "x", Qos::AtLeastOnce, None);
        sent.declare = Some(Arc::new(QueueDeclaration::clone(&declaration)));
        let by_sending = client.submit(vec![Operation::Publish(sent)]).await.map(drop);
        assert_eq!(rule(by_sending), expected, "{key:?}");
        let by_consuming = client.consume(1, Target::Declare(Box::new(declaration))).await.map(drop);
        assert_eq!(rule(by_consuming), expected, "{key:?}");
    }
}

/// The rule that says no.
fn rule(result: Result<(), Refusal>) -> String {
    match result {
        Err(Refusal::Forbidden { rule, code: 0x87, .. }) => rule.as_str().to_owned(),
        other => format!("{other:?}"),
    }
}

fn subscription(filter: &str, share: Option<&str>) -> Subscription {
    let source = Source {
        exchange: ExchangeName::TOPIC,
        pattern: pattern(filter),
        arguments: Default::default(),
        share: share.map(ShareName::new),
        grant: Default::default(),
    };
    Subscription { source: Some(source), queue: Target::Session, consumer: None, retained: Replay::Never }
}

fn pattern(filter: &str) -> KeyPattern {
    let level = |level: &str| match level {
        "+" => Level::One,
        "#" => Level::Many,
        text => Level::Literal(text.into()),
    };
    KeyPattern::new(filter.split('/').map(level).collect())
}

fn broker(denied: &[(&'static str, bool, bool)]) -> Broker {
    let deny = |(filter, publish, subscribe): &(&'static str, bool, bool)| {
        let (exchange, pattern) = match filter.strip_prefix("$queue/") {
            Some(name) => (ExchangeName::DEFAULT, KeyPattern::exact(&RoutingKey::from(name))),
            None => (ExchangeName::TOPIC, pattern(filter)),
        };
        let published = publish.then_some(Action::Publish).into_iter();
        let received = subscribe.then_some([Action::Subscribe, Action::Consume]).into_iter().flatten();
        right(false, published.chain(received).collect(), Some(Area { exchange, pattern }), filter)
    };
    let rights =
        Rights::new(denied.iter().map(deny).collect(), right(true, Actions::all(), None, "acl.default"));
    let gate = Gate(Permissions::by(rights));
    Broker::start(Options::default(), None, Arc::new(gate), Arc::new(Metrics::default())).unwrap()
}

fn right(allows: bool, actions: Actions, area: Option<Area>, name: &str) -> Right {
    Right { allows, actions, area, name: RuleName::Denied(name.into()), code: 0x87 }
}

/// Holds the rules against the client whose name is `client`, and against STOMP's.
struct Gate(Permissions);

impl AccessControl for Gate {
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a> {
        let is_free = |client: &ClientId| ["reader", "writer"].contains(&client.as_str());
        let permissions = if credentials.client.as_ref().is_some_and(is_free) {
            Permissions::everything()
        } else {
            self.0.clone()
        };
        Box::pin(async { Ok((Principal { user: None }, permissions)) })
    }
}
