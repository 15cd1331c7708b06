//! One consumer takes all, and the next one follows: `x-single-active-consumer`.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::socket::Next;
use harness::stomp::{Client, Frame};

const QUIET: Duration = Duration::from_millis(300);

#[test]
fn the_next_consumer_takes_over_in_order_when_the_active_one_is_lost_or_leaves() -> Result<()> {
    let broker = Broker::new()?;
    let mut sender = Client::new(broker.at(Door::Stomp))?;
    let mut first = waiting(&broker, "3")?;
    let mut second = waiting(&broker, "100")?;
    let mut third = waiting(&broker, "100")?;
    for number in 0..10 {
        sender.publish("/queue/one", number.to_string().as_bytes())?;
    }
    let taken = [first.expect("MESSAGE")?, first.expect("MESSAGE")?, first.expect("MESSAGE")?];
    ensure!(taken.iter().map(Frame::text).collect::<String>() == "012", "{taken:?}");
    ensure!(second.next(QUIET)? == Next::Silence && third.next(QUIET)? == Next::Silence, "they wait");
    first.settle("ACK", &taken[0])?;
    ensure!(first.expect("MESSAGE")?.text() == "3", "the active one goes on");
    // It is lost with three messages that it has not acknowledged.
    drop(first);
    for number in 1..10 {
        let message = second.expect("MESSAGE")?;
        ensure!(message.text() == number.to_string(), "not {number}: {message:?}");
        let again = if number <= 3 { "true" } else { "false" };
        ensure!(message.header("redelivered") == Some(again), "{number}: {message:?}");
        if number % 2 == 1 {
            second.settle("ACK", &message)?;
        }
    }
    ensure!(third.next(QUIET)? == Next::Silence, "it waits still");
    // It leaves in an orderly way, and stands behind the others when it comes back.
    second.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
    second.request(ask("100"))?;
    for number in [2, 4, 6, 8] {
        let message = third.expect("MESSAGE")?;
        ensure!(
            message.text() == number.to_string() && message.header("redelivered") == Some("true"),
            "{message:?}"
        );
    }
    sender.publish("/queue/one", b"more")?;
    ensure!(third.expect("MESSAGE")?.text() == "more", "the third one is active");
    ensure!(second.next(QUIET)? == Next::Silence, "it came back as the last one");
    Ok(())
}

#[test]
fn a_queue_of_one_active_consumer_is_one_after_kill_minus_nine_and_for_whoever_asks_nothing() -> Result<()> {
    let mut broker =
        Setup::new().config("[[queue]]\nname = \"declared\"\nsingle_active_consumer = true\n").start()?;
    let made = waiting(&broker, "10")?;
    drop(made);
    broker.kill();
    broker.start()?;
    for queue in ["/queue/one", "/queue/declared"] {
        let mut first = Client::new(broker.at(Door::Stomp))?;
        first.subscribe("0", queue, "auto")?;
        let mut second = Client::new(broker.at(Door::Stomp))?;
        second.subscribe("0", queue, "auto")?;
        for number in 0..20 {
            second.publish(queue, number.to_string().as_bytes())?;
        }
        for number in 0..20 {
            ensure!(first.expect("MESSAGE")?.text() == number.to_string(), "{queue}: {number} is not there");
        }
        ensure!(second.next(QUIET)? == Next::Silence, "{queue} is shared");
        // Whoever says that it is to be shared is wrong.
        second.send(
            &Frame::new("SUBSCRIBE").with("id", "1").with("destination", queue).with(ARGUMENT, "false"),
        )?;
        let error = second.expect("ERROR")?;
        ensure!(error.header("error-code") == Some("precondition_failed"), "{error:?}");
    }
    Ok(())
}

/// A consumer of the queue, the last one in line.
fn waiting(broker: &Broker, prefetch: &str) -> Result<Client> {
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.request(ask(prefetch))?;
    Ok(client)
}

fn ask(prefetch: &str) -> Frame {
    let subscribe = Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/queue/one");
    subscribe.with("ack", "client-individual").with("prefetch-count", prefetch).with(ARGUMENT, "true")
}

const ARGUMENT: &str = "x-single-active-consumer";
