//! What is declared again, purged, unbound and deleted while the broker runs, by the HTTP API.

use anyhow::Result;
use harness::stomp::Frame;
use serde_json::{Value, json};

use crate::case::Case;
use crate::stage::{Stage, bodies, rest, take};
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    [again(), emptied(), gone()].into_iter().flatten().collect()
}

fn again() -> Vec<Case> {
    let queue = |arguments: Value| json!({ "durable": true, "auto_delete": false, "arguments": arguments });
    vec![
        Case::new(
            "the same exchange again, and one of another kind",
            Topology::new().exchange("@x", "topic"),
            |stage| {
                for body in [
                    json!({ "type": "topic", "durable": true }),
                    json!({ "type": "fanout", "durable": true }),
                    json!({ "type": "topic", "durable": false }),
                ] {
                    told(stage, "PUT", "/api/exchanges/%2F/@x", &body)?;
                }
                Ok(())
            },
        ),
        Case::new(
            "the same queue again, and one with other arguments",
            Topology::new().queue_with("@q", json!({ "x-message-ttl": 60000, "x-max-length": 5 })),
            move |stage| {
                for arguments in [
                    json!({ "x-message-ttl": 60000, "x-max-length": 5 }),
                    json!({ "x-message-ttl": 60001, "x-max-length": 5 }),
                    json!({ "x-max-length": 5 }),
                    json!({ "x-message-ttl": 60000, "x-max-length": 5, "x-max-priority": 3 }),
                ] {
                    told(stage, "PUT", "/api/queues/%2F/@q", &queue(arguments))?;
                }
                Ok(())
            },
        ),
        Case::new("arguments that cannot be", Topology::new(), move |stage| {
            for arguments in [
                json!({ "x-message-ttl": -1 }),
                json!({ "x-expires": 0 }),
                json!({ "x-max-length": "many" }),
                json!({ "x-overflow": "explode" }),
                json!({ "x-max-priority": 256 }),
                json!({ "x-dead-letter-routing-key": "k" }),
            ] {
                told(stage, "PUT", "/api/queues/%2F/@q", &queue(arguments))?;
            }
            Ok(())
        }),
        Case::new(
            "bindings from or to what is not there",
            Topology::new().exchange("@x", "topic").queue("@q"),
            |stage| {
                for path in ["e/@x/q/@missing", "e/@missing/q/@q", "e/@x/e/@missing", "e/@x/q/@q"] {
                    told(
                        stage,
                        "POST",
                        &format!("/api/bindings/%2F/{path}"),
                        &json!({ "routing_key": "k" }),
                    )?;
                }
                Ok(())
            },
        ),
        Case::new("names that begin with amq. are the broker's own", Topology::new(), |stage| {
            told(stage, "PUT", "/api/exchanges/%2F/amq.@x", &json!({ "type": "topic", "durable": true }))?;
            told(stage, "DELETE", "/api/exchanges/%2F/amq.topic", &Value::Null)
        }),
    ]
}

fn emptied() -> Vec<Case> {
    let one = || Topology::new().exchange("@x", "topic").queue("@q").bind("@x", "@q", "k");
    vec![
        Case::new("purge takes what waits, not what is with a consumer", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1", "2", "3"])?;
            let mut client = stage.consumer("@q", "1")?;
            take(&mut client)?;
            stage.api("DELETE", "/api/queues/%2F/@q/contents", &Value::Null)?;
            drop(client);
            std::thread::sleep(crate::stage::QUIET);
            stage.drain(&["@q"], &["redelivered"])
        }),
        Case::new("unbound: nothing more comes, what was there stays", one(), |stage| {
            stage.send("/exchange/@x/k", "1", &[])?;
            told(stage, "DELETE", "/api/bindings/%2F/e/@x/q/@q/k", &Value::Null)?;
            stage.send("/exchange/@x/k", "2", &[])?;
            stage.drain(&["@q"], &[])
        }),
        Case::new(
            "a binding made while messages come",
            Topology::new().exchange("@x", "topic").queue("@q"),
            |stage| {
                stage.send("/exchange/@x/k", "1", &[])?;
                told(stage, "POST", "/api/bindings/%2F/e/@x/q/@q", &json!({ "routing_key": "k" }))?;
                stage.send("/exchange/@x/k", "2", &[])?;
                stage.drain(&["@q"], &[])
            },
        ),
    ]
}

fn gone() -> Vec<Case> {
    let one = || Topology::new().exchange("@x", "topic").queue("@q").bind("@x", "@q", "k");
    vec![
        Case::new("a deleted queue is gone with its messages and bindings", one(), |stage| {
            stage.send("/exchange/@x/k", "1", &[])?;
            told(stage, "DELETE", "/api/queues/%2F/@q", &Value::Null)?;
            stage.api("PUT", "/api/queues/%2F/@q", &json!({ "durable": true }))?;
            stage.send("/exchange/@x/k", "2", &[])?;
            stage.drain(&["@q"], &[])
        }),
        Case::new("a consumer of a deleted queue is told, and its connection stays", one(), |stage| {
            let mut client = stage.consumer("@q", "1")?;
            stage.api("DELETE", "/api/queues/%2F/@q", &Value::Null)?;
            let told = bodies(&rest(&mut client)?);
            stage.see(told);
            let answer = stage.ask(&mut client, &Frame::new("BEGIN").with("transaction", "t"));
            stage.see(answer.unwrap_or_else(|_| "the connection is gone".to_owned()));
            Ok(())
        })
        .but("After an ERROR the connection ends, as STOMP says"),
        Case::new("a deleted exchange: SEND is refused, its queues stay", one(), |stage| {
            stage.send("/exchange/@x/k", "1", &[])?;
            told(stage, "DELETE", "/api/exchanges/%2F/@x", &Value::Null)?;
            let mut client = stage.client()?;
            let answer = stage.ask(&mut client, &stage.message("/exchange/@x/k", "2", &[]))?;
            stage.see(answer);
            stage.drain(&["@q"], &[])
        }),
        Case::new("only if unused, only if empty", one(), |stage| {
            stage.send_all("/amq/queue/@q", &["1"])?;
            told(stage, "DELETE", "/api/exchanges/%2F/@x?if-unused=true", &Value::Null)?;
            told(stage, "DELETE", "/api/queues/%2F/@q?if-empty=true", &Value::Null)?;
            let client = stage.consumer("@q", "1")?;
            told(stage, "DELETE", "/api/queues/%2F/@q?if-unused=true", &Value::Null)?;
            drop(client);
            told(stage, "DELETE", "/api/queues/%2F/@missing", &Value::Null)
        }),
    ]
}

/// Asks, and sees what the answer's status means.
fn told(stage: &mut Stage<'_>, method: &str, path: &str, body: &Value) -> Result<()> {
    let answer = stage.api(method, path, body)?;
    let word = match answer.status {
        201 => "made".to_owned(),
        204 => "done".to_owned(),
        400 => "refused".to_owned(),
        401 | 403 => "forbidden".to_owned(),
        404 => "not found".to_owned(),
        other => other.to_string(),
    };
    stage.see(word);
    Ok(())
}
