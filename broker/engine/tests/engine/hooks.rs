//! What a hook may do, and what it may not hold up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use engine::{Broker, Options};
use model::access::{AccessControl, Admission};
use model::delivery::Delivery;
use model::event::Event;
use model::hook::{Asked, Attributes, Caller, Hook, News};
use model::key::{KeyPattern, RoutingKey};
use model::name::{ClientId, ConsumerId, ExchangeName};
use model::principal::{Credentials, Handshake, Permissions, Principal};
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{
    Close, Consumer, Identity, Operation, Publish, Replay, Request, Source, Submit, Subscribe, Subscription,
    Target, Ticket, Unsubscribe, Unsubscription, Will,
};
use model::rights::{Actions, Area, Right, Rights, RuleName};
use telemetry::Metrics;
use tokio::sync::Semaphore;

use crate::client::{Client, keys, publish, retained, texts};

#[tokio::test]
async fn a_slow_answer_holds_up_its_client_in_order_and_nobody_else() {
    let (broker, hook) = start();
    let mut reader = reader(&broker, "#").await;
    let (mut slow, mut quick) = (open(&broker, "slow").await, open(&broker, "quick").await);
    for (number, key) in ["slow/a", "b", "slow/c", "d"].into_iter().enumerate() {
        submit(&mut slow, key, &number.to_string(), Qos::AtLeastOnce);
    }
    // Retained, at QoS 0, in a transaction, and an answer that nobody else waits for.
    slow.ask(Request::Submit(Submit {
        ticket: Ticket(7),
        answer: false,
        operations: retained("e", "4", Qos::AtMostOnce).into(),
    }));
    slow.ask(Request::Submit(Submit { ticket: Ticket(8), answer: true, operations: Default::default() }));
    quick.publish("b", "quick", Qos::AtLeastOnce, None).await.unwrap();
    assert_eq!(texts(&reader.wait().await), ["quick"]);
    assert!(slow.poll().await.is_empty() && reader.take().is_empty());
    assert!(slow.link.is_asking() && slow.link.backlog() >= 6);
    hook.gate.add_permits(1);
    wait_until(&mut slow, |client| client.events.len() >= 2).await;
    assert_eq!(texts(&reader.wait().await), ["0", "1"]);
    hook.gate.add_permits(1);
    wait_until(&mut slow, |client| client.events.len() >= 5).await;
    assert_eq!(texts(&reader.wait().await), ["2", "3", "4"]);
    assert!(!slow.link.is_asking());
    let tickets = std::mem::take(&mut slow.events).into_iter().map(|event| match event {
        Event::Submitted { ticket, result: Ok(_) } => ticket,
        other => panic!("{other:?}"),
    });
    assert_eq!(tickets.collect::<Vec<_>>(), [2, 2, 2, 2, 8].map(Ticket));
}

#[tokio::test]
async fn what_a_hook_denies_is_not_published_in_whatever_way() {
    let (broker, _) = start();
    let mut reader = reader(&broker, "#").await;
    let mut client = open(&broker, "client").await;
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        assert_eq!(client.publish("deny/a", "x", qos, None).await, Err(vetoed()), "{qos:?}");
    }
    assert_eq!(client.submit(retained("deny/a", "x", Qos::AtLeastOnce)).await, Err(vetoed()));
    // All of a transaction, or nothing.
    let both = ["a", "deny/a"].map(|key| Operation::Publish(publish(key, "x", Qos::AtLeastOnce, None)));
    assert_eq!(client.submit(both.into()).await, Err(vetoed()));
    // An id at QoS 2 stands for nothing after that.
    assert_eq!(client.publish("deny/a", "x", Qos::ExactlyOnce, Some(9)).await, Err(vetoed()));
    client.publish("a", "with the same id", Qos::ExactlyOnce, Some(9)).await.unwrap();
    assert_eq!(texts(&reader.wait().await), ["with the same id"]);
}

