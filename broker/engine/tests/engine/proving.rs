//! Who a client is, shown in several steps, and shown anew.

use std::sync::Arc;

use bytes::Bytes;
use engine::{Broker, Options};
use model::access::{AccessControl, Admission, Exchange, Step, Stepping};
use model::event::Event;
use model::name::{ClientId, UserName};
use model::principal::{Credentials, Permissions, Principal, Proof};
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{Identity, Operation, Proceed, Request, Submit, Ticket};
use telemetry::Metrics;

use crate::client::{Client, publish};

#[tokio::test]
async fn a_client_is_in_once_it_has_answered() {
    for method in ["AT ONCE", "LATER"] {
        let mut client = Client::stranger(&broker());
        knock(&mut client, method, "alice");
        assert_eq!(said(client.event().await), "challenged alice?");
        // Nothing else is done for it before that.
        client.ask(submit());
        answer(&mut client, "alice!");
        assert_eq!(said(client.event().await), "opened alice welcome");
    }
}

#[tokio::test]
async fn a_client_that_answers_wrongly_is_out() {
    let mut client = Client::stranger(&broker());
    knock(&mut client, "AT ONCE", "alice");
    client.event().await;
    answer(&mut client, "bob!");
    assert_eq!(said(client.event().await), "refused authentication failed: wrong");
    answer(&mut client, "alice!");
    knock(&mut client, "AT ONCE", "alice");
    assert!(client.poll().await.is_empty());
}

#[tokio::test]
async fn a_method_that_is_not_there_is_refused() {
    let mut client = Client::stranger(&broker());
    knock(&mut client, "NONE", "alice");
    assert!(said(client.event().await).starts_with("refused authentication method \"NONE\""));
}

#[tokio::test]
async fn a_client_that_is_in_shows_anew_who_it_is_and_works_meanwhile() {
    for method in ["AT ONCE", "LATER"] {
        let mut client = inside(method, "alice").await;
        for _ in 0..2 {
            renew(&mut client, method, "alice");
            assert_eq!(said(client.event().await), "challenged alice?");
            client.ask(submit());
            assert!(matches!(client.event().await, Event::Submitted { result: Ok(_), .. }));
            answer(&mut client, "alice!");
            assert_eq!(said(client.event().await), "renewed welcome");
        }
    }
}

#[tokio::test]
async fn a_client_does_not_become_somebody_else() {
    for method in ["AT ONCE", "LATER"] {
        let mut client = inside(method, "alice").await;
        renew(&mut client, method, "bob");
        assert_eq!(said(client.event().await), "challenged bob?");
        answer(&mut client, "bob!");
        assert!(said(client.event().await).starts_with("refused authentication failed: as another user"));
        renew(&mut client, method, "alice");
        client.event().await;
        answer(&mut client, "wrong");
        assert_eq!(said(client.event().await), "refused authentication failed: wrong");
    }
}

fn submit() -> Request {
    let publish = Operation::Publish(publish("a", "x", Qos::AtLeastOnce, None));
    Request::Submit(Submit { ticket: Ticket(1), answer: true, operations: [publish].into_iter().collect() })
}

async fn inside(method: &str, user: &str) -> Client {
    let mut client = Client::stranger(&broker());
    knock(&mut client, method, user);
    client.event().await;
    answer(&mut client, &format!("{user}!"));
    assert_eq!(said(client.event().await), format!("opened {user} welcome"));
    client
}

fn knock(client: &mut Client, method: &str, user: &str) {
    let name = Some(ClientId::new("c"));
    client.knock(
        credentials(method, user),
        Identity::Session { client: name, clean_start: true, expiry_s: 0 },
        None,
    );
}

fn renew(client: &mut Client, method: &str, user: &str) {
    client.ask(Request::Reauthenticate(Box::new(credentials(method, user))));
}

fn answer(client: &mut Client, text: &str) {
    client.ask(Request::Proceed(Proceed { data: Some(Bytes::copy_from_slice(text.as_bytes())) }));
}

fn credentials(method: &str, user: &str) -> Credentials {
    let data = Some(Bytes::copy_from_slice(user.as_bytes()));
    Credentials { proof: Some(Proof { method: method.into(), data }), ..Credentials::default() }
}

fn said(event: Event) -> String {
    let text = |data: &[u8]| String::from_utf8_lossy(data).into_owned();
    match event {
        Event::Challenged(data) => format!("challenged {}", text(&data)),
        Event::Opened(opened) => format!("opened {} {}", opened.user.unwrap(), text(&opened.proof.unwrap())),
        Event::Reauthenticated(data) => format!("renewed {}", text(&data.unwrap())),
        Event::Refused(refusal) => format!("refused {refusal}"),
        other => panic!("{other:?}"),
    }
}

fn broker() -> Broker {
    Broker::start(Options::default(), None, Arc::new(Gate), Arc::new(Metrics::default())).unwrap()
}

/// Asks everybody for his name and an exclamation mark.
struct Gate;

struct Asked {
    user: Option<String>,
    later: bool,
}

impl AccessControl for Gate {
    fn admit<'a>(&'a self, _: &'a Credentials) -> Admission<'a> {
        Box::pin(async { Err(Refusal::BadCredentials("by a method alone")) })
    }

    fn begin(&self, method: &str, _: &Credentials) -> Result<Box<dyn Exchange>, Refusal> {
        match method {
            "AT ONCE" | "LATER" => Ok(Box::new(Asked { user: None, later: method == "LATER" })),
            _ => Err(Refusal::NoMethod { method: method.to_owned(), supported: "AT ONCE, LATER" }),
        }
    }
}

impl Exchange for Asked {
    fn step<'a>(&'a mut self, data: Option<&'a [u8]>) -> Stepping<'a> {
        Box::pin(async move {
            if self.later {
                tokio::task::yield_now().await;
            }
            let text = String::from_utf8_lossy(data.unwrap_or_default()).into_owned();
            let Some(user) = &self.user else {
                let question = Bytes::from(format!("{text}?"));
                self.user = Some(text);
                return Ok(Step::Challenge(question));
            };
            if text != format!("{user}!") {
                return Err(Refusal::NotProven("wrong"));
            }
            Ok(Step::Proven {
                principal: Principal { user: Some(UserName::new(user)) },
                permissions: Permissions::everything(),
                data: Some(Bytes::from_static(b"welcome")),
            })
        })
    }
}
