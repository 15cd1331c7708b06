//! What comes back: to which place, and with what mark.

use crate::case::Case;
use crate::stage::{QUIET, show, take};
use crate::topology::Topology;
use anyhow::Result;
use harness::stomp::{Client, Frame};

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    let one = || Topology::new().queue("@q");
    let mut all = vec![
        Case::new("a lost connection gives all back, in order, as redelivered", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2", "3", "4"])?;
            let mut client = stage.consumer("@q", "3")?;
            taken(&mut client, 3)?;
            drop(client);
            std::thread::sleep(QUIET);
            stage.drain(&["@q"], &["redelivered"])
        }),
        Case::new("DISCONNECT gives all back as well", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2"])?;
            let mut client = stage.consumer("@q", "1")?;
            taken(&mut client, 1)?;
            client.request(Frame::new("DISCONNECT"))?;
            std::thread::sleep(QUIET);
            stage.drain(&["@q"], &["redelivered"])
        }),
        Case::new("what was acknowledged does not come back", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2", "3"])?;
            let mut client = stage.consumer("@q", "3")?;
            let came = taken(&mut client, 3)?;
            settle(&mut client, "ACK", came.get(1), &[])?;
            drop(client);
            std::thread::sleep(QUIET);
            stage.drain(&["@q"], &["redelivered"])
        }),
    ];
    all.extend(nacks());
    all
}

fn nacks() -> Vec<Case> {
    [of_one(), cumulative(), otherwise()].into_iter().flatten().collect()
}

fn of_one() -> Vec<Case> {
    let one = || Topology::new().queue("@q");
    vec![
        Case::new("NACK of one goes back before those that came after it", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2", "3", "4"])?;
            let mut client = stage.consumer("@q", "2")?;
            let came = taken(&mut client, 2)?;
            settle(&mut client, "NACK", came.first(), &[])?;
            let again = take(&mut client)?;
            stage.see(show(&again, &["redelivered"]));
            drop(client);
            std::thread::sleep(QUIET);
            stage.drain(&["@q"], &["redelivered"])
        }),
        Case::new("NACK of several in any order: they are in their first order again", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2", "3", "4", "5"])?;
            let mut client = stage.consumer("@q", "4")?;
            let came = taken(&mut client, 4)?;
            client.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
            drop((came, client));
            std::thread::sleep(QUIET);
            stage.drain(&["@q"], &["redelivered"])
        }),
        Case::new("NACK in client mode is cumulative", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2", "3"])?;
            let mut client = stage.client()?;
            let headers = [("ack", "client"), ("prefetch-count", "3")];
            stage.subscribe(&mut client, "0", "/amq/queue/@q", &headers)?;
            let came = taken(&mut client, 3)?;
            settle(&mut client, "NACK", came.get(1), &[("requeue", "false")])?;
            drop(client);
            std::thread::sleep(QUIET);
            stage.drain(&["@q"], &["redelivered"])
        }),
        Case::new("ACK in client mode is cumulative", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2", "3"])?;
            let mut client = stage.client()?;
            let headers = [("ack", "client"), ("prefetch-count", "3")];
            stage.subscribe(&mut client, "0", "/amq/queue/@q", &headers)?;
            let came = taken(&mut client, 3)?;
            settle(&mut client, "ACK", came.get(1), &[])?;
            drop(client);
            std::thread::sleep(QUIET);
            stage.drain(&["@q"], &["redelivered"])
        }),
        Case::new("a cumulative ACK and other subscriptions of the connection", two(), |stage| {
            stage.send_all("/amq/queue/@one", &["1"])?;
            stage.send_all("/amq/queue/@two", &["2"])?;
            let mut client = stage.client()?;
            stage.subscribe(&mut client, "one", "/amq/queue/@one", &[("ack", "client")])?;
            take(&mut client)?;
            stage.subscribe(&mut client, "two", "/amq/queue/@two", &[("ack", "client")])?;
            let second = take(&mut client)?;
            settle(&mut client, "ACK", Some(&second), &[])?;
            drop(client);
            std::thread::sleep(QUIET);
            stage.drain(&["@one", "@two"], &[])
        })
        .but("A cumulative ACK is for its own subscription, as STOMP says: what another one got is not lost"),
    ]
}

