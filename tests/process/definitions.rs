//! Definitions: exported, imported, and RabbitMQ's.

use std::fs;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use serde_json::{Value, json};

use crate::run::duetmq_with;
use crate::topology::run;

/// What `rabbitmqctl export_definitions` of RabbitMQ 3.10.8 wrote, where its management API had declared a bit of everything; only
/// the hashes of passwords are others. It has no internal exchange, though there was one, and one line leads to it.
const RABBITMQ: &str = include_str!("rabbitmq-3.10.8.json");

/// What cannot be honoured of it, with a word of why.
const LEFT_OUT: [(&str, &str, &str); 16] = [
    ("queue", "placed", "x-queue-master-locator"),
    ("queue", "versioned", "x-queue-version"),
    ("queue", "orders", "quorum"),
    ("queue", "lazy", "x-queue-mode"),
    ("binding", "amq.topic -> orders", "\"orders\" is left out"),
    ("user", "ann", "password file"),
    ("user", "guest", "password file"),
    ("permission", "ann", "access.deny"),
    ("permission", "guest", "access.deny"),
    ("permission", "guest", "access.deny"),
    ("topic_permission", "guest", "access.deny"),
    ("parameter", "move-jobs", "no shovel"),
    ("parameter", "far", "no federation"),
    ("parameter", "bound", "no operator policies"),
    ("global_parameter", "cluster_tags", "no parameters"),
    ("binding", "chat.exchange -> audit", "internal"),
];

#[test]
fn rabbitmqs_definitions_are_taken_and_what_cannot_be_honoured_is_named() -> Result<()> {
    let broker = Broker::new()?;
    let file = broker.folder().join("definitions.json");
    fs::write(&file, RABBITMQ)?;
    let file = file.display().to_string();
    let report = |more: &[&str]| -> Result<Value> {
        let done = run(&broker, &[&["import", &file, "--json"], more].concat())?;
        ensure!(done.code == Some(0), "{done:?}");
        serde_json::from_str(&done.out).context("a report")
    };
    let empty = Admin::owner(&broker).get("/api/definitions")?.body;
    let rehearsed = report(&["--dry-run"])?;
    ensure!(rehearsed["dry_run"] == true && Admin::owner(&broker).get("/api/definitions")?.body == empty);
    let strict = run(&broker, &["import", &file, "--strict"])?;
    ensure!(strict.code == Some(2) && strict.error.contains("nothing was changed"), "{strict:?}");
    ensure!(Admin::owner(&broker).get("/api/definitions")?.body == empty);

    let done = report(&[])?;
    let all = json!({"vhosts": 1, "exchanges": 5, "queues": 11, "bindings": 9, "policies": 1});
    ensure!(done["created"] == all, "{done}");
    ensure!(done["created"] == rehearsed["created"] && done["left_out"] == rehearsed["left_out"], "{done}");
    let left_out: Vec<(&str, &str, &str)> = done["left_out"]
        .as_array()
        .context("a list")?
        .iter()
        .filter_map(|item| Some((item["kind"].as_str()?, item["name"].as_str()?, item["reason"].as_str()?)))
        .collect();
    ensure!(left_out.len() == LEFT_OUT.len(), "{left_out:?}");
    for (told, (kind, name, word)) in left_out.iter().zip(LEFT_OUT) {
        ensure!(
            (told.0, told.1) == (kind, name) && told.2.contains(word),
            "{told:?}, not {kind} {name} {word}"
        );
    }
    let queue = Admin::owner(&broker).get("/api/queues/%2F/chat.queue")?.json()?;
    let arguments = json!({
        "x-dead-letter-exchange": "lost", "x-dead-letter-routing-key": "dead.chat", "x-max-length": 10000,
        "x-message-ttl": 86400000, "x-overflow": "reject-publish-dlx",
    });
    ensure!(queue["arguments"] == arguments, "{queue}");

    ensure!(
        queue["policy"] == "short" && queue["effective_policy_definition"]["max-length"] == 1000,
        "{queue}"
    );

    // With the exchange that RabbitMQ kept to itself, the line to it can be drawn too.
    ensure!(run(&broker, &["declare", "exchange", "audit", "-t", "fanout", "--internal"])?.code == Some(0));
    let rest = report(&[])?;
    let one = json!({"vhosts": 0, "exchanges": 0, "queues": 0, "bindings": 1, "policies": 0});
    let all = json!({"vhosts": 2, "exchanges": 5, "queues": 11, "bindings": 9, "policies": 1});
    ensure!(rest["created"] == one && rest["there"] == all, "{rest}");

    // People get lines; now all is there.
    let again = run(&broker, &["import", &file])?;
    ensure!(
        again.code == Some(0) && again.out.contains("made 0 exchanges, 0 queues, 0 bindings, 0 policies"),
        "{again:?}"
    );
    ensure!(
        again.out.contains("there already: 5 exchanges, 11 queues, 10 bindings, 1 policies"),
        "{again:?}"
    );
    ensure!(
        again.error.contains("left out: queue \"orders\"") && again.error.lines().count() == 15,
        "{again:?}"
    );
    Ok(())
}

