//! What one may do may end, and be shown anew.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::{Broker, Options};
use model::access::{AccessControl, Admission};
use model::event::Event;
use model::name::{ClientId, UserName};
use model::principal::{Credentials, Permissions, Principal, Term};
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{Identity, Operation, Request, Submit, Ticket};
use model::time::WallMs;
use telemetry::Metrics;

use crate::client::{Client, publish};

#[tokio::test]
async fn what_has_ended_is_refused_and_what_ends_later_is_not() {
    for identity in identities() {
        // What a user may do ended a minute ago, and is taken for a while yet; or is not.
        let mut client = inside(identity(), "alice -60 60").await;
        assert!(matches!(publishes(&mut client, 1).await, Ok(())));
        let mut client = inside(identity(), "alice -60 -1").await;
        let expired = Err(Refusal::Expired { at: WallMs(wall_s().saturating_add_signed(-60) * 1000) });
        assert_eq!(publishes(&mut client, 1).await.map_err(in_seconds), expired);
        assert_eq!(publishes(&mut client, 2).await.map_err(in_seconds), expired, "all of it or nothing");
        client.begin_to_subscribe("a", Qos::AtLeastOnce);
        let Event::Subscribed { results, .. } = client.event().await else { panic!("an answer") };
        let refused: Vec<_> =
            results.into_iter().map(|result| result.map(drop).map_err(in_seconds)).collect();
        assert_eq!(refused, std::slice::from_ref(&expired));
        // Something newer in time, and all goes on.
        show(&mut client, "alice 60 60");
        assert!(matches!(client.event().await, Event::Reauthenticated(None)));
        ends_in(client.event().await, 60);
        assert_eq!(publishes(&mut client, 1).await, Ok(()));
        if matches!(identity(), Identity::Session { .. }) {
            client.subscribe("a", Qos::AtLeastOnce).await;
        }
    }
}

#[tokio::test]
async fn what_is_older_shortens_nothing_and_somebody_else_gets_nothing() {
    let mut client = inside(Identity::Connection, "alice 600 600").await;
    show(&mut client, "alice 60 60");
    assert!(matches!(client.event().await, Event::Reauthenticated(None)));
    ends_in(client.event().await, 600);
    for token in ["bob 6000 6000", "bad"] {
        show(&mut client, token);
        assert!(matches!(client.event().await, Event::Refused(_)), "{token}");
        assert_eq!(publishes(&mut client, 1).await, Ok(()), "and all stays as it was");
    }
    show(&mut client, "alice 6000 6000");
    assert!(matches!(client.event().await, Event::Reauthenticated(None)));
    ends_in(client.event().await, 6000);
}

#[tokio::test]
async fn what_has_no_end_is_not_spoken_of() {
    let mut client = Client::stranger(&broker());
    client.knock(credentials("alice"), Identity::Connection, None);
    assert!(matches!(client.event().await, Event::Opened(_)));
    assert_eq!(publishes(&mut client, 1).await, Ok(()));
    assert!(client.poll().await.is_empty());
}

fn identities() -> [fn() -> Identity; 2] {
    let session = || Identity::Session { client: Some(ClientId::new("c")), clean_start: true, expiry_s: 0 };
    [|| Identity::Connection, session]
}

async fn inside(identity: Identity, token: &str) -> Client {
    let mut client = Client::stranger(&broker());
    client.knock(credentials(token), identity, None);
    assert!(matches!(client.event().await, Event::Opened(_)));
    let until = token.split(' ').nth(2).unwrap().parse().unwrap();
    ends_in(client.event().await, until);
    client
}

fn show(client: &mut Client, token: &str) {
    client.ask(Request::Reauthenticate(Box::new(credentials(token))));
}

/// Publishes so many together.
async fn publishes(client: &mut Client, count: usize) -> Result<(), Refusal> {
    let one = || Operation::Publish(publish("a", "x", Qos::AtLeastOnce, None));
    let operations = std::iter::repeat_with(one).take(count).collect();
    client.ask(Request::Submit(Submit { ticket: Ticket(1), answer: true, operations }));
    match client.event().await {
        Event::Submitted { result, .. } => result.map(drop),
        other => panic!("{other:?}"),
    }
}

/// The clock may have gone on since.
fn in_seconds(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Expired { at } => {
            let expected = wall_s().saturating_add_signed(-60);
            assert!((expected - 20..=expected).contains(&(at.0 / 1000)), "{at}");
            Refusal::Expired { at: WallMs(expected * 1000) }
        }
        other => other,
    }
}

#[track_caller]
fn ends_in(event: Event, seconds: i64) {
    let Event::Expires(ending) = event else { panic!("{event:?}") };
    let left = ending.until.saturating_duration_since(Instant::now());
    let expected = Duration::from_secs(seconds.try_into().unwrap_or(0));
    assert!(left <= expected + Duration::from_secs(1), "{left:?}");
    assert!(left + Duration::from_secs(20) >= expected, "{left:?}");
}

fn credentials(token: &str) -> Credentials {
    Credentials { token: Some(token.into()), ..Credentials::default() }
}

fn broker() -> Broker {
    Broker::start(Options::default(), None, Arc::new(Gate), Arc::new(Metrics::default())).unwrap()
}

fn wall_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Believes everything: a user, when his time ends, and until when that is taken, in seconds from now.
struct Gate;

impl AccessControl for Gate {
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a> {
        let token = credentials.token.as_deref().unwrap_or_default();
        let parts: Vec<&str> = token.split(' ').collect();
        let from_now = |text: &str| WallMs(wall_s().saturating_add_signed(text.parse().unwrap()) * 1000);
        let term = match parts[..] {
            [_, at, until] => Some(Term { expires_at: from_now(at), until: from_now(until) }),
            _ => None,
        };
        let permissions = Permissions::everything();
        let permissions = term.map_or(permissions.clone(), |term| permissions.for_term(term));
        let principal = Principal { user: parts.first().map(|user| UserName::new(user)) };
        let admitted =
            if token == "bad" { Err(Refusal::BadToken("bad")) } else { Ok((principal, permissions)) };
        Box::pin(std::future::ready(admitted))
    }
}
