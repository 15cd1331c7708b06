//! What is kept of somebody who may not publish it any more.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use engine::{Broker, Options};
use model::access::{AccessControl, Admission};
use model::author::{Author, Footing};
use model::change::{Change, Changeset};
use model::key::{KeyPattern, Level};
use model::name::{ClientId, ExchangeName, UserName};
use model::principal::{Credentials, Permissions, Principal};
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::Will;
use model::rights::{Action, Actions, Area, Right, Rights, RuleName};
use storage::{Completion, Store, Urgency};
use telemetry::Metrics;

use crate::client::{Client, crash, publish, retained, texts};

#[tokio::test]
async fn what_its_author_may_not_publish_or_retain_any_more_nobody_gets() {
    let (broker, gate, metrics) = broker();
    for user in ["kim", "sam"] {
        let mut client = Client::open_as(&broker, user, user, 0).await;
        client.submit(retained(&format!("a/{user}"), user, Qos::AtLeastOnce)).await.unwrap();
    }
    assert_eq!(found(&broker, "a/#").await, ["kim", "sam"]);
    for action in [Action::Publish, Action::Retain, Action::Connect] {
        gate.deny("kim", Some(action));
        assert_eq!(found(&broker, "a/#").await, ["sam"], "{action:?}");
        assert_eq!(found(&broker, "a/kim").await, [""; 0], "{action:?}");
    }
    assert_eq!(metrics.retained_withheld.value(), 6);
    // It was not thrown away: rules that are mended bring it back.
    gate.deny("kim", None);
    assert_eq!(found(&broker, "a/#").await, ["kim", "sam"]);
    // Whoever may publish there puts another one in its place, and that is his.
    gate.deny("kim", Some(Action::Publish));
    let mut sam = Client::open_as(&broker, "sam", "sam", 0).await;
    sam.submit(retained("a/kim", "sam's", Qos::AtLeastOnce)).await.unwrap();
    assert_eq!(found(&broker, "a/kim").await, ["sam's"]);
}

#[tokio::test]
async fn what_is_withheld_is_not_brought_out_by_what_is_published_meanwhile() {
    for denied in [false, true] {
        let options = Options { session_queue_messages_max: 4, ..Options::default() };
        let (broker, gate, _) = broker_with(options, None);
        let mut sam = Client::open_as(&broker, "sam", "sam", 0).await;
        let mut kim = Client::open_as(&broker, "kim", "kim", 0).await;
        for key in ["a/1", "a/2", "a/3"] {
            sam.submit(retained(key, key, Qos::AtLeastOnce)).await.unwrap();
        }
        kim.submit(retained("a/4", "kim's", Qos::AtLeastOnce)).await.unwrap();
        if denied {
            gate.deny("kim", Some(Action::Publish));
        }
        let mut reader = Client::open(&broker, "reader", true, 0).await;
        // There is room for two of them, and a little more.
        reader.subscribe("a/#", Qos::AtMostOnce).await;
        sam.publish("a/4", "now", Qos::AtMostOnce, None).await.unwrap();
        let mut got = Vec::new();
        let expected =
            if denied { &["a/1", "a/2", "now", "a/3"][..] } else { &["a/1", "a/2", "kim's", "now", "a/3"] };
        while got.len() < expected.len() {
            got.extend(texts(&reader.wait().await));
        }
        assert_eq!(got, expected);
    }
}

#[tokio::test]
async fn whose_it_is_outlives_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _, _) = on_disk(directory.path());
    let mut kim = Client::open_as(&broker, "kim", "phone", 0).await;
    kim.submit(retained("a/kim", "kim's", Qos::AtLeastOnce)).await.unwrap();
    let mut stomp = Client::connect_as(&broker, "kim").await;
    stomp.submit(retained("a/stomp", "kim's too", Qos::AtLeastOnce)).await.unwrap();
    let copy = crash(directory.path());
    let (broker, gate, _) = on_disk(copy.path());
    assert_eq!(found(&broker, "a/#").await, ["kim's", "kim's too"]);
    gate.deny("kim", Some(Action::Publish));
    assert_eq!(found(&broker, "a/#").await, [""; 0]);
    let asked = gate.asked.lock().unwrap().clone();
    let has = |client: Option<&str>| {
        let author = Author { user: Some(UserName::new("kim")), client: None, footing: FOOTING };
        asked.iter().any(|(asked, by)| *asked == author && by.as_ref().map(ClientId::as_str) == client)
    };
    assert!(has(Some("phone")) && has(None), "{asked:?}");
}

#[tokio::test]
async fn what_was_retained_before_authors_were_kept_is_nobodys_and_comes() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _, _) = on_disk(directory.path());
    let mut kim = Client::open_as(&broker, "kim", "phone", 0).await;
    kim.submit(retained("a/kim", "old", Qos::AtLeastOnce)).await.unwrap();
    let copy = crash(directory.path());
    let (store, recovered) = open(copy.path());
    let message = Arc::clone(&recovered.retained[0].message);
    let (told, committed) = std::sync::mpsc::channel();
    let changes = [Change::Retain { message, author: None }].into_iter().collect();
    store.commit(Changeset { changes }, Urgency::Now, Some(Box::new(Told(told))));
    committed.recv().unwrap();
    drop((store, recovered));
    let (broker, gate, _) = on_disk(copy.path());
    gate.deny("kim", Some(Action::Publish));
    assert_eq!(found(&broker, "a/#").await, ["old"]);
}