#[test]
fn numbers_and_truth_values_are_the_same_texts_from_the_configuration_the_api_and_a_document() -> Result<()> {
    let config = "[[queue]]\nname = \"q\"\n\n[[binding]]\nexchange = \"amq.headers\"\nqueue = \"q\"\n\
                  arguments = { n = 10, r = 1.0, h = 1.5, l = 1e20, yes = true }\n";
    let broker = Setup::new().config(config).start()?;
    let admin = Admin::owner(&broker);
    let bindings = || admin.get("/api/queues/%2F/q/bindings")?.json();
    let before = bindings()?;
    let arguments = json!({"n": 10, "r": 1.0, "h": 1.5, "l": 1e20, "yes": true});
    let texts = json!({"n": "10", "r": "1.0", "h": "1.5", "l": "1e20", "yes": "true", "x-match": "all"});
    ensure!(before.as_array().is_some_and(|all| all.iter().any(|one| one["arguments"] == texts)), "{before}");

    let body = json!({"routing_key": "", "arguments": arguments});
    let bound = admin.ask("POST", "/api/bindings/%2F/e/amq.headers/q/q", Some(&body))?;
    ensure!([200, 201, 204].contains(&bound.status), "{bound:?}");
    ensure!(bindings()? == before, "{}", bindings()?);
    let line = json!({"source": "amq.headers", "destination": "q", "destination_type": "queue", "routing_key": "", "vhost": "/", "arguments": arguments});
    let imported = admin.ask("POST", "/api/definitions", Some(&json!({"bindings": [line]})))?.json()?;
    ensure!(imported["there"]["bindings"] == 1 && imported["created"]["bindings"] == 0, "{imported}");
    let exported = admin.get("/api/definitions")?.json()?;
    let again = admin.ask("POST", "/api/definitions", Some(&exported))?.json()?;
    ensure!(
        again["created"] == json!({"vhosts": 0, "exchanges": 0, "queues": 0, "bindings": 0, "policies": 0}),
        "{again}"
    );
    ensure!(bindings()? == before);
    Ok(())
}