fn cumulative() -> Vec<Case> {
    let one = || Topology::new().queue("@q");
    vec![
        Case::new("requeue:false drops where there are no dead letters", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2"])?;
            let mut client = stage.consumer("@q", "1")?;
            let first = take(&mut client)?;
            settle(&mut client, "NACK", Some(&first), &[("requeue", "false")])?;
            drop(client);
            std::thread::sleep(QUIET);
            stage.drain(&["@q"], &[])
        }),
        Case::new("what one gives back another gets", one(), |stage| {
            let mut first = stage.consumer("@q", "1")?;
            stage.send_all("/amq/queue/@q", &["1"])?;
            let message = take(&mut first)?;
            let mut second = stage.consumer("@q", "1")?;
            drop(first);
            let again = take(&mut second)?;
            stage.see(format!(
                "{} then {}",
                show(&message, &["redelivered"]),
                show(&again, &["redelivered"])
            ));
            Ok(())
        }),
        Case::new("ACK in a transaction that is aborted, then the connection's end", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2"])?;
            let mut client = stage.consumer("@q", "2")?;
            let came = taken(&mut client, 2)?;
            client.send(&Frame::new("BEGIN").with("transaction", "t"))?;
            let id = came.first().and_then(|message| message.header("ack")).unwrap_or_default();
            client.send(&Frame::new("ACK").with("id", id).with("transaction", "t"))?;
            client.request(Frame::new("ABORT").with("transaction", "t"))?;
            drop(client);
            std::thread::sleep(QUIET);
            stage.drain(&["@q"], &["redelivered"])
        }),
        Case::new(
            "UNSUBSCRIBE with messages unacknowledged: when the next consumer gets them",
            one(),
            |stage| {
                stage.send_all("/amq/queue/@q", &["1", "2"])?;
                let mut client = stage.consumer("@q", "1")?;
                taken(&mut client, 1)?;
                client.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
                stage.drain(&["@q"], &[])?;
                drop(client);
                std::thread::sleep(QUIET);
                stage.drain(&["@q"], &["redelivered"])
            },
        )
        .but("It goes back at once: it does not wait for the end of a connection that has given the subscription up"),
    ]
}

fn otherwise() -> Vec<Case> {
    vec![
        Case::new(
            "x-delivery-limit: given up after so many returns",
            Topology::new().queue("@dead"),
            |stage| {
                let mut client = stage.client()?;
                let headers = [
                    ("ack", "client-individual"),
                    ("x-delivery-limit", "2"),
                    ("x-dead-letter-exchange", ""),
                    ("x-dead-letter-routing-key", "@dead"),
                ];
                let answer = stage
                    .ask(&mut client, &stage.frame("SUBSCRIBE", "/queue/@q", &headers).with("id", "0"))?;
                stage.see(&answer);
                if answer != "accepted" {
                    return Ok(());
                }
                stage.send_all("/amq/queue/@q", &["1"])?;
                for _ in 0..3 {
                    let message = take(&mut client)?;
                    settle(&mut client, "NACK", Some(&message), &[])?;
                }
                drop(client);
                stage.drain(&["@dead"], &["x-first-death-reason"])
            },
        )
        .but("Every queue has a delivery limit here, in RabbitMQ 3.10 only a quorum queue"),
    ]
}

fn two() -> Topology {
    Topology::new().queue("@one").queue("@two")
}

fn taken(client: &mut Client, count: usize) -> Result<Vec<Frame>> {
    (0..count).map(|_| take(client)).collect()
}

/// With a receipt: the broker has done it then.
fn settle(
    client: &mut Client,
    command: &str,
    message: Option<&Frame>,
    headers: &[(&str, &str)],
) -> Result<()> {
    let id = message.and_then(|message| message.header("ack")).unwrap_or_default();
    let frame = Frame::new(command).with("id", id);
    Ok(client.request(headers.iter().fold(frame, |frame, (name, value)| frame.with(name, value)))?)
}
