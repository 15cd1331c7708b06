//! Direct, topic and fanout exchanges, and the default one.

use anyhow::Result;
use serde_json::json;

use crate::case::Case;
use crate::stage::Stage;
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    [direct_and_topic(), words_and_copies(), special()].into_iter().flatten().collect()
}

fn direct_and_topic() -> Vec<Case> {
    vec![
        keys(
            "direct: the key equals the binding's, letter by letter",
            "direct",
            &["red", "Red", "red.*"],
            &["red", "Red", "RED", "red.x", "red.*", ""],
        ),
        Case::new(
            "direct: several queues under one key, one queue under several keys",
            Topology::new()
                .exchange("@x", "direct")
                .queue("@one")
                .queue("@two")
                .bind("@x", "@one", "a")
                .bind("@x", "@one", "b")
                .bind("@x", "@two", "a"),
            |stage| {
                routed(stage, &["a", "b", "c"])?;
                stage.drain(&["@one", "@two"], &[])
            },
        ),
        keys(
            "topic: `*` is exactly one word",
            "topic",
            &["a.*", "*.b", "*", "a.*.c"],
            &["a", "a.b", "a.b.c", "a.", ".b", "", "x.b", "a..c"],
        ),
        keys(
            "topic: `#` is any number of words",
            "topic",
            &["#", "a.#", "#.b", "a.#.b"],
            &["", "a", "b", "a.b", "a.x.b", "a.x.y.b", "ab"],
        ),
        keys(
            "topic: `*` and `#` together",
            "topic",
            &["*.#", "#.*", "#.#", "*.#.b", "#.a.#"],
            &["", "a", "b", "a.b", "x.a.y", "a.b.b"],
        ),
        keys(
            "topic: empty words are words",
            "topic",
            &["a..b", "a.*.b", ".", "*.*", "a.#.b"],
            &["a..b", "a.b", ".", "", "..", "a...b"],
        ),
    ]
}

fn words_and_copies() -> Vec<Case> {
    vec![
        keys(
            "topic: wildcards count as whole words only",
            "topic",
            &["a*", "a.b#", "*"],
            &["a*", "ab", "a.b#", "a.bc", "*"],
        ),
        keys("topic: other letters than ASCII", "topic", &["방.*", "é.#"], &["방.1", "방", "é", "é.ü", "e"]),
        keys("fanout: the key means nothing", "fanout", &["", "a"], &["", "a", "b"]),
        Case::new(
            "one queue with several bindings that match gets one copy",
            Topology::new()
                .exchange("@x", "topic")
                .queue("@q")
                .bind("@x", "@q", "a.*")
                .bind("@x", "@q", "a.#")
                .bind("@x", "@q", "a.b"),
            |stage| {
                routed(stage, &["a.b", "a.b.c"])?;
                stage.drain(&["@q"], &[])
            },
        ),
        Case::new(
            "the same binding made twice is one",
            Topology::new().exchange("@x", "direct").queue("@q").bind("@x", "@q", "a").bind("@x", "@q", "a"),
            |stage| {
                routed(stage, &["a"])?;
                stage.drain(&["@q"], &[])
            },
        ),
    ]
}

fn special() -> Vec<Case> {
    vec![
        Case::new(
            "the default exchange: the key is the queue's name, no binding needed",
            Topology::new().queue("@q").queue("@Q"),
            |stage| {
                stage.send("/queue/@q", "small", &[])?;
                stage.send("/amq/queue/@Q", "great", &[])?;
                stage.drain(&["@q", "@Q"], &["destination"])
            },
        ),
        Case::new(
            "messages for no queue are dropped, and confirmed",
            Topology::new().exchange("@x", "direct").queue("@q").bind("@x", "@q", "a"),
            |stage| {
                let mut client = stage.client()?;
                for destination in ["/exchange/@x/b", "/topic/@nobody", "/amq/queue/@nowhere"] {
                    let answer = stage.ask(&mut client, &stage.message(destination, "x", &[]))?;
                    stage.see(format!("{destination}: {answer}"));
                }
                stage.drain(&["@q"], &[])
            },
        ),
        Case::new(
            "the exchanges that are always there: amq.direct, amq.fanout, amq.topic, amq.headers",
            ["amq.direct", "amq.fanout", "amq.topic", "amq.headers"].iter().fold(
                Topology::new(),
                |all, exchange| {
                    let queue = format!("@{}", exchange.replace('.', "-"));
                    all.queue(&queue).bind(exchange, &queue, "@k")
                },
            ),
            |stage| {
                for exchange in ["amq.direct", "amq.fanout", "amq.topic", "amq.headers"] {
                    for key in ["@k", "@other"] {
                        stage.send(
                            &format!("/exchange/{exchange}/{key}"),
                            key.trim_start_matches('@'),
                            &[],
                        )?;
                    }
                }
                stage.drain(&["@amq-direct", "@amq-fanout", "@amq-topic", "@amq-headers"], &["destination"])
            },
        ),
        Case::new(
            "an auto-delete exchange goes with its last binding",
            Topology::new()
                .exchange_with("@x", json!({ "type": "fanout", "durable": false, "auto_delete": true })),
            |stage| {
                let mut client = stage.client()?;
                stage.subscribe(&mut client, "0", "/exchange/@x", &[])?;
                stage.send("/exchange/@x", "heard", &[])?;
                let heard = crate::stage::rest(&mut client)?;
                stage.see(crate::stage::bodies(&heard));
                client.request(harness::stomp::Frame::new("UNSUBSCRIBE").with("id", "0"))?;
                std::thread::sleep(crate::stage::QUIET);
                let frame = stage.frame("SUBSCRIBE", "/exchange/@x", &[("id", "1")]);
                let answer = stage.ask(&mut client, &frame)?;
                stage.see(answer);
                Ok(())
            },
        ),
    ]
}

/// A queue for each pattern, and what comes there of all the keys. Bodies are the keys, in quotes.
fn keys(
    name: &'static str,
    kind: &'static str,
    patterns: &'static [&'static str],
    keys: &'static [&'static str],
) -> Case {
    let queue = |number: usize| format!("@q{number}");
    let topology =
        patterns.iter().enumerate().fold(Topology::new().exchange("@x", kind), |all, (number, pattern)| {
            all.queue(&queue(number)).bind("@x", &queue(number), pattern)
        });
    Case::new(name, topology, move |stage| {
        routed(stage, keys)?;
        for (number, pattern) in patterns.iter().enumerate() {
            let name = queue(number);
            let mut client = stage.client()?;
            stage.subscribe(&mut client, "0", &format!("/amq/queue/{name}"), &[])?;
            let came = crate::stage::bodies(&crate::stage::rest(&mut client)?);
            let pattern = if pattern.is_empty() { "(none)".to_owned() } else { format!("`{pattern}`") };
            stage.see(format!("{pattern} gets {came}"));
        }
        Ok(())
    })
}

/// To the exchange `@x`, with each key; the body says which.
fn routed(stage: &Stage<'_>, keys: &[&str]) -> Result<()> {
    let mut client = stage.client()?;
    for key in keys {
        let body = if key.is_empty() { "(none)".to_owned() } else { format!("`{key}`") };
        client.request(stage.message(&format!("/exchange/@x/{key}"), &body, &[]))?;
    }
    Ok(())
}