#[test]
fn an_export_makes_the_same_topology_in_an_empty_broker() -> Result<()> {
    let (one, two) = (Broker::new()?, Broker::new()?);
    for words in [
        &["declare", "exchange", "chat", "-t", "topic", "-a", "alternate-exchange=lost"][..],
        &["declare", "exchange", "lost", "-t", "fanout", "--internal"],
        &["declare", "exchange", "docs", "-t", "headers", "--auto-delete"],
        &["declare", "queue", "a/b \"c\" 한국", "-a", "x-max-length=5", "-a", "x-overflow=reject-publish"],
        &["declare", "queue", "plain"],
        &["policy", "set", "short", "^a/", "-a", "max-length=3", "--priority", "-2", "--apply-to", "queues"],
        &[
            "declare",
            "queue",
            "full",
            "-a",
            "x-message-ttl=1000",
            "-a",
            "x-expires=100000",
            "-a",
            "x-max-priority=9",
        ],
        &["declare", "queue", "dlq", "-a", "x-dead-letter-exchange=", "-a", "x-dead-letter-routing-key=a.b"],
        &[
            "declare",
            "queue",
            "few",
            "--durable",
            "false",
            "-a",
            "x-max-length-bytes=9",
            "-a",
            "x-delivery-limit=2",
        ],
        &["declare", "queue", "one", "-a", "x-single-active-consumer=true", "-a", "x-overflow=drop-head"],
        &["bind", "chat", "plain", "-k", "room.*.#"],
        &["bind", "chat", "a/b \"c\" 한국", "-k", "a/b"],
        &["bind", "chat", "lost", "--destination-type", "exchange", "-k", "x.#"],
        &["bind", "docs", "plain", "-a", "x-match=any-with-x", "-a", "format=pdf", "-a", "there=null"],
        &["bind", "amq.fanout", "few"],
    ] {
        let done = run(&one, words)?;
        ensure!(done.code == Some(0), "{words:?}: {done:?}");
    }
    let file = one.folder().join("all.json").display().to_string();
    ensure!(run(&one, &["export", &file])?.code == Some(0));
    let written = fs::read_to_string(&file)?;
    let data = two.data().display().to_string();
    let done = duetmq_with(&["import", "-", "--strict", "--json", "-d", &data], &[], &written)?;
    ensure!(done.code == Some(0), "{done:?}");
    let report: Value = serde_json::from_str(&done.out)?;
    ensure!(
        report["created"] == json!({"vhosts": 0, "exchanges": 3, "queues": 6, "bindings": 5, "policies": 1}),
        "{report}"
    );
    let exported = run(&two, &["export", "-"])?;
    ensure!(exported.out == written, "{}\n{written}", exported.out);
    let line = run(&two, &["export", "-", "--json"])?;
    ensure!(
        line.out.lines().count() == 1
            && serde_json::from_str::<Value>(&line.out)? == serde_json::from_str::<Value>(&written)?
    );
    Ok(())
}

#[test]
fn where_something_contradicts_nothing_is_changed() -> Result<()> {
    let broker = Broker::new()?;
    ensure!(run(&broker, &["declare", "queue", "there", "-a", "x-max-length=5"])?.code == Some(0));
    ensure!(run(&broker, &["declare", "exchange", "chat", "-t", "fanout"])?.code == Some(0));
    let admin = Admin::owner(&broker);
    let before = admin.get("/api/definitions")?.body;
    let refused = |document: Value, words: &[&str]| -> Result<()> {
        let answer = admin.ask("POST", "/api/definitions", Some(&document))?;
        ensure!(answer.status == 400, "{document}: {answer:?}");
        for word in words {
            ensure!(answer.reason().contains(word), "{word} in {answer:?}");
        }
        ensure!(admin.get("/api/definitions")?.body == before, "{document}");
        Ok(())
    };
    let new = json!({"name": "new", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {}});
    let named = |name: &str, more: Value| {
        let mut item = new.clone();
        item["name"] = name.into();
        if let (Some(item), Some(more)) = (item.as_object_mut(), more.as_object()) {
            item.extend(more.clone());
        }
        item
    };
    let different = named("there", json!({"arguments": {"x-max-length": 6}}));
    refused(json!({"queues": [new, different]}), &["nothing was changed", "\"there\"", "x-max-length"])?;
    let topic = named("chat", json!({"type": "topic"}));
    refused(json!({"queues": [new], "exchanges": [named("x", json!({})), topic]}), &["\"chat\""])?;
    let line = |source: &str, to: &str| json!({"source": source, "destination": to, "destination_type": "queue", "routing_key": "k", "vhost": "/", "arguments": {}});
    refused(
        json!({"queues": [new], "bindings": [line("chat", "new"), line("nothing", "new"), line("chat", "nobody")]}),
        &["\"nothing\"", "\"nobody\""],
    )?;
    refused(json!({"queues": [new, new]}), &["twice"])?;
    refused(json!({"queues": [new], "quues": []}), &["quues"])?;
    refused(json!({"queues": {"a": 1}}), &["definitions.queues"])?;
    refused(json!([new]), &["JSON object"])?;
    let file = broker.folder().join("wrong.json");
    fs::write(&file, "{\"queues\": [")?;
    let done = run(&broker, &["import", &file.display().to_string()])?;
    ensure!(done.code == Some(2) && done.error.contains("no JSON"), "{done:?}");
    let done = run(&broker, &["import", "/nowhere/at/all.json"])?;
    ensure!(done.code == Some(2), "{done:?}");
    Ok(())
}
