//! Expiry: of messages, by themselves and by their queue, and of queues.

use std::time::Duration;

use harness::stomp::Frame;
use serde_json::json;

use crate::case::Case;
use crate::stage::{bodies, rest, take};
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    let mut all = messages();
    all.extend(queues());
    all
}

fn messages() -> Vec<Case> {
    [whose_time(), while_away()].into_iter().flatten().collect()
}

fn whose_time() -> Vec<Case> {
    let short = || Topology::new().queue_with("@q", json!({ "x-message-ttl": 300 }));
    vec![
        Case::new("of the queue's and the message's own time the shorter one counts", short(), |stage| {
            stage.send("/amq/queue/@q", "own-short", &[("expiration", "100")])?;
            stage.send("/amq/queue/@q", "own-long", &[("expiration", "60000")])?;
            std::thread::sleep(Duration::from_millis(900));
            stage.drain(&["@q"], &[])
        }),
        Case::new(
            "what did not expire is delivered, with its time to live",
            Topology::new().queue("@q"),
            |stage| {
                stage.send("/amq/queue/@q", "1", &[("expiration", "60000")])?;
                let mut client = stage.consumer("@q", "1")?;
                let message = take(&mut client)?;
                stage.see(if message.header("expiration").is_some() { "with expiration" } else { "without" });
                Ok(())
            },
        ),
        Case::new(
            "time 0 in a queue without a consumer: gone at once",
            Topology::new().queue("@q"),
            |stage| {
                stage.send("/amq/queue/@q", "1", &[("expiration", "0")])?;
                stage.send("/amq/queue/@q", "2", &[])?;
                stage.drain(&["@q"], &[])
            },
        ),
        Case::new(
            "time 0 with a consumer who is ready: delivered",
            Topology::new().queue("@q").queue_with("@zero", json!({ "x-message-ttl": 0 })),
            |stage| {
                for (queue, headers) in [("@q", &[("expiration", "0")][..]), ("@zero", &[])] {
                    let mut client = stage.client()?;
                    stage.subscribe(&mut client, "0", &format!("/amq/queue/{queue}"), &[])?;
                    stage.send(&format!("/amq/queue/{queue}"), "1", headers)?;
                    let came = bodies(&rest(&mut client)?);
                    stage.see(format!("{queue}: {came}"));
                }
                Ok(())
            },
        )
        .but("A consumer takes from the queue, nothing is handed to it past the queue: what may not wait is not there when it comes"),
        Case::new("what is with a consumer does not expire", short(), |stage| {
            stage.send("/amq/queue/@q", "1", &[])?;
            let mut client = stage.consumer("@q", "1")?;
            let message = take(&mut client)?;
            std::thread::sleep(Duration::from_millis(700));
            client.request(Frame::new("ACK").with("id", message.header("ack").unwrap_or_default()))?;
            stage.see("acknowledged");
            Ok(())
        }),
    ]
}

fn while_away() -> Vec<Case> {
    let short = || Topology::new().queue_with("@q", json!({ "x-message-ttl": 300 }));
    vec![
        Case::new("what comes back after its time expires", short(), |stage| {
            stage.send("/amq/queue/@q", "1", &[])?;
            let mut client = stage.consumer("@q", "1")?;
            take(&mut client)?;
            std::thread::sleep(Duration::from_millis(700));
            drop(client);
            std::thread::sleep(Duration::from_millis(300));
            stage.drain(&["@q"], &["redelivered"])
        }),
        Case::new(
            "one that expires behind one that does not",
            Topology::new()
                .queue_with(
                    "@q",
                    json!({ "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "@dead" }),
                )
                .queue("@dead"),
            |stage| {
                stage.send("/amq/queue/@q", "long", &[])?;
                stage.send("/amq/queue/@q", "short", &[("expiration", "100")])?;
                std::thread::sleep(Duration::from_millis(700));
                stage.drain(&["@dead"], &[])
            },
        )
        .but("It goes when its time is up, wherever in the queue it is"),
    ]
}

fn queues() -> Vec<Case> {
    vec![
        Case::new("x-expires: a queue that nobody uses goes", Topology::new(), |stage| {
            let mut client = stage.client()?;
            stage.subscribe(&mut client, "0", "/queue/@q", &[("x-expires", "400")])?;
            stage.send("/amq/queue/@q", "1", &[])?;
            stage.see(bodies(&rest(&mut client)?));
            let still = stage.is_there("@q")?;
            stage.see(format!("with a consumer there: {still}"));
            client.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
            std::thread::sleep(Duration::from_millis(1500));
            let still = stage.is_there("@q")?;
            stage.see(format!("later: {still}"));
            Ok(())
        }),
        Case::new(
            "x-expires: messages do not keep it, and are no dead letters",
            Topology::new().queue("@dead"),
            |stage| {
                let headers = [
                    ("x-expires", "400"),
                    ("x-dead-letter-exchange", ""),
                    ("x-dead-letter-routing-key", "@dead"),
                ];
                stage.send("/queue/@q", "1", &headers)?;
                std::thread::sleep(Duration::from_millis(1500));
                let still = stage.is_there("@q")?;
                stage.see(format!("there: {still}"));
                stage.drain(&["@dead"], &[])
            },
        ),
    ]
}
