//! Streams by commands, over HTTP and in the configuration; and any queue read without taking anything, and published again.

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::stomp::{Client, Frame};
use serde_json::{Value, json};

use crate::run::{Done, duetmq};

#[test]
fn a_stream_is_declared_shown_exported_and_read_by_commands() -> Result<()> {
    let broker = Setup::new().config(CONFIG).start()?;
    said(&broker, &["declare", "queue", "chat", "--type", "stream", "--max-age", "7D"], 0, "declared")?;
    said(&broker, &["declare", "queue", "chat", "--type", "stream"], 2, "x-max-age")?;
    said(&broker, &["declare", "queue", "chat"], 2, "x-queue-type")?;
    said(&broker, &["declare", "queue", "odd", "--type", "stream", "-a", "x-expires=5"], 2, "x-expires")?;
    said(&broker, &["declare", "queue", "odd", "--max-age", "week"], 2, "7D")?;
    said(&broker, &["bind", "amq.topic", "chat", "-k", "chat.#"], 0, "bound")?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "writer")?;
    for number in 1..=1200 {
        mqtt.publish("chat/room/5", format!("number {number}").as_bytes(), u8::from(number == 1200))?;
    }
    let shown: Value = serde_json::from_str(&run(&broker, &["show", "queue", "chat", "--json"])?.out)?;
    ensure!(shown["type"] == "stream" && shown["arguments"]["x-max-age"] == "7D", "{shown}");
    ensure!(
        shown["first_offset"] == 1 && shown["last_offset"] == 1200 && shown["messages"] == 1200,
        "{shown}"
    );
    let kept: Value = serde_json::from_str(&run(&broker, &["show", "queue", "configured", "--json"])?.out)?;
    let expected = json!({"x-queue-type": "stream", "x-max-age": "12h", "x-max-length": 500});
    ensure!(kept["arguments"] == expected, "{kept}");
    // All of it, in as many portions as it takes, and some of it.
    let all = run(&broker, &["replay", "chat"])?;
    ensure!(all.code == Some(0) && all.out.lines().count() == 1200, "{}", all.out.lines().count());
    let last = all.out.lines().last().context("a line")?;
    ensure!(last.starts_with("1200 20") && last.ends_with("Z chat/room/5 number 1200"), "{last}");
    let some = run(&broker, &["replay", "chat", "--from", "700", "--count", "3", "--json"])?;
    let offsets: Result<Vec<Value>, _> = some.out.lines().map(serde_json::from_str).collect();
    let offsets: Vec<Value> = offsets?.iter().map(|one| one["offset"].clone()).collect();
    ensure!(offsets == [700, 701, 702], "{offsets:?}");
    for (start, count) in
        [("last=5", 5), ("2999-01-01T00:00:00Z", 0), ("2001-01-01T00:00:00Z", 1200), ("next", 0)]
    {
        let lines = run(&broker, &["replay", "chat", "--from", start])?.out.lines().count();
        ensure!(lines == count, "{start}: {lines}");
    }
    said(&broker, &["replay", "nobody"], 6, "nobody")?;
    said(&broker, &["replay", "chat", "--from", "yesterday"], 2, "last=COUNT")?;
    // Into another broker.
    let exported = run(&broker, &["export", "-"])?.out;
    let other = Broker::new()?;
    let answer =
        Admin::owner(&other).ask("POST", "/api/definitions", Some(&serde_json::from_str(&exported)?))?;
    ensure!(answer.status < 300, "{}", answer.reason());
    let shown: Value = serde_json::from_str(&run(&other, &["show", "queue", "chat", "--json"])?.out)?;
    ensure!(shown["type"] == "stream" && shown["arguments"]["x-max-age"] == "7D", "{shown}");
    Ok(())
}

#[test]
fn what_is_published_again_stays_and_what_comes_meanwhile_is_left_out() -> Result<()> {
    let broker = Broker::new()?;
    said(&broker, &["declare", "queue", "log", "--type", "stream"], 0, "declared")?;
    said(&broker, &["bind", "amq.topic", "log", "-k", "log.#"], 0, "bound")?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    for number in 1..=700 {
        let send = Frame::new("SEND").with("destination", "/topic/log.a").with("content-type", "text/plain");
        let send = send.with("colour", "blue").body(number.to_string().as_bytes());
        if number == 700 { client.request(send)? } else { client.send(&send)? }
    }
    // Into the topic that it is bound to: it ends all the same.
    said(&broker, &["replay", "log", "--to", "log/again"], 0, "700 messages")?;
    let shown: Value = serde_json::from_str(&run(&broker, &["show", "queue", "log", "--json"])?.out)?;
    ensure!(shown["messages"] == 1400, "{shown}");
    said(&broker, &["replay", "log", "--from", "1399", "--to", "/queue/nobody"], 0, "no queue took 2")?;
    client.subscribe("0", "/queue/copies", "auto")?;
    said(
        &broker,
        &["replay", "log", "--from", "1399", "--count", "1", "--to", "/queue/copies"],
        0,
        "1 message",
    )?;
    let copy = client.expect("MESSAGE")?;
    ensure!(copy.text() == "699" && copy.header("colour") == Some("blue"), "{copy:?}");
    ensure!(
        copy.header("content-type") == Some("text/plain") && copy.header("x-stream-offset").is_none(),
        "{copy:?}"
    );
    Ok(())
}

