//! Consumers: who gets the next message.

use harness::stomp::Frame;
use serde_json::json;

use crate::case::Case;
use crate::stage::{QUIET, bodies, rest, show, take};
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    let one = || Topology::new().queue("@q");
    let mut all = vec![
        Case::new("competing consumers take turns", one(), |stage| {
            let mut clients = Vec::new();
            for _ in 0..3 {
                let mut client = stage.client()?;
                stage.subscribe(&mut client, "0", "/amq/queue/@q", &[])?;
                clients.push(client);
            }
            stage.send_all("/amq/queue/@q", &["1", "2", "3", "4", "5", "6"])?;
            for client in &mut clients {
                let came = bodies(&rest(client)?);
                stage.see(came);
            }
            Ok(())
        }),
        Case::new("prefetch-count: so many at most, and the next one for each ACK", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2", "3", "4", "5"])?;
            let mut client = stage.consumer("@q", "2")?;
            let came = rest(&mut client)?;
            stage.see(bodies(&came));
            if let Some(first) = came.first() {
                client.settle("ACK", first)?;
            }
            stage.see(bodies(&rest(&mut client)?));
            Ok(())
        }),
        Case::new("without prefetch-count all at once", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2", "3", "4", "5"])?;
            let mut client = stage.consumer("@q", "0")?;
            stage.see(bodies(&rest(&mut client)?));
            Ok(())
        }),
        Case::new("fair dispatch: whoever is busy holds nothing up", one(), |stage| {
            let mut slow = stage.consumer("@q", "1")?;
            let mut quick = stage.consumer("@q", "1")?;
            stage.send_all("/amq/queue/@q", &["1", "2", "3", "4", "5"])?;
            stage.see(format!("slow: {}", bodies(&rest(&mut slow)?)));
            let mut came = Vec::new();
            for _ in 0..4 {
                let message = take(&mut quick)?;
                quick.settle("ACK", &message)?;
                came.push(message);
            }
            stage.see(format!("quick: {}", bodies(&came)));
            Ok(())
        }),
        Case::new("two subscriptions of one connection have a prefetch-count each", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2", "3", "4", "5"])?;
            let mut client = stage.client()?;
            for (id, prefetch) in [("a", "1"), ("b", "2")] {
                let headers = [("ack", "client-individual"), ("prefetch-count", prefetch)];
                stage.subscribe(&mut client, id, "/amq/queue/@q", &headers)?;
            }
            let came: Vec<String> =
                rest(&mut client)?.iter().map(|message| show(message, &["subscription"])).collect();
            stage.see(came.join(" "));
            Ok(())
        }),
    ];
    all.extend(alone());
    all
}

fn alone() -> Vec<Case> {
    let single = || Topology::new().queue_with("@q", json!({ "x-single-active-consumer": true }));
    vec![
        Case::new("single active consumer: one takes all", single(), |stage| {
            let (mut first, mut second) = (stage.consumer("@q", "10")?, stage.consumer("@q", "10")?);
            stage.send_all("/amq/queue/@q", &["1", "2", "3"])?;
            stage.see(format!("first: {}", bodies(&rest(&mut first)?)));
            stage.see(format!("second: {}", bodies(&rest(&mut second)?)));
            Ok(())
        }),
        Case::new(
            "single active consumer: when it goes, the next one has all, in order",
            single(),
            |stage| {
                let (mut first, mut second) = (stage.consumer("@q", "10")?, stage.consumer("@q", "10")?);
                let mut third = stage.consumer("@q", "10")?;
                stage.send_all("/amq/queue/@q", &["1", "2", "3"])?;
                let came = rest(&mut first)?;
                if let Some(message) = came.first() {
                    first.settle("ACK", message)?;
                }
                std::thread::sleep(QUIET);
                drop(first);
                let came: Vec<String> =
                    rest(&mut second)?.iter().map(|message| show(message, &["redelivered"])).collect();
                stage.see(format!("second: {}", came.join(" ")));
                stage.see(format!("third: {}", bodies(&rest(&mut third)?)));
                Ok(())
            },
        ),
        Case::new("single active consumer: UNSUBSCRIBE hands over as well", single(), |stage| {
            let (mut first, mut second) = (stage.consumer("@q", "1")?, stage.consumer("@q", "1")?);
            first.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
            stage.send_all("/amq/queue/@q", &["1"])?;
            stage.see(format!("second: {}", bodies(&rest(&mut second)?)));
            Ok(())
        }),
        Case::new("an auto-delete queue goes with its last consumer", Topology::new(), |stage| {
            let (mut first, mut second) = (stage.client()?, stage.client()?);
            for client in [&mut first, &mut second] {
                stage.subscribe(client, "0", "/queue/@q", &[("auto-delete", "true")])?;
            }
            first.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
            stage.send("/amq/queue/@q", "1", &[])?;
            stage.see(bodies(&rest(&mut second)?));
            second.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
            std::thread::sleep(QUIET);
            let there = stage.is_there("@q")?;
            stage.see(format!("there: {there}"));
            Ok(())
        }),
        Case::new("an exclusive queue is its connection's, and goes with it", Topology::new(), |stage| {
            let mut owner = stage.client()?;
            stage.subscribe(&mut owner, "0", "/queue/@q", &[("durable", "false"), ("exclusive", "true")])?;
            let mut other = stage.client()?;
            let frame = stage.frame("SUBSCRIBE", "/amq/queue/@q", &[("id", "0")]);
            let answer = stage.ask(&mut other, &frame)?;
            stage.see(format!("another connection: {answer}"));
            stage.send("/amq/queue/@q", "1", &[])?;
            stage.see(format!("its own: {}", bodies(&rest(&mut owner)?)));
            drop(owner);
            std::thread::sleep(QUIET);
            let there = stage.is_there("@q")?;
            stage.see(format!("later there: {there}"));
            Ok(())
        }),
    ]
}