#[tokio::test]
async fn a_will_that_is_retained_is_its_owners() {
    let (broker, gate, _) = broker();
    let will = Will { publish: retain_of("a/will"), delay_s: 0 };
    let mut client = Client::stranger(&broker);
    let identity = model::request::Identity::Session {
        client: Some(ClientId::new("phone")),
        clean_start: true,
        expiry_s: 0,
    };
    let credentials = Credentials { user: Some("kim".into()), ..Credentials::default() };
    client.knock(credentials, identity, Some(Box::new(will)));
    client.event().await;
    drop(client);
    assert_eq!(found(&broker, "a/#").await, ["will"]);
    gate.deny("kim", Some(Action::Retain));
    assert_eq!(found(&broker, "a/#").await, [""; 0]);
}

fn retain_of(key: &str) -> model::request::Publish {
    model::request::Publish { retain: true, ..publish(key, "will", Qos::AtLeastOnce, None) }
}

/// What somebody new gets who subscribes to that.
async fn found(broker: &Broker, filter: &str) -> Vec<String> {
    let mut reader = Client::open(broker, "reader", true, 0).await;
    reader.subscribe(filter, Qos::AtMostOnce).await;
    reader.submit(vec![mark()]).await.unwrap();
    reader.subscribe("mark", Qos::AtMostOnce).await;
    let mut got = Vec::new();
    loop {
        got.extend(texts(&reader.wait().await));
        if got.last().is_some_and(|last| last == "mark") {
            got.pop();
            return got;
        }
    }
}

fn mark() -> model::request::Operation {
    let publish = publish("mark", "mark", Qos::AtMostOnce, None);
    model::request::Operation::Publish(model::request::Publish { retain: true, ..publish })
}

fn broker() -> (Broker, Arc<Gate>, Arc<Metrics>) {
    broker_with(Options::default(), None)
}

fn broker_with(
    options: Options,
    store: Option<(Arc<Store>, storage::Recovered)>,
) -> (Broker, Arc<Gate>, Arc<Metrics>) {
    let (gate, metrics) = (Arc::new(Gate::default()), Arc::new(Metrics::default()));
    let access: Arc<dyn AccessControl> = Arc::clone(&gate) as _;
    let broker = Broker::start(options, store, access, Arc::clone(&metrics)).unwrap();
    (broker, gate, metrics)
}

fn on_disk(directory: &Path) -> (Broker, Arc<Gate>, Arc<Metrics>) {
    let (store, recovered) = open(directory);
    broker_with(Options::default(), Some((Arc::new(store), recovered)))
}

fn open(directory: &Path) -> (Store, storage::Recovered) {
    Store::open(storage::Options::new(directory), Box::new(|error| panic!("{error}"))).unwrap()
}

struct Told(std::sync::mpsc::Sender<()>);

impl Completion for Told {
    fn committed(self: Box<Self>) {
        let _ = self.0.send(());
    }
}

const FOOTING: Option<Footing> = Some(Footing::Password);

/// Lets everybody in; one of them may be denied one thing.
#[derive(Default)]
struct Gate {
    denied: Mutex<Option<(UserName, Action)>>,
    generation: AtomicU64,
    asked: Mutex<Vec<(Author, Option<ClientId>)>>,
}

impl Gate {
    fn deny(&self, user: &str, action: Option<Action>) {
        *self.denied.lock().unwrap() = action.map(|action| (UserName::new(user), action));
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn permissions(&self, user: Option<&UserName>) -> Permissions {
        let denied = self.denied.lock().unwrap().clone();
        let right = |allows, actions, area| Right {
            allows,
            actions,
            area,
            name: RuleName::At("test".into()),
            code: 0x87,
        };
        let everywhere = |exchange| Area { exchange, pattern: KeyPattern::new(vec![Level::Many]) };
        let denied = denied.filter(|(denied, _)| Some(denied) == user).map(|(_, action)| {
            let area = (action != Action::Connect).then(|| everywhere(ExchangeName::TOPIC));
            right(false, Actions::default().with(action), area)
        });
        Permissions::by(Rights::new(denied.into_iter().collect(), right(true, Actions::all(), None)))
    }
}

impl AccessControl for Gate {
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a> {
        let user = credentials.user.as_ref().map(|user| UserName::new(user));
        let permissions = self.permissions(user.as_ref());
        Box::pin(async { Ok((Principal { user }, permissions)) })
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn footing(&self, _known: &Permissions) -> Option<Footing> {
        FOOTING
    }

    fn permissions_of_author(
        &self,
        author: &Author,
        client: Option<&ClientId>,
    ) -> Result<Option<Permissions>, Refusal> {
        self.asked.lock().unwrap().push((author.clone(), client.cloned()));
        let permissions = self.permissions(author.user.as_ref());
        match permissions.keep_from_all(Action::Connect) {
            Some(right) => Err(Refusal::forbidden("connect", "here", right)),
            None => Ok(Some(permissions)),
        }
    }
}