#[test]
fn any_queue_is_read_without_taking_anything_and_nobody_who_consumes_it_notices() -> Result<()> {
    // So few are held in memory that most is read back from the journal.
    let broker = Setup::new().config("[limits]\nresident_messages = 40\n").start()?;
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.send(&Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/queue/failed"))?;
    client.request(Frame::new("UNSUBSCRIBE").with("id", "0"))?;
    for number in 1..=1500 {
        let send = Frame::new("SEND").with("destination", "/queue/failed").with("persistent", "true");
        let send = send.body(number.to_string().as_bytes());
        if number == 1500 { client.request(send)? } else { client.send(&send)? }
    }
    let bodies = |words: &[&str]| -> Result<Vec<u64>> {
        let done = run(&broker, words)?;
        ensure!(done.code == Some(0), "{done:?}");
        done.out.lines().map(|line| Ok(line.rsplit(' ').next().context("a word")?.parse()?)).collect()
    };
    ensure!(bodies(&["replay", "failed"])? == (1..=1500).collect::<Vec<_>>(), "not all");
    ensure!(
        bodies(&["replay", "failed", "--from", "last=700"])? == (801..=1500).collect::<Vec<_>>(),
        "not those"
    );
    // What a consumer has is left out until it comes back.
    client.request(
        Frame::new("SUBSCRIBE")
            .with("id", "1")
            .with("destination", "/queue/failed")
            .with("ack", "client-individual")
            .with("prefetch-count", "2"),
    )?;
    let first = client.expect("MESSAGE")?;
    client.expect("MESSAGE")?;
    ensure!(bodies(&["replay", "failed", "--count", "2"])? == [3, 4], "what is on loan");
    client.settle("ACK", &first)?;
    ensure!(client.expect("MESSAGE")?.text() == "3", "in its order");
    said(&broker, &["declare", "queue", "again"], 0, "declared")?;
    said(&broker, &["replay", "failed", "--from", "4", "--to", "$queue/again"], 0, "1497 messages")?;
    ensure!(bodies(&["replay", "again"])? == (4..=1500).collect::<Vec<_>>(), "in their order");
    Ok(())
}

#[test]
fn whoever_may_not_see_messages_reads_no_queue() -> Result<()> {
    let broker = Broker::new()?;
    said(&broker, &["declare", "queue", "log", "--type", "stream"], 0, "declared")?;
    let admin = Admin::owner(&broker);
    for (path, status) in [
        ("/api/v1/streams/log?from=first", 200),
        ("/api/v1/streams/log?from=yesterday", 400),
        ("/api/v1/streams/log?limit=0", 400),
        ("/api/v1/streams/log?since=0", 400),
        ("/api/v1/streams/nobody", 404),
    ] {
        let answer = admin.get(path)?;
        ensure!(answer.status == status, "{path}: {} {}", answer.status, answer.reason());
    }
    for (body, word) in [
        (json!({"from": "first"}), "to"),
        (json!({"to": "a/+"}), "wildcard"),
        (json!({"to": "a", "limit": 0}), "limit"),
        (json!({"to": "a", "colour": "red"}), "colour"),
    ] {
        let answer = admin.ask("POST", "/api/v1/streams/log/replay", Some(&body))?;
        ensure!(answer.status == 400 && answer.reason().contains(word), "{body}: {}", answer.reason());
    }
    let nobody = Admin::nobody(&broker).get("/api/v1/streams/log")?;
    ensure!(nobody.status == 401 || nobody.status == 403, "{}", nobody.status);
    Ok(())
}

#[track_caller]
fn said(broker: &Broker, words: &[&str], code: i32, part: &str) -> Result<()> {
    let done = run(broker, words)?;
    let text = if code == 0 { &done.out } else { &done.error };
    ensure!(done.code == Some(code) && text.contains(part), "{words:?}: {done:?}");
    Ok(())
}

fn run(broker: &Broker, words: &[&str]) -> Result<Done> {
    let data = broker.data();
    let place = ["--data-dir", data.to_str().context("a path of text")?];
    duetmq(&[words, &place].concat())
}

const CONFIG: &str = "\
[[queue]]
name = \"configured\"
type = \"stream\"
max_age = \"12h\"
max_length = 500
";
