//! Whose a session is.

use std::path::Path;
use std::sync::Arc;

use engine::{Broker, Options};
use model::access::{AccessControl, Admission};
use model::event::{Event, Farewell};
use model::name::{ClientId, UserName};
use model::principal::{Credentials, Permissions, Principal};
use model::refusal::Refusal;
use model::request::Identity;
use storage::{Recovered, Store};
use telemetry::Metrics;

use crate::client::{Client, crash};

#[tokio::test]
async fn a_session_is_taken_over_by_whom_it_belongs_to_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    for (owner, others) in [(Some("alice"), [None, Some("bob")]), (None, [Some("alice"), Some("bob")])] {
        let name = owner.unwrap_or("nobody");
        let mut first = enter(&broker, owner, name, false).await.unwrap();
        for other in others {
            for clean in [false, true] {
                let refused = enter(&broker, other, name, clean).await.err();
                assert!(matches!(refused, Some(Refusal::Denied { .. })), "{owner:?} {other:?}: {refused:?}");
            }
        }
        assert!(first.poll().await.is_empty(), "it is not even told");
        let second = enter(&broker, owner, name, false).await.unwrap();
        assert!(second.opened.session_present);
        assert!(matches!(first.event().await, Event::Closing(Farewell::TakenOver)));
        drop((first, second));
        for other in others {
            assert!(enter(&broker, other, name, true).await.is_err(), "not while it is away either");
        }
    }
    drop(broker);
    store.close();
}

#[tokio::test]
async fn a_session_belongs_to_the_same_one_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    let client = enter(&broker, Some("alice"), "c", false).await.unwrap();
    let nobodys = enter(&broker, None, "d", false).await.unwrap();
    let copy = crash(directory.path());
    drop((client, nobodys, broker));
    store.close();
    let (broker, store) = start(copy.path());
    assert!(enter(&broker, Some("bob"), "c", true).await.is_err());
    assert!(enter(&broker, None, "c", true).await.is_err());
    assert!(enter(&broker, Some("bob"), "d", true).await.is_err());
    assert!(enter(&broker, Some("alice"), "c", false).await.unwrap().opened.session_present);
    assert!(enter(&broker, None, "d", false).await.unwrap().opened.session_present);
    drop(broker);
    store.close();
}

#[tokio::test]
async fn a_session_that_has_ended_is_nobodys() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, store) = start(directory.path());
    let mut client = Client::stranger(&broker);
    knock(&mut client, Some("alice"), "c", true, 0);
    assert!(matches!(client.event().await, Event::Opened(_)));
    drop(client);
    assert!(!enter(&broker, Some("bob"), "c", false).await.unwrap().opened.session_present);
    drop(broker);
    store.close();
}

async fn enter(broker: &Broker, user: Option<&str>, name: &str, clean: bool) -> Result<Client, Refusal> {
    let mut client = Client::stranger(broker);
    knock(&mut client, user, name, clean, 100);
    match client.event().await {
        Event::Opened(opened) => {
            client.opened = *opened;
            Ok(client)
        }
        Event::Refused(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

fn knock(client: &mut Client, user: Option<&str>, name: &str, clean_start: bool, expiry_s: u32) {
    let credentials = Credentials { user: user.map(Into::into), ..Credentials::default() };
    let identity = Identity::Session { client: Some(ClientId::new(name)), clean_start, expiry_s };
    client.knock(credentials, identity, None);
}

fn start(directory: &Path) -> (Broker, Arc<Store>) {
    let options = storage::Options::new(directory);
    let opened: (Store, Recovered) = Store::open(options, Box::new(|error| panic!("{error}"))).unwrap();
    let store = Arc::new(opened.0);
    let recovered = Some((Arc::clone(&store), opened.1));
    let broker =
        Broker::start(Options::default(), recovered, Arc::new(Everybody), Arc::new(Metrics::default()));
    (broker.unwrap(), store)
}

/// Takes everybody for whom he says he is.
struct Everybody;

impl AccessControl for Everybody {
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a> {
        let user = credentials.user.as_deref().map(UserName::new);
        Box::pin(async { Ok((Principal { user }, Permissions::everything())) })
    }
}
