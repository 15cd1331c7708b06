//! STOMP transactions: together or not at all.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::socket::Next;
use harness::stomp::{Client, Frame};

#[test]
fn what_is_sent_in_a_transaction_comes_at_its_commit_and_in_order() -> Result<()> {
    let broker = Broker::new()?;
    let mut consumer = Client::new(broker.at(Door::Stomp))?;
    consumer.subscribe("0", "/queue/t", "auto")?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.request(Frame::new("BEGIN").with("transaction", "t"))?;
    for body in ["1", "2", "3"] {
        client.send(&send(body).with("transaction", "t"))?;
    }
    // Beside it, and therefore before it.
    client.request(send("0"))?;
    ensure!(consumer.expect("MESSAGE")?.text() == "0", "something came before COMMIT");
    client.request(Frame::new("COMMIT").with("transaction", "t"))?;
    for body in ["1", "2", "3"] {
        ensure!(consumer.expect("MESSAGE")?.text() == body, "not {body}");
    }
    Ok(())
}

#[test]
fn an_aborted_or_abandoned_transaction_leaves_nothing() -> Result<()> {
    let broker = Broker::new()?;
    let mut consumer = Client::new(broker.at(Door::Stomp))?;
    consumer.subscribe("0", "/queue/t", "auto")?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.request(Frame::new("BEGIN").with("transaction", "t"))?;
    client.send(&send("aborted").with("transaction", "t"))?;
    client.request(Frame::new("ABORT").with("transaction", "t"))?;
    client.request(Frame::new("BEGIN").with("transaction", "u"))?;
    client.send(&send("abandoned").with("transaction", "u"))?;
    client.request(Frame::new("DISCONNECT"))?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.request(send("end"))?;
    ensure!(consumer.expect("MESSAGE")?.text() == "end", "something of a transaction that was not committed");
    Ok(())
}

#[test]
fn an_ack_in_a_transaction_counts_when_it_is_committed() -> Result<()> {
    let broker = Broker::new()?;
    for (end, returns) in [("COMMIT", false), ("ABORT", true)] {
        let mut client = Client::new(broker.at(Door::Stomp))?;
        client.subscribe("0", "/queue/t", "client-individual")?;
        client.send(&send(end))?;
        let message = client.expect("MESSAGE")?;
        client.request(Frame::new("BEGIN").with("transaction", "t"))?;
        let id = message.header("ack").unwrap_or_default().to_owned();
        client.send(&Frame::new("ACK").with("id", &id).with("transaction", "t"))?;
        client.request(Frame::new(end).with("transaction", "t"))?;
        client.request(Frame::new("DISCONNECT"))?;
        let mut next = Client::new(broker.at(Door::Stomp))?;
        next.subscribe("0", "/queue/t", "auto")?;
        let came = next.next(Duration::from_millis(300))?;
        ensure!((came != Next::Silence) == returns, "{end}: {came:?}");
    }
    Ok(())
}

fn send(body: &str) -> Frame {
    Frame::new("SEND").with("destination", "/queue/t").with("persistent", "true").body(body.as_bytes())
}
