//! How fast clients may publish: below the limit nobody notices, beyond it they are read more slowly, and nothing is lost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::Publish;
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, publish};
use harness::prometheus::Page;
use harness::socket::Next;
use harness::stomp::Client as Stomp;
use harness::wait::SOON;

#[test]
fn whoever_publishes_faster_than_he_may_is_slowed_and_nothing_is_lost() -> Result<()> {
    let broker = limits("publish_rate = 100")?;
    for version in Version::ALL {
        let mut reader = Client::clean(broker.at(Door::Mqtt), version, "reader")?;
        reader.subscribe("t", 0)?;
        let before = slowed(&broker)?;
        let mut fast = Client::clean(broker.at(Door::Mqtt), version, "fast")?;
        let begin = Instant::now();
        let all: Vec<u8> =
            (0..300_u32).flat_map(|n| publish(version, &Publish::new("t", &n.to_be_bytes(), 0))).collect();
        fast.send(&all)?;
        for number in 0..300_u32 {
            let message = reader.take()?;
            ensure!(message.payload == number.to_be_bytes(), "{version:?}: {message:?}, not {number}");
        }
        // The first hundred at once; 4 KiB are read at a time, which is most of them: they are paid for afterwards.
        fast.publish("t", b"last", 1)?;
        let took = begin.elapsed();
        ensure!(took > Duration::from_millis(1900), "{version:?}: 300 messages took {took:?}");
        ensure!(slowed(&broker)? > before, "{version:?}: not counted");
    }
    broker.journal().wait_for(&["client.slowed", "client=fast"], SOON)?;
    Ok(())
}

#[test]
fn whoever_keeps_to_the_limit_is_not_slowed() -> Result<()> {
    let broker = limits("publish_rate = 100\npublish_rate_bytes = \"10KiB\"")?;
    let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    for _ in 0..99 {
        client.publish("t", &[0; 100], 0)?;
    }
    client.publish("t", &[0; 100], 1)?;
    ensure!(slowed(&broker)? == 0.0, "slowed at the limit");
    Ok(())
}

#[test]
fn bytes_are_limited_as_messages_are() -> Result<()> {
    let broker = limits("publish_rate_bytes = \"10KiB\"")?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    let begin = Instant::now();
    for _ in 0..3 {
        stomp.publish("/topic/t", &[b'x'; 10 * 1024])?;
    }
    // What comes behind the third waits until that is paid for.
    stomp.publish("/topic/t", b"last")?;
    let took = begin.elapsed();
    ensure!(took > Duration::from_millis(1900), "30 KiB took {took:?}");
    Ok(())
}

#[test]
fn clients_of_one_user_share_what_he_may() -> Result<()> {
    let config = "[limits]\npublish_rate_user = 50\n";
    let broker = Setup::new().config(config).user("ann").user("bob").start()?;
    let client = |user: &str, id: &str| -> Result<Client> {
        let mut connect = Connect::new(Version::V5, id);
        connect.login = Some((user.to_owned(), user.to_owned()));
        Ok(Client::connect(broker.at(Door::Mqtt), &connect)?.0)
    };
    let (mut one, mut two, mut bob) = (client("ann", "one")?, client("ann", "two")?, client("bob", "bob")?);
    let begin = Instant::now();
    for _ in 0..100 {
        one.publish("t", b"x", 0)?;
    }
    one.publish("t", b"x", 1)?;
    for _ in 0..10 {
        bob.publish("t", b"x", 1)?;
    }
    ensure!(slowed(&broker)? > 0.0, "ann is not slowed");
    // Hers is the next second, too.
    two.publish("t", b"x", 1)?;
    two.publish("t", b"x", 1)?;
    let took = begin.elapsed();
    ensure!(took > Duration::from_millis(900), "103 messages took {took:?}");
    Ok(())
}

#[test]
fn clients_of_one_user_share_the_bytes_that_he_may_say() -> Result<()> {
    let config = "[limits]\npublish_rate_user_bytes = \"10KiB\"\n";
    let broker = Setup::new().config(config).user("ann").start()?;
    let mut clients = Vec::new();
    for id in ["one", "two"] {
        let mut connect = Connect::new(Version::V5, id);
        connect.login = Some(("ann".to_owned(), "ann".to_owned()));
        clients.push(Client::connect(broker.at(Door::Mqtt), &connect)?.0);
    }
    let [one, two] = clients.as_mut_slice() else { anyhow::bail!("two clients") };
    // Both within what there is at once.
    let begin = Instant::now();
    one.publish("t", &[0; 4 * 1024], 1)?;
    two.publish("t", &[0; 4 * 1024], 1)?;
    ensure!(slowed(&broker)? == 0.0, "slowed below the limit");
    // And beyond: what the one said, the other waits for.
    for _ in 0..3 {
        one.publish("t", &[0; 8 * 1024], 0)?;
    }
    one.publish("t", b"x", 1)?;
    two.publish("t", b"x", 1)?;
    two.publish("t", b"x", 1)?;
    let took = begin.elapsed();
    ensure!(slowed(&broker)? > 0.0, "ann is not slowed");
    ensure!(took > Duration::from_millis(1900), "32 KiB took {took:?}");
    Ok(())
}

#[test]
fn a_client_that_is_slowed_is_not_taken_for_silent() -> Result<()> {
    let broker = limits("publish_rate = 10")?;
    let connect = Connect { keep_alive_s: 1, ..Connect::new(Version::V5, "busy") };
    let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &connect)?;
    // Paid for in about five seconds, of which it says nothing in the last ones that is read.
    for _ in 0..60 {
        client.publish("t", b"x", 0)?;
    }
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        client.send(&[0xc0, 0])?;
        let next = client.next(Duration::from_millis(400))?;
        ensure!(next != Next::Closed, "given up after {:?}", begin.elapsed());
    }
    Ok(())
}

fn limits(limits: &str) -> Result<Broker> {
    Setup::new().config(&format!("[limits]\n{limits}\n")).start()
}

fn slowed(broker: &Broker) -> Result<f64> {
    let page = Page::parse(&Admin::nobody(broker).get("/metrics")?.body)?;
    page.value("duetmq_clients_slowed_total", &[]).context("a count")
}
