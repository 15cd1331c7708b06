//! Clients that are sent to another server (4.11).

use model::event::{Event, Farewell};
use model::refusal::Refusal;
use mqtt::packet::Packet;
use mqtt::reason::Reason;
use mqtt::version::Version::{self, V5, V31, V311};
use mqtt::{Options, Redirect, When};

use crate::driver::{Client, connect};

#[test]
fn a_client_is_sent_elsewhere_before_it_is_in() {
    // 3.2.2.3.16
    for (when, reason) in
        [(When::Temporary, Reason::UseAnotherServer), (When::Permanent, Reason::ServerMoved)]
    {
        let mut client = knocking(V5, when);
        assert_eq!(client.requests(), [""; 0], "nobody is asked");
        assert_eq!(told(&mut client), (reason, Some("there:1".to_owned())));
        assert!(client.closed().is_some());
        for version in [V31, V311] {
            let mut client = knocking(version, when);
            assert_eq!(client.says(), ["CONNACK ServerUnavailable present false"]);
            assert!(client.closed().is_some());
        }
    }
    assert_eq!(knocking(V5, When::AtShutdown).requests().len(), 1);
}

#[test]
fn a_client_is_sent_elsewhere_when_the_server_stops() {
    // 3.14.2.2.5
    let mut client = Client::open_with(connect(V5), options(When::AtShutdown));
    client.event(Event::Closing(Farewell::ShuttingDown));
    assert_eq!(told(&mut client), (Reason::UseAnotherServer, Some("there:1".to_owned())));
    // For another reason it may come again to the same one.
    let mut client = Client::open_with(connect(V5), options(When::AtShutdown));
    client.event(Event::Closing(Farewell::Kicked));
    assert_eq!(told(&mut client), (Reason::AdministrativeAction, None));
    let mut client = Client::open_with(connect(V5), Options::default());
    client.event(Event::Closing(Farewell::ShuttingDown));
    assert_eq!(told(&mut client), (Reason::ServerShuttingDown, None));
    // And so it is with one that is not in yet.
    let mut client = knocking(V5, When::AtShutdown);
    client.event(Event::Refused(Refusal::ShuttingDown));
    assert_eq!(told(&mut client), (Reason::UseAnotherServer, Some("there:1".to_owned())));
}

fn options(when: When) -> Options {
    Options { redirect: Some(Redirect { reference: "there:1".into(), when }), ..Options::default() }
}

fn knocking(version: Version, when: When) -> Client {
    let mut client = Client::stranger(version, options(when));
    client.send(Packet::Connect(Box::new(connect(version))));
    client
}

/// The code and the server reference of the last packet.
fn told(client: &mut Client) -> (Reason, Option<String>) {
    let (reason, properties) = match client.packets().pop() {
        Some(Packet::Connack(connack)) => (connack.reason, connack.properties),
        Some(Packet::Disconnect(disconnect)) => (disconnect.reason, disconnect.properties),
        other => panic!("{other:?}"),
    };
    (
        reason,
        properties.and_then(|properties| properties.server_reference.clone()).map(|text| text.to_string()),
    )
}
