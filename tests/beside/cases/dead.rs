//! Dead letters: where a message goes that a queue gave up, and what it says of its deaths.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use harness::stomp::{Client, Frame};
use serde_json::{Value, json};

use crate::case::Case;
use crate::stage::{QUIET, Stage, take};
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    let mut all = ways();
    all.extend(records());
    all.extend(circles());
    all
}

/// A queue `@q` that gives up to the queue `@dead`, through the exchange `@dlx`, with its own key.
fn dying(arguments: Value) -> Topology {
    let mut all = json!({ "x-dead-letter-exchange": "@dlx" });
    for (name, value) in arguments.as_object().into_iter().flatten() {
        all[name.as_str()] = value.clone();
    }
    Topology::new()
        .exchange("@dlx", "topic")
        .exchange("@x", "topic")
        .queue_with("@q", all)
        .queue("@dead")
        .bind("@x", "@q", "#")
        .bind("@dlx", "@dead", "#")
}

fn ways() -> Vec<Case> {
    [causes(), places()].into_iter().flatten().collect()
}

fn causes() -> Vec<Case> {
    let seen: &[&str] =
        &["destination", "x-first-death-reason", "x-first-death-queue", "x-first-death-exchange"];
    vec![
        Case::new("rejected, with the message's own key", dying(json!({})), move |stage| {
            stage.send("/exchange/@x/a.b", "1", &[])?;
            reject(&mut stage.consumer("@q", "1")?)?;
            stage.drain(&["@q", "@dead"], seen)
        }),
        Case::new(
            "rejected, with the queue's x-dead-letter-routing-key",
            dying(json!({ "x-dead-letter-routing-key": "other.key" })),
            move |stage| {
                stage.send("/exchange/@x/a.b", "1", &[])?;
                reject(&mut stage.consumer("@q", "1")?)?;
                stage.drain(&["@dead"], seen)
            },
        ),
        Case::new(
            "expired by x-message-ttl, in order",
            dying(json!({ "x-message-ttl": 100 })),
            move |stage| {
                for body in ["1", "2", "3"] {
                    stage.send("/exchange/@x/a.b", body, &[])?;
                }
                std::thread::sleep(Duration::from_millis(500));
                stage.drain(&["@q", "@dead"], seen)
            },
        ),
        Case::new("expired by its own expiration, which is gone then", dying(json!({})), move |stage| {
            stage.send("/exchange/@x/a.b", "1", &[("expiration", "100")])?;
            std::thread::sleep(Duration::from_millis(500));
            stage.drain(&["@q", "@dead"], &["x-first-death-reason", "expiration"])
        }),
        Case::new("one too many, drop-head", dying(json!({ "x-max-length": 2 })), move |stage| {
            for body in ["1", "2", "3", "4"] {
                stage.send("/exchange/@x/a.b", body, &[])?;
            }
            stage.drain(&["@q", "@dead"], seen)
        }),
        Case::new(
            "through the default exchange, to a queue by its name",
            Topology::new()
                .queue_with(
                    "@q",
                    json!({ "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "@the.dead" }),
                )
                .queue("@the.dead"),
            move |stage| {
                stage.send("/amq/queue/@q", "1", &[])?;
                reject(&mut stage.consumer("@q", "1")?)?;
                stage.drain(&["@the.dead"], seen)
            },
        ),
    ]
}

fn places() -> Vec<Case> {
    let seen: &[&str] =
        &["destination", "x-first-death-reason", "x-first-death-queue", "x-first-death-exchange"];
    vec![
        Case::new(
            "to an exchange that does not exist: dropped",
            Topology::new().queue_with("@q", json!({ "x-dead-letter-exchange": "@missing" })),
            move |stage| {
                stage.send("/amq/queue/@q", "1", &[])?;
                reject(&mut stage.consumer("@q", "1")?)?;
                stage.drain(&["@q"], seen)
            },
        ),
        Case::new("the message's own headers and properties stay", dying(json!({})), move |stage| {
            let headers = [
                ("colour", "red"),
                ("content-type", "text/plain"),
                ("correlation-id", "7"),
                ("priority", "3"),
                ("persistent", "true"),
                ("type", "order"),
                ("reply-to", "/queue/answers"),
            ];
            stage.send("/exchange/@x/a.b", "1", &headers)?;
            reject(&mut stage.consumer("@q", "1")?)?;
            stage.drain(&["@dead"], &headers.map(|(name, _)| name))
        }),
        Case::new(
            "a dead letter is not redelivered: it is new where it comes",
            dying(json!({})),
            move |stage| {
                stage.send("/exchange/@x/a.b", "1", &[])?;
                let mut client = stage.consumer("@q", "1")?;
                let message = take(&mut client)?;
                client.settle("NACK", &message)?;
                reject(&mut client)?;
                stage.drain(&["@dead"], &["redelivered"])
            },
        ),
    ]
}

fn records() -> Vec<Case> {
    [of_one_death(), of_several_deaths()].into_iter().flatten().collect()
}

fn of_one_death() -> Vec<Case> {
    vec![
        Case::new("x-death of one that was rejected", dying(json!({})), |stage| {
            stage.send("/exchange/@x/a.b", "1", &[])?;
            reject(&mut stage.consumer("@q", "1")?)?;
            see_deaths(stage, "@dead")
        }),
        Case::new("x-death of one that expired, with original-expiration", dying(json!({})), |stage| {
            stage.send("/exchange/@x/a.b", "1", &[("expiration", "100")])?;
            std::thread::sleep(Duration::from_millis(500));
            see_deaths(stage, "@dead")
        }),
        Case::new(
            "x-death of one whose time in the queue was up",
            dying(json!({ "x-message-ttl": 100 })),
            |stage| {
                stage.send("/exchange/@x/a.b", "1", &[])?;
                std::thread::sleep(Duration::from_millis(500));
                see_deaths(stage, "@dead")
            },
        ),
        Case::new(
            "x-death of one whose own expiration was later than the queue's",
            dying(json!({ "x-message-ttl": 100 })),
            |stage| {
                stage.send("/exchange/@x/a.b", "1", &[("expiration", "60000")])?;
                std::thread::sleep(Duration::from_millis(500));
                see_deaths(stage, "@dead")
            },
        ),
        Case::new("x-death of one that was too many", dying(json!({ "x-max-length": 1 })), |stage| {
            stage.send("/exchange/@x/a.b", "1", &[])?;
            stage.send("/exchange/@x/c", "2", &[])?;
            see_deaths(stage, "@dead")
        }),
        Case::new("x-death of one that came by the default exchange", dying(json!({})), |stage| {
            stage.send("/amq/queue/@q", "1", &[])?;
            reject(&mut stage.consumer("@q", "1")?)?;
            see_deaths(stage, "@dead")
        }),
        Case::new(
            "two queues one after the other: the latest death first, x-first-death-* of the first",
            dying(json!({ "x-dead-letter-routing-key": "second" }))
                .queue_with(
                    "@second",
                    json!({ "x-message-ttl": 100, "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": "@end" }),
                )
                .queue("@end")
                .bind("@dlx", "@second", "second"),
            |stage| {
                stage.send("/exchange/@x/a.b", "1", &[])?;
                stage.send("/exchange/@x/a.b", "2", &[])?;
                let mut client = stage.consumer("@q", "2")?;
                reject(&mut client)?;
                reject(&mut client)?;
                std::thread::sleep(Duration::from_millis(500));
                see_deaths(stage, "@end")?;
                stage.drain(
                    &["@end"],
                    &["x-first-death-queue", "x-first-death-reason", "x-first-death-exchange"],
                )
            },
        ),
    ]
}

fn of_several_deaths() -> Vec<Case> {
    vec![
        Case::new(
            "thrice in one queue for one reason: one entry with a count",
            dying(json!({ "x-dead-letter-exchange": "@x" })).queue("@seen").bind("@x", "@seen", "#"),
            |stage| {
                stage.send("/exchange/@x/a.b", "1", &[])?;
                let mut client = stage.consumer("@q", "1")?;
                for _ in 0..3 {
                    reject(&mut client)?;
                }
                take(&mut client)?;
                for _ in 0..3 {
                    stage.deaths("@seen")?;
                }
                see_deaths(stage, "@seen")
            },
        ),
        Case::new(
            "twice in one queue, seconds apart: which time is told",
            dying(json!({ "x-dead-letter-exchange": "@x" })).queue("@seen").bind("@x", "@seen", "#"),
            |stage| {
                stage.send("/exchange/@x/a.b", "1", &[])?;
                let mut client = stage.consumer("@q", "1")?;
                reject(&mut client)?;
                std::thread::sleep(Duration::from_millis(2500));
                reject(&mut client)?;
                take(&mut client)?;
                stage.deaths("@seen")?;
                let time = || -> Result<Option<u64>> {
                    Ok(stage.deaths("@seen")?.first().and_then(|death| death["time"].as_u64()))
                };
                let (first, second) = (time()?, time()?);
                stage.see(if first == second { "that of the first death" } else { "that of the latest" });
                Ok(())
            },
        ),
        Case::new(
            "in one queue for two reasons: two entries",
            dying(json!({ "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "@later" })).queue_with(
                "@later",
                json!({ "x-message-ttl": 100, "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": "@q" }),
            ),
            |stage| {
                stage.send("/exchange/@x/a", "1", &[])?;
                let mut client = stage.consumer("@q", "1")?;
                reject(&mut client)?;
                reject(&mut client)?;
                take(&mut client)?;
                drop(client);
                std::thread::sleep(QUIET);
                see_deaths(stage, "@q")
            },
        ),
    ]
}

fn circles() -> Vec<Case> {
    let to = |queue: &str, more: Value| {
        let mut all = json!({ "x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue });
        for (name, value) in more.as_object().into_iter().flatten() {
            all[name.as_str()] = value.clone();
        }
        all
    };
    vec![
        Case::new(
            "a queue whose dead letters come back to it by themselves: dropped",
            Topology::new().queue_with("@q", to("@q", json!({ "x-message-ttl": 100 }))),
            |stage| {
                stage.send("/amq/queue/@q", "1", &[])?;
                std::thread::sleep(Duration::from_millis(500));
                stage.drain(&["@q"], &[])
            },
        ),
        Case::new(
            "a circle of two by expiry alone: dropped",
            Topology::new()
                .queue_with("@one", to("@two", json!({ "x-message-ttl": 100 })))
                .queue_with("@two", to("@one", json!({ "x-message-ttl": 100 }))),
            |stage| {
                stage.send("/amq/queue/@one", "1", &[])?;
                std::thread::sleep(Duration::from_millis(800));
                stage.drain(&["@one", "@two"], &[])
            },
        ),
        Case::new(
            "a circle with a consumer who rejects: it goes on (retry with a delay)",
            Topology::new()
                .queue_with("@work", to("@later", json!({})))
                .queue_with("@later", to("@work", json!({ "x-message-ttl": 100 }))),
            |stage| {
                stage.send("/amq/queue/@work", "1", &[])?;
                let mut client = stage.consumer("@work", "1")?;
                for _ in 0..3 {
                    reject(&mut client)?;
                }
                take(&mut client)?;
                drop(client);
                std::thread::sleep(QUIET);
                see_deaths(stage, "@work")
            },
        ),
        Case::new(
            "dead letters of a full queue that comes back to itself: dropped",
            Topology::new().queue_with("@q", to("@q", json!({ "x-max-length": 1 }))),
            |stage| {
                stage.send_all("/amq/queue/@q", &["1", "2"])?;
                stage.drain(&["@q"], &[])
            },
        ),
    ]
}

/// Gives the next message up.
fn reject(client: &mut Client) -> Result<()> {
    let message = take(client)?;
    let id = message.header("ack").context("an ack header")?;
    Ok(client.request(Frame::new("NACK").with("id", id).with("requeue", "false"))?)
}

/// All fields of all entries; a time is shown as now, if it is.
fn see_deaths(stage: &mut Stage<'_>, queue: &str) -> Result<()> {
    for mut death in stage.deaths(queue)? {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let time = death["time"].as_u64().unwrap_or_default();
        if now.abs_diff(time) < 60 {
            death["time"] = Value::from("now");
        }
        let fields = death.as_object().cloned().unwrap_or_default();
        let shown: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
        stage.see(shown.join(" "));
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("{text:?}"))
}