#[tokio::test]
async fn what_a_hook_rewrites_is_published_as_it_says_if_the_rules_allow_that() {
    let (broker, hook) = start();
    let mut reader = reader(&broker, "#").await;
    let mut client = open(&broker, "client").await;
    client.publish("rewrite/a", "x", Qos::AtLeastOnce, None).await.unwrap();
    let got = reader.wait().await;
    assert_eq!((keys(&got), texts(&got)), (vec!["rewritten/a".to_owned()], vec!["x, seen".to_owned()]));
    // What is denied anyhow is not asked about, and nobody gets by by way of a hook.
    let before = hook.asked();
    let refused = client.publish("forbidden", "x", Qos::AtLeastOnce, None).await;
    assert!(matches!(refused, Err(Refusal::Forbidden { .. })), "{refused:?}");
    assert_eq!(hook.asked(), before);
    let refused = client.publish("rewrite/forbidden", "x", Qos::AtLeastOnce, None).await;
    assert!(matches!(refused, Err(Refusal::Forbidden { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_will_is_asked_about_when_it_is_made() {
    let (broker, _) = start();
    let mut reader = reader(&broker, "#").await;
    let with_will = |key: &str| {
        let will = Box::new(Will { publish: publish(key, "will", Qos::AtLeastOnce, None), delay_s: 0 });
        let mut client = Client::stranger(&broker);
        client.knock(Credentials::default(), identity("w"), Some(will));
        client
    };
    let mut denied = with_will("deny/a");
    assert!(matches!(denied.event().await, Event::Refused(refusal) if refusal == vetoed()));
    let mut rewritten = with_will("rewrite/a");
    assert!(matches!(rewritten.event().await, Event::Opened(_)));
    drop(rewritten);
    let got = reader.wait().await;
    assert_eq!((keys(&got), texts(&got)), (vec!["rewritten/a".to_owned()], vec!["will, seen".to_owned()]));
}

#[tokio::test]
async fn a_hook_keeps_out_whom_it_wants_and_knows_those_who_are_in() {
    let (broker, hook) = start();
    let mut client = Client::stranger(&broker);
    client.knock(Credentials::default(), identity("deny"), None);
    assert!(matches!(client.event().await, Event::Refused(refusal) if refusal == vetoed()));
    drop(client);
    let mut client = open(&broker, "client").await;
    client.publish("deny/a", "x", Qos::AtLeastOnce, None).await.unwrap_err();
    // Whoever has no name is told of by the one that it gets.
    let mut nameless = Client::stranger(&broker);
    let nobody = Identity::Session { client: None, clean_start: true, expiry_s: 0 };
    nameless.knock(Credentials::default(), nobody, None);
    let Event::Opened(opened) = nameless.event().await else { panic!("not let in") };
    let name = opened.client.expect("a name");
    client.ask(Request::Close(Close { discard_will: true, expiry_s: None }));
    drop((client, nameless));
    assert_eq!(
        hook.said(),
        [
            "connect deny".to_owned(),
            "connect client".to_owned(),
            "publish deny/a by client, known as good".to_owned(),
            format!("connect {name}"),
            "client left in good order".to_owned(),
            format!("{name} left"),
        ]
    );
}

#[tokio::test]
async fn each_subscription_is_asked_about_and_answered_in_its_place() {
    let (broker, _) = start();
    let mut client = open(&broker, "client").await;
    let filters = ["a", "deny/a", "rewrite/b", "deny/b", "forbidden"];
    client.ask(Request::Subscribe(Box::new(Subscribe {
        ticket: Ticket(1),
        subscriptions: filters.iter().map(|filter| subscription(filter)).collect(),
    })));
    let Event::Subscribed { results, .. } = client.event().await else { panic!("no answer") };
    let shown: Vec<_> =
        results.iter().map(|one| one.clone().map_err(|refusal| refusal.to_string())).collect();
    assert_eq!(shown[..4], [Ok(Qos::ExactlyOnce), Err("no".into()), Ok(Qos::AtMostOnce), Err("no".into())]);
    assert!(shown[4].as_ref().is_err_and(|text| text.contains("forbidden")), "{shown:?}");
    for key in ["a", "b", "rewritten/b", "deny/b"] {
        client.publish(key, key, Qos::AtLeastOnce, None).await.ok();
    }
    assert_eq!(texts(&client.wait().await), ["a", "rewritten/b"]);
    // It ends by the name that the client gave it.
    client.ask(unsubscribe("rewrite/b"));
    let Event::Unsubscribed { existed, .. } = client.event().await else { panic!("no answer") };
    assert_eq!(existed, [true]);
    client.publish("rewritten/b", "x", Qos::AtLeastOnce, None).await.unwrap();
    client.publish("a", "end", Qos::AtLeastOnce, None).await.unwrap();
    assert_eq!(texts(&client.wait().await), ["end"]);
}

#[tokio::test]
async fn where_a_session_outlives_its_connection_a_filter_is_what_its_client_named() {
    let (broker, _) = start();
    let mut client = Client::open(&broker, "client", true, 60).await;
    let refused = client.subscribe_to(subscription("rewrite/b")).await;
    assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    assert_eq!(client.subscribe_to(subscription("a")).await, Ok(Qos::ExactlyOnce));
}

#[tokio::test]
async fn a_hook_is_told_what_a_client_wants_no_more() {
    let (broker, hook) = start();
    let mut client = open(&broker, "client").await;
    client.subscribe_to(subscription("rewrite/b")).await.unwrap();
    client.ask(unsubscribe("rewrite/b"));
    assert!(matches!(client.event().await, Event::Unsubscribed { .. }));
    let mut other = Client::connect(&broker).await;
    let consumer = Consumer { id: ConsumerId(1), acknowledges: false, prefetch: None, start: None };
    let private = Subscription { queue: Target::Private, consumer: Some(consumer), ..subscription("c") };
    other.subscribe_to(private).await.unwrap();
    other.delete(1).await;
    let said = hook.said();
    let told: Vec<_> = said.iter().filter(|line| line.contains("wants no more")).collect();
    assert_eq!(told, ["client wants no more of amq.topic rewrite/b", " wants no more of amq.topic c"]);
}

#[tokio::test]
async fn what_a_client_said_before_it_left_is_done_all_the_same() {
    let (broker, hook) = start();
    let mut reader = reader(&broker, "#").await;
    let mut client = Client::stranger(&broker);
    let will = Box::new(Will { publish: publish("will", "will", Qos::AtLeastOnce, None), delay_s: 0 });
    client.knock(Credentials::default(), identity("client"), Some(will));
    assert!(matches!(client.event().await, Event::Opened(_)));
    submit(&mut client, "slow/a", "first", Qos::AtMostOnce);
    submit(&mut client, "b", "second", Qos::AtMostOnce);
    // The connection is lost.
    let done = tokio::spawn(client.link.finish());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!done.is_finished() && reader.take().is_empty());
    hook.gate.add_permits(1);
    done.await.unwrap();
    assert_eq!(texts(&all(&mut reader, 3).await), ["first", "second", "will"]);
}

#[tokio::test]
async fn a_client_that_goes_on_while_a_hook_is_slow_is_held_up_before_it_is_a_burden() {
    let (broker, hook) = start();
    let mut client = open(&broker, "client").await;
    submit(&mut client, "slow/a", "x", Qos::AtMostOnce);
    assert!(!client.link.is_held_up());
    let mut count = 0;
    while !client.link.is_held_up() && count < 1000 {
        submit(&mut client, "b", "x", Qos::AtMostOnce);
        count += 1;
    }
    assert_eq!(count, 64);
    hook.gate.add_permits(2);
    wait_until(&mut client, |client| !client.link.is_asking()).await;
    submit(&mut client, "slow/a", "x", Qos::AtMostOnce);
    submit(&mut client, "b", &"x".repeat(70_000), Qos::AtMostOnce);
    client.poll().await;
    assert!(!client.link.is_held_up(), "a permit was left");
    submit(&mut client, "slow/a", "x", Qos::AtMostOnce);
    submit(&mut client, "b", &"x".repeat(70_000), Qos::AtMostOnce);
    assert!(client.link.is_held_up() && !client.link.is_full());
    for _ in 0..16 {
        submit(&mut client, "b", &"x".repeat(70_000), Qos::AtMostOnce);
    }
    assert!(client.link.is_full());
}

/// Keys that begin with a word get what the word says.
struct Words {
    gate: Semaphore,
    said: Mutex<Vec<String>>,
}

impl Words {
    fn say(&self, line: String) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn asked(&self) -> usize {
        self.said().iter().filter(|line| line.starts_with("publish")).count()
    }
}

impl Hook for Words {
    fn connect<'a>(&'a self, caller: &'a Caller, _: Option<&'a Handshake>) -> Asked<'a, Attributes> {
        Box::pin(async move {
            let name = caller.client.as_ref().map_or("", |client| client.as_str());
            if !name.is_empty() && name != "reader" {
                self.say(format!("connect {name}"));
            }
            if name == "deny" { Err(vetoed()) } else { Ok(vec![("known as".into(), "good".into())]) }
        })
    }

    fn wants_publish(&self, _: &Caller, _: &ExchangeName, key: &RoutingKey) -> bool {
        ["slow", "deny", "rewrite", "forbidden"].contains(&key.levels().next().unwrap())
    }

    fn publish<'a>(&'a self, caller: &'a Caller, publish: Publish) -> Asked<'a, Publish> {
        let name = caller.client.as_ref().map_or("", |client| client.as_str());
        let attributes = caller.attributes.iter().map(|(name, value)| format!("{name} {value}"));
        let attributes = attributes.collect::<String>();
        self.say(format!("publish {} by {name}, {attributes}", publish.key));
        Box::pin(async move {
            match publish.key.as_str().split_once('/') {
                Some(("slow", _)) => self.gate.acquire().await.unwrap().forget(),
                Some(("deny", _)) => return Err(vetoed()),
                Some(("rewrite", "forbidden")) => {
                    return Ok(Publish { key: RoutingKey::from("forbidden"), ..publish });
                }
                Some(("rewrite", rest)) => {
                    let key = RoutingKey::from(format!("rewritten/{rest}").as_str());
                    let payload = Bytes::from([&publish.payload[..], b", seen"].concat());
                    return Ok(Publish { key, payload, ..publish });
                }
                _ => {}
            }
            Ok(publish)
        })
    }

    fn wants_subscribe(&self, _: &Caller, subscription: &Subscription) -> bool {
        filter(subscription).is_some_and(|filter| filter.contains('/'))
    }

    fn subscribe<'a>(&'a self, _: &'a Caller, mut subscription: Subscription) -> Asked<'a, Subscription> {
        Box::pin(async move {
            let filter = filter(&subscription).unwrap();
            if let (Some(rest), Some(source)) = (filter.strip_prefix("rewrite/"), &mut subscription.source) {
                source.pattern = exact(&format!("rewritten/{rest}"));
                source.grant.qos = Qos::AtMostOnce;
            }
            if filter.starts_with("deny/") { Err(vetoed()) } else { Ok(subscription) }
        })
    }

    fn wants_unsubscribe(&self, _: &Caller) -> bool {
        true
    }

    fn tell(&self, caller: &Arc<Caller>, news: News) {
        let name = caller.client.as_ref().map_or("", |client| client.as_str());
        match news {
            News::Unsubscribed { exchange, pattern } => {
                self.say(format!("{name} wants no more of {exchange} {pattern}"));
            }
            News::Left { orderly: true } => self.say(format!("{name} left in good order")),
            News::Left { orderly: false } => self.say(format!("{name} left")),
        }
    }
}

struct Gate(Arc<Words>);

impl AccessControl for Gate {
    fn admit<'a>(&'a self, _: &'a Credentials) -> Admission<'a> {
        let area = Area { exchange: ExchangeName::TOPIC, pattern: exact("forbidden") };
        let right = |allows, area| Right {
            allows,
            actions: Actions::all(),
            area,
            name: RuleName::Denied("forbidden".into()),
            code: 0x87,
        };
        let rights = Rights::new(vec![right(false, Some(area))], right(true, None));
        Box::pin(async { Ok((Principal { user: None }, Permissions::by(rights))) })
    }

    fn hook(&self) -> Option<Arc<dyn Hook>> {
        Some(Arc::clone(&self.0) as _)
    }
}

fn start() -> (Broker, Arc<Words>) {
    let hook = Arc::new(Words { gate: Semaphore::new(0), said: Mutex::default() });
    let gate = Arc::new(Gate(Arc::clone(&hook)));
    (Broker::start(Options::default(), None, gate, Arc::new(Metrics::default())).unwrap(), hook)
}

async fn open(broker: &Broker, name: &str) -> Client {
    Client::open(broker, name, true, 0).await
}

async fn reader(broker: &Broker, filter: &str) -> Client {
    let mut reader = open(broker, "reader").await;
    reader.subscribe(filter, Qos::ExactlyOnce).await;
    reader
}

fn identity(name: &str) -> Identity {
    Identity::Session { client: Some(ClientId::new(name)), clean_start: true, expiry_s: 0 }
}

fn submit(client: &mut Client, key: &str, text: &str, qos: Qos) {
    let operations = [Operation::Publish(publish(key, text, qos, None))].into_iter().collect();
    let answer = qos > Qos::AtMostOnce;
    client.ask(Request::Submit(Submit { ticket: Ticket(2), answer, operations }));
}

fn subscription(filter: &str) -> Subscription {
    let source = Source {
        exchange: ExchangeName::TOPIC,
        pattern: exact(filter),
        arguments: Default::default(),
        share: None,
        grant: Default::default(),
    };
    Subscription { source: Some(source), queue: Target::Session, consumer: None, retained: Replay::Never }
}

fn unsubscribe(filter: &str) -> Request {
    let binding =
        Unsubscription::Binding { exchange: ExchangeName::TOPIC, pattern: exact(filter), share: None };
    Request::Unsubscribe(Box::new(Unsubscribe { ticket: Ticket(5), subscriptions: vec![binding] }))
}

fn exact(key: &str) -> KeyPattern {
    KeyPattern::exact(&RoutingKey::from(key))
}

fn filter(subscription: &Subscription) -> Option<String> {
    Some(subscription.source.as_ref()?.pattern.to_string())
}

fn vetoed() -> Refusal {
    Refusal::Vetoed { text: "no".into(), code: 0x87 }
}

/// Deliveries, until there are so many.
async fn all(client: &mut Client, count: usize) -> Vec<Delivery> {
    let mut got = Vec::new();
    while got.len() < count {
        let more = client.wait().await;
        assert!(!more.is_empty(), "{:?}", texts(&got));
        got.extend(more);
    }
    got
}

async fn wait_until(client: &mut Client, is_true: impl Fn(&Client) -> bool) {
    let wait = std::future::poll_fn(|cx| {
        let _ = client.link.poll(cx, &mut client.events);
        if is_true(client) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("what was waited for");
}
