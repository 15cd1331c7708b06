//! STOMP queues and the three ways to acknowledge.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::socket::Next;
use harness::stomp::{Client, Frame};
use harness::wait::SOON;

#[test]
fn what_was_not_acknowledged_returns_in_order_and_says_so() -> Result<()> {
    let broker = Broker::new()?;
    let mut sender = Client::new(broker.at(Door::Stomp))?;
    for body in ["1", "2", "3", "4"] {
        sender.publish("/queue/individual", body.as_bytes())?;
    }
    let mut first = Client::new(broker.at(Door::Stomp))?;
    first.subscribe("0", "/queue/individual", "client-individual")?;
    let messages: Vec<Frame> = (0..4).map(|_| first.expect("MESSAGE")).collect::<std::io::Result<_>>()?;
    ensure!(
        messages.iter().all(|message| message.header("redelivered").is_none_or(|again| again == "false"))
    );
    // Only the second and the fourth.
    for message in [messages.get(1), messages.get(3)].into_iter().flatten() {
        first.settle("ACK", message)?;
    }
    first.request(Frame::new("DISCONNECT"))?;
    drop(first);
    let mut second = Client::new(broker.at(Door::Stomp))?;
    second.subscribe("0", "/queue/individual", "auto")?;
    for body in ["1", "3"] {
        let message = second.expect("MESSAGE")?;
        ensure!(
            message.text() == body && message.header("redelivered") == Some("true"),
            "{body}: {message:?}"
        );
    }
    ensure!(second.next(Duration::from_millis(200))? == Next::Silence, "more came");
    Ok(())
}

#[test]
fn in_client_mode_an_ack_covers_what_came_before_in_its_subscription() -> Result<()> {
    let broker = Broker::new()?;
    let mut sender = Client::new(broker.at(Door::Stomp))?;
    for (queue, body) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
        sender.publish(&format!("/queue/{queue}"), body.as_bytes())?;
    }
    let mut first = Client::new(broker.at(Door::Stomp))?;
    first.subscribe("a", "/queue/a", "client")?;
    let messages: Vec<Frame> = (0..3).map(|_| first.expect("MESSAGE")).collect::<std::io::Result<_>>()?;
    first.send(
        &Frame::new("SUBSCRIBE").with("id", "b").with("destination", "/queue/b").with("ack", "client"),
    )?;
    first.expect("MESSAGE")?;
    if let Some(second) = messages.get(1) {
        first.settle("ACK", second)?;
    }
    first.request(Frame::new("DISCONNECT"))?;
    let mut second = Client::new(broker.at(Door::Stomp))?;
    second.subscribe("a", "/queue/a", "auto")?;
    ensure!(second.expect("MESSAGE")?.text() == "a3", "the ack did not cover what came before");
    second.subscribe("b", "/queue/b", "auto")?;
    ensure!(second.expect("MESSAGE")?.text() == "b1", "the ack covered another subscription");
    Ok(())
}

#[test]
fn a_nacked_message_comes_again() -> Result<()> {
    let broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.subscribe("0", "/queue/nack", "client-individual")?;
    let mut sender = Client::new(broker.at(Door::Stomp))?;
    sender.publish("/queue/nack", b"again")?;
    let message = client.expect("MESSAGE")?;
    client.settle("NACK", &message)?;
    let again = client.expect("MESSAGE")?;
    ensure!(again.text() == "again" && again.header("redelivered") == Some("true"), "{again:?}");
    client.settle("ACK", &again)?;
    ensure!(client.next(Duration::from_millis(200))? == Next::Silence, "it came a third time");
    Ok(())
}

#[test]
fn consumers_of_one_queue_share_its_messages() -> Result<()> {
    let broker = Broker::new()?;
    let mut consumers = vec![Client::new(broker.at(Door::Stomp))?, Client::new(broker.at(Door::Stomp))?];
    for consumer in &mut consumers {
        let subscribe = Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/queue/shared");
        consumer.request(subscribe.with("ack", "client-individual").with("prefetch-count", "1"))?;
    }
    let mut sender = Client::new(broker.at(Door::Stomp))?;
    for number in 0..20 {
        sender.publish("/queue/shared", format!("{number}").as_bytes())?;
    }
    let mut counts = [0, 0];
    let mut bodies = Vec::new();
    let end = Instant::now() + SOON;
    while bodies.len() < 20 && Instant::now() < end {
        for (consumer, count) in consumers.iter_mut().zip(&mut counts) {
            if let Next::Some(message) = consumer.next(Duration::from_millis(20))? {
                bodies.push(message.text().parse::<u32>()?);
                consumer.settle("ACK", &message)?;
                *count += 1;
            }
        }
    }
    bodies.sort_unstable();
    ensure!(bodies.iter().copied().eq(0..20), "{bodies:?}");
    // Whoever is free takes the next one; neither waits while the other works.
    ensure!(counts.iter().all(|count| *count >= 5), "{counts:?}");
    Ok(())
}

#[test]
fn a_persistent_message_in_a_queue_survives_kill_minus_nine() -> Result<()> {
    let mut broker = Broker::new()?;
    let mut sender = Client::new(broker.at(Door::Stomp))?;
    for body in ["하나", "둘", "셋"] {
        sender.publish("/queue/kept", body.as_bytes())?;
    }
    broker.kill();
    broker.start()?;
    let mut consumer = Client::new(broker.at(Door::Stomp))?;
    consumer.subscribe("0", "/queue/kept", "auto")?;
    for body in ["하나", "둘", "셋"] {
        ensure!(consumer.expect("MESSAGE")?.text() == body, "not {body}");
    }
    Ok(())
}

#[test]
fn an_acknowledged_message_does_not_come_back_after_kill_minus_nine() -> Result<()> {
    let mut broker = Broker::new()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.publish("/queue/done", b"done")?;
    client.publish("/queue/done", b"waits")?;
    client.subscribe("0", "/queue/done", "client-individual")?;
    let message = client.expect("MESSAGE")?;
    client.expect("MESSAGE")?;
    let id = message.header("ack").unwrap_or_default().to_owned();
    client.request(Frame::new("ACK").with("id", &id))?;
    broker.kill();
    broker.start()?;
    let mut consumer = Client::new(broker.at(Door::Stomp))?;
    consumer.subscribe("0", "/queue/done", "auto")?;
    ensure!(consumer.expect("MESSAGE")?.text() == "waits", "an acknowledged message came back");
    ensure!(consumer.next(Duration::from_millis(200))? == Next::Silence, "more came");
    Ok(())
}
