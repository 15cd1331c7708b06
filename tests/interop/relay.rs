//! Spring's broker relay in front of our broker: two servers, their own connections, and one for each of their web clients.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::relay::{Relay, WebClient};
use harness::socket::Next;
use harness::wait::SOON;

#[test]
fn a_message_through_either_server_reaches_everybody_in_the_channel_once_and_nobody_else() -> Result<()> {
    let broker = Broker::new()?;
    let at = broker.at(Door::Stomp);
    let (mut first, mut second) = (Relay::start(at)?, Relay::start(at)?);
    let mut inside = vec![join(&first, "s1", ROOM)?, join(&first, "s2", ROOM)?, join(&second, "s3", ROOM)?];
    let mut outside = join(&second, "s4", "/topic/chat.room.6")?;
    let mut said = Vec::new();
    for number in 0..50 {
        let body = format!("{{\"안녕\":{number}}}");
        match number % 3 {
            0 => first.send(ROOM, &body)?,
            1 => second.send(ROOM, &body)?,
            _ => inside[2].send(ROOM, &body)?,
        }
        // Three connections have no order among each other: each waits until the last one was heard.
        for client in &mut inside {
            ensure!(client.hear()? == (ROOM.to_owned(), body.clone()), "{body} was not heard in its turn");
        }
        said.push(body);
    }
    for client in &mut inside {
        client.send("/topic/chat.room.6", "marker")?;
    }
    for _ in 0..3 {
        ensure!(outside.hear()?.1 == "marker", "the other channel heard of this one");
    }
    for client in &mut inside {
        ensure!(client.hears_nothing(QUIET)?, "a message came twice");
    }
    Ok(())
}

#[test]
fn a_message_to_a_user_reaches_that_session_alone_under_the_name_that_it_asked_for() -> Result<()> {
    let broker = Broker::new()?;
    let at = broker.at(Door::Stomp);
    let (mut first, second) = (Relay::start(at)?, Relay::start(at)?);
    let asked = "/user/queue/errors";
    let mut ann = join(&first, "ann", asked)?;
    let mut bob = join(&second, "bob", asked)?;
    // Through the other server than his.
    first.send_to_user("bob", asked, "to bob")?;
    ensure!(bob.hear()? == (asked.to_owned(), "to bob".to_owned()), "bob heard something else");
    first.send_to_user("ann", asked, "to ann")?;
    ensure!(ann.hear()? == (asked.to_owned(), "to ann".to_owned()), "ann heard something else");
    ensure!(bob.hears_nothing(QUIET)? && ann.hears_nothing(QUIET)?, "somebody heard too much");
    Ok(())
}

#[test]
fn a_client_leaves_with_a_receipt_and_the_broker_closes_or_vanishes_and_others_stay() -> Result<()> {
    let broker = Broker::new()?;
    let mut relay = Relay::start(broker.at(Door::Stomp))?;
    let mut stays = join(&relay, "stays", ROOM)?;
    join(&relay, "leaves", ROOM)?.leave()?;
    join(&relay, "vanishes", ROOM)?.vanish()?;
    relay.send(ROOM, "still there?")?;
    ensure!(stays.hear()?.1 == "still there?", "something else came");
    Ok(())
}

#[test]
fn an_error_ends_the_session_that_it_is_about_and_no_other() -> Result<()> {
    let broker = Broker::new()?;
    let mut relay = Relay::start(broker.at(Door::Stomp))?;
    let mut stays = join(&relay, "stays", ROOM)?;
    let mut errs = join(&relay, "errs", ROOM)?;
    errs.send("/nonsense/where", "x")?;
    let error = errs.client.expect("ERROR")?;
    ensure!(error.header("message") == Some("Unknown destination"), "{error:?}");
    ensure!(errs.client.closes(SOON)?, "the broker stays after an ERROR");
    relay.send(ROOM, "others")?;
    ensure!(stays.hear()?.1 == "others", "something else came");
    Ok(())
}

#[test]
fn heart_beats_of_ten_seconds_are_agreed_on_and_come() -> Result<()> {
    let broker = Broker::new()?;
    let mut relay = Relay::start(broker.at(Door::Stomp))?;
    let web = relay.join("web", &[("accept-version", "1.2,1.1,1.0"), ("heart-beat", "10000,10000")])?;
    for connected in [&relay.connected, &web.connected] {
        ensure!(connected.header("heart-beat") == Some("10000,10000"), "{connected:?}");
        ensure!(connected.header("version") == Some("1.2"), "{connected:?}");
    }
    // Spring gives a broker up after three intervals of silence; a beat that is due after one must come well before.
    let began = Instant::now();
    let end = Duration::from_secs(25);
    while relay.system.socket.buffer.is_empty() {
        let left = end.checked_sub(began.elapsed()).unwrap_or_default();
        ensure!(!left.is_zero(), "no beat came in {end:?}");
        ensure!(relay.system.socket.fill(left)? != Next::Closed, "the broker closed");
    }
    ensure!(
        relay.system.socket.buffer.iter().all(|byte| *byte == b'\n'),
        "no beat: {:?}",
        relay.system.socket.buffer
    );
    Ok(())
}

#[test]
fn a_server_and_its_clients_come_back_when_the_broker_does() -> Result<()> {
    let mut broker = Broker::new()?;
    let at = broker.at(Door::Stomp);
    let mut relay = Relay::start(at)?;
    let mut client = join(&relay, "before", ROOM)?;
    broker.stop()?;
    // An ERROR may say why; then both are without a broker, and Spring tries again every five seconds.
    ensure!(relay.system.closes(SOON)? && client.client.closes(SOON)?, "a stopped broker stays connected");
    ensure!(Relay::start(at).is_err(), "somebody else answers there");
    broker.start()?;
    let mut relay = Relay::start(at)?;
    let mut client = join(&relay, "after", ROOM)?;
    relay.send(ROOM, "back")?;
    ensure!(client.hear()?.1 == "back", "something else came");
    Ok(())
}

/// A browser with stompjs behind the relay; subscribed when this returns.
fn join(relay: &Relay, session: &str, destination: &str) -> Result<WebClient> {
    let headers = [
        ("accept-version", "1.2,1.1,1.0"),
        ("heart-beat", "10000,10000"),
        ("Authorization", "Bearer nobody.reads.this"),
        ("login", "the browser's own"),
    ];
    let mut client = relay.join(session, &headers)?;
    client.subscribe("sub-0", destination)?;
    Ok(client)
}

const ROOM: &str = "/topic/chat.room.5";
/// Long enough for a message that should not come.
const QUIET: Duration = Duration::from_millis(300);
