//! From exchange to exchange: bindings between them, alternates, and those that are internal.

use serde_json::json;

use crate::case::Case;
use crate::stage::Stage;
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    [bound(), alternate(), internal()].into_iter().flatten().collect()
}

fn bound() -> Vec<Case> {
    vec![
        Case::new(
            "a topic exchange bound to a fanout exchange: first the one, then the other decides",
            Topology::new()
                .exchange("@x", "topic")
                .exchange("@y", "fanout")
                .queue("@q")
                .queue("@r")
                .chain("@x", "@y", "a.#")
                .bind("@y", "@q", "")
                .bind("@x", "@r", "b.*"),
            |stage| {
                send(stage, "@x", &["a.1", "b.1", "c.1"])?;
                stage.drain(&["@q", "@r"], &["destination"])
            },
        ),
        Case::new(
            "two ways to one queue: one copy",
            Topology::new()
                .exchange("@x", "direct")
                .exchange("@y", "fanout")
                .exchange("@z", "fanout")
                .queue("@q")
                .chain("@x", "@y", "k")
                .chain("@x", "@z", "k")
                .bind("@x", "@q", "k")
                .bind("@y", "@q", "")
                .bind("@z", "@q", ""),
            |stage| {
                send(stage, "@x", &["k"])?;
                stage.drain(&["@q"], &[])
            },
        ),
        Case::new(
            "the key stays the same on the way",
            Topology::new()
                .exchange("@x", "topic")
                .exchange("@y", "topic")
                .queue("@q")
                .queue("@r")
                .chain("@x", "@y", "*.b")
                .bind("@y", "@q", "a.*")
                .bind("@y", "@r", "b.*"),
            |stage| {
                send(stage, "@x", &["a.b", "b.a", "b.b"])?;
                stage.drain(&["@q", "@r"], &["destination"])
            },
        ),
        Case::new(
            "a circle of exchanges ends",
            Topology::new()
                .exchange("@x", "fanout")
                .exchange("@y", "fanout")
                .exchange("@z", "fanout")
                .queue("@q")
                .queue("@r")
                .chain("@x", "@y", "")
                .chain("@y", "@z", "")
                .chain("@z", "@x", "")
                .chain("@x", "@x", "")
                .bind("@x", "@q", "")
                .bind("@z", "@r", ""),
            |stage| {
                send(stage, "@x", &["k"])?;
                send(stage, "@y", &["l"])?;
                stage.drain(&["@q", "@r"], &["destination"])
            },
        ),
    ]
}

fn alternate() -> Vec<Case> {
    [alternates(), alternates_further_on()].into_iter().flatten().collect()
}

fn alternates() -> Vec<Case> {
    let with = |kind: &str, other: &str| json!({ "type": kind, "durable": true, "arguments": { "alternate-exchange": other } });
    vec![
        Case::new(
            "alternate exchange: gets what no binding wants, and nothing else",
            Topology::new()
                .exchange("@other", "fanout")
                .exchange_with("@x", with("direct", "@other"))
                .queue("@q")
                .queue("@lost")
                .bind("@x", "@q", "k")
                .bind("@other", "@lost", ""),
            |stage| {
                send(stage, "@x", &["k", "l"])?;
                stage.drain(&["@q", "@lost"], &["destination"])
            },
        ),
        Case::new(
            "an alternate that does not route either has its own alternate",
            Topology::new()
                .exchange("@last", "fanout")
                .exchange_with("@second", with("direct", "@last"))
                .exchange_with("@x", with("direct", "@second"))
                .queue("@q")
                .queue("@lost")
                .bind("@second", "@q", "k")
                .bind("@last", "@lost", ""),
            |stage| {
                send(stage, "@x", &["k", "l"])?;
                stage.drain(&["@q", "@lost"], &[])
            },
        ),
        Case::new(
            "alternates in a circle, and one that does not exist: dropped",
            Topology::new()
                .exchange_with("@x", with("direct", "@y"))
                .exchange_with("@y", with("direct", "@x"))
                .exchange_with("@z", with("direct", "@missing"))
                .queue("@q")
                .bind("@y", "@q", "k"),
            |stage| {
                send(stage, "@x", &["k", "l"])?;
                send(stage, "@z", &["k"])?;
                stage.drain(&["@q"], &[])
            },
        ),
        Case::new(
            "bound to an exchange that finds no queue: then comes the alternate of which",
            Topology::new()
                .exchange("@none", "fanout")
                .exchange("@other", "fanout")
                .exchange_with("@x", with("topic", "@other"))
                .queue("@lost")
                .chain("@x", "@none", "#")
                .bind("@other", "@lost", ""),
            |stage| {
                send(stage, "@x", &["k"])?;
                stage.drain(&["@lost"], &[])
            },
        ),
    ]
}

fn alternates_further_on() -> Vec<Case> {
    let with = |kind: &str, other: &str| json!({ "type": kind, "durable": true, "arguments": { "alternate-exchange": other } });
    vec![
        Case::new(
            "an exchange behind another has its alternate as well",
            Topology::new()
                .exchange("@other", "fanout")
                .exchange_with("@y", with("direct", "@other"))
                .exchange("@x", "fanout")
                .queue("@q")
                .queue("@lost")
                .chain("@x", "@y", "")
                .bind("@y", "@q", "k")
                .bind("@other", "@lost", ""),
            |stage| {
                send(stage, "@x", &["k", "l"])?;
                stage.drain(&["@q", "@lost"], &[])
            },
        ),
        Case::new(
            "dead letters take the same ways",
            Topology::new()
                .exchange("@other", "fanout")
                .exchange_with("@dlx", with("direct", "@other"))
                .exchange("@y", "fanout")
                .queue_with(
                    "@q",
                    json!({ "x-message-ttl": 100, "x-dead-letter-exchange": "@dlx",
                    "x-dead-letter-routing-key": "k" }),
                )
                .queue_with(
                    "@r",
                    json!({ "x-message-ttl": 100, "x-dead-letter-exchange": "@dlx",
                    "x-dead-letter-routing-key": "l" }),
                )
                .queue("@dead")
                .queue("@lost")
                .chain("@dlx", "@y", "k")
                .bind("@y", "@dead", "")
                .bind("@other", "@lost", ""),
            |stage| {
                stage.send("/amq/queue/@q", "q", &[])?;
                stage.send("/amq/queue/@r", "r", &[])?;
                std::thread::sleep(std::time::Duration::from_millis(500));
                stage.drain(&["@dead", "@lost"], &["x-first-death-reason"])
            },
        ),
    ]
}

fn internal() -> Vec<Case> {
    let topology = Topology::new()
        .exchange_with("@inner", json!({ "type": "fanout", "durable": true, "internal": true }))
        .exchange("@x", "fanout")
        .queue("@q")
        .chain("@x", "@inner", "")
        .bind("@inner", "@q", "");
    vec![Case::new("internal: reached by bindings, not by SEND", topology, |stage| {
        send(stage, "@x", &["k"])?;
        let mut client = stage.client()?;
        let answer = stage.ask(&mut client, &stage.message("/exchange/@inner/k", "direct", &[]))?;
        stage.see(answer);
        stage.drain(&["@q"], &[])
    })]
}

fn send(stage: &Stage<'_>, exchange: &str, keys: &[&str]) -> anyhow::Result<()> {
    for key in keys {
        stage.send(&format!("/exchange/{exchange}/{key}"), key, &[])?;
    }
    Ok(())
}
