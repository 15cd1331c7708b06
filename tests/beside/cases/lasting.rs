//! Restart: what is there afterwards. All of it in few cases: RabbitMQ takes its time to start.

use serde_json::json;

use crate::case::Case;
use crate::stage::{QUIET, take};
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    let dead = json!({ "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "@dead" });
    let kept = json!({ "x-max-priority": 5, "x-max-length": 3, "x-message-ttl": 600_000 });
    let topology = Topology::new()
        .exchange("@lasting", "topic")
        .exchange_with("@passing", json!({ "type": "topic", "durable": false }))
        .queue("@q")
        .transient_queue("@brief")
        .queue_with("@dying", dead)
        .queue("@dead")
        .queue_with("@kept", kept)
        .bind("@lasting", "@q", "k.#");
    vec![Case::new(
        "what lasts: durable queues, exchanges and bindings, persistent messages, their order, marks and deaths",
        topology,
        |stage| {
            let persistent = ("persistent", "true");
            for (body, headers) in [("1", &[persistent][..]), ("2", &[]), ("3", &[persistent])] {
                stage.send("/amq/queue/@q", body, headers)?;
            }
            stage.send("/amq/queue/@brief", "4", &[persistent])?;
            for (body, priority) in [("a1", "1"), ("b5", "5"), ("c3", "3")] {
                stage.send("/amq/queue/@kept", body, &[persistent, ("priority", priority)])?;
            }
            stage.send("/amq/queue/@dying", "5", &[persistent])?;
            let mut client = stage.consumer("@dying", "1")?;
            let message = take(&mut client)?;
            let id = message.header("ack").unwrap_or_default();
            client.request(harness::stomp::Frame::new("NACK").with("id", id).with("requeue", "false"))?;
            // With a consumer when the broker stops.
            let mut holder = stage.consumer("@q", "1")?;
            take(&mut holder)?;
            stage.peer.restart()?;
            let there = stage.is_there("@brief")?;
            stage.see(format!("a transient queue is there: {there}"));
            std::thread::sleep(QUIET);
            stage.send("/exchange/@lasting/k.new", "6", &[])?;
            let mut client = stage.client()?;
            let frame = stage.message("/exchange/@passing/k", "7", &[]);
            let answer = stage.ask(&mut client, &frame)?;
            stage.see(format!("a transient exchange: {answer}"));
            stage.drain(&["@q"], &["redelivered"])?;
            stage.send("/amq/queue/@kept", "d0", &[])?;
            stage.drain(&["@kept"], &["redelivered", "priority"])?;
            stage.drain(&["@dead"], &["x-first-death-queue", "x-first-death-reason"])
        },
    )]
}
