//! Policies as clients meet them: set, changed and cleared while other people's programs use the queue by either door.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup, duetmq_command};
use harness::door::Door;
use harness::script::python;
use harness::wait::until;
use serde_json::{Value, json};

use crate::adapter::{Adapter, bytes, hex};
use crate::mqtt_clients::driver::{Driver, Hello, Message};
use crate::mqtt_clients::mosquitto::Mosquitto;
use crate::stomp_py::Client as StompPy;

#[test]
fn a_limit_that_comes_while_both_doors_use_a_queue_takes_the_head_and_goes_with_its_policy() -> Result<()> {
    let broker = Broker::new()?;
    let mut doors = Doors::open(&broker)?;
    doors.fill(0..10)?;
    let mut worker = StompPy::new(&broker)?;
    worker.subscribe("work", QUEUE, "client-individual", &["prefetch-count:1"])?;
    worker.hear(QUEUE, "0")?;
    set(&broker, &["short", r"^jobs\.", "-a", "max-length=3"])?;
    waits(&broker, 3)?;
    doors.fill(10..14)?;
    waits(&broker, 3)?;
    let mut taken = 0..;
    let mut next = |worker: &mut StompPy, number: u32| -> Result<()> {
        let settled = taken.next().context("no number")?;
        worker.program.ask(&format!("ack {settled}"), "settled")?;
        worker.hear(QUEUE, &number.to_string()).map(drop)
    };
    (11..14).try_for_each(|number| next(&mut worker, number))?;
    clear(&broker, "short")?;
    doors.fill(14..30)?;
    (14..30).try_for_each(|number| next(&mut worker, number))
}

#[test]
fn a_policy_that_refuses_what_is_too_much_tells_each_publisher_in_its_own_words_and_takes_nothing_away()
-> Result<()> {
    let broker = Broker::new()?;
    let mut doors = Doors::open(&broker)?;
    doors.fill(0..4)?;
    set(&broker, &["full", r"^jobs\.", "-a", "max-length=2", "-a", "overflow=reject-publish"])?;
    let refused = doors.paho.ask(&publication("x"), "published")?;
    ensure!(refused["code"] == 0x97, "{refused}");
    // 3.x has no word for it but the end.
    let mut old = Adapter::start("paho 3.1.1", paho(&broker, "3.1.1")?)?;
    old.ask("connect old clean", "connected")?;
    old.tell(&format!("publish {TOPIC} {} 1 0", hex(b"x")))?;
    old.answer("failed")?;
    let mut sender = StompPy::new(&broker)?;
    sender.program.tell(&format!("send {QUEUE} {}", hex(b"x")))?;
    let error = sender.program.answer("error")?;
    ensure!(error["message"].as_str().is_some_and(|text| text.contains("full")), "{error}");
    sender.program.answer("lost")?;

    // What was there before is still there, and where there is room there is room.
    let mut worker = StompPy::new(&broker)?;
    worker.subscribe("work", QUEUE, "auto", &[])?;
    (0..4).try_for_each(|number| worker.hear(QUEUE, &number.to_string()).map(drop))?;
    doors.fill(4..6)?;
    (4..6).try_for_each(|number| worker.hear(QUEUE, &number.to_string()).map(drop))?;
    worker.program.ask(&format!("unsubscribe work {QUEUE}"), "unsubscribed")?;
    doors.fill(6..8)?;
    let refused = doors.paho.ask(&publication("x"), "published")?;
    ensure!(refused["code"] == 0x97, "{refused}");
    clear(&broker, "full")?;
    doors.fill(8..12)?;
    worker.subscribe("work", QUEUE, "auto", &[])?;
    (6..12).try_for_each(|number| worker.hear(QUEUE, &number.to_string()).map(drop))?;
    worker.nothing_more()
}

#[test]
fn what_waits_expires_by_a_policy_and_goes_where_that_says_also_when_it_says_another_place() -> Result<()> {
    let broker = Broker::new()?;
    let mut doors = Doors::open(&broker)?;
    let mut mourner = Adapter::start("paho 5.0", paho(&broker, "5.0")?)?;
    mourner.ask("connect mourner clean", "connected")?;
    mourner.ask("subscribe dead/# 1", "subscribed")?;
    let mut second = StompPy::new(&broker)?;
    second.subscribe("dead", "/exchange/amq.fanout", "auto", &[])?;
    doors.fill(0..4)?;
    let ttl = ["letters", r"^jobs\.", "-a", "message-ttl=50", "-a"];
    let first_place = ["dead-letter-exchange=amq.topic", "-a", "dead-letter-routing-key=dead.mail"];
    set(&broker, &[&ttl[..], &first_place].concat())?;
    let expect_letter = |mourner: &mut Adapter, number: u32| -> Result<()> {
        let letter = mourner.message()?;
        let text = bytes(letter["payload"].as_str().context("no payload")?)?;
        ensure!(letter["topic"] == "dead/mail" && text == number.to_string().as_bytes(), "{letter}");
        for pair in [["x-first-death-queue", "jobs.mail"], ["x-first-death-reason", "expired"]] {
            ensure!(letter["user"].as_array().is_some_and(|all| all.contains(&json!(pair))), "{letter}");
        }
        Ok(())
    };
    (0..4).try_for_each(|number| expect_letter(&mut mourner, number))?;
    doors.fill(4..6)?;
    (4..6).try_for_each(|number| expect_letter(&mut mourner, number))?;

    set(&broker, &[&ttl[..], &["dead-letter-exchange=amq.fanout"]].concat())?;
    doors.fill(6..8)?;
    for number in 6..8_u32 {
        let letter = second.hear("/exchange/amq.fanout/jobs.mail", &number.to_string())?;
        letter.died("jobs.mail", "expired")?;
    }
    clear(&broker, "letters")?;
    doors.fill(8..10)?;
    // Six times as long as they had before.
    std::thread::sleep(Duration::from_millis(300));
    let mut worker = StompPy::new(&broker)?;
    worker.subscribe("work", QUEUE, "auto", &[])?;
    (8..10).try_for_each(|number| worker.hear(QUEUE, &number.to_string()).map(drop))?;
    second.nothing_more()?;
    doors.paho.ask(&format!("tell dead/mark {} 1", hex(b"mark")), "published")?;
    let mark = mourner.message()?;
    ensure!(mark["topic"] == "dead/mark", "{mark}");
    Ok(())
}

#[test]
fn what_comes_in_under_a_policy_outlives_as_much_as_that_says_and_after_it_all_that_it_did_before()
-> Result<()> {
    let mut broker = Broker::new()?;
    let mut doors = Doors::open(&broker)?;
    doors.fill(0..4)?;
    set(&broker, &["light", r"^jobs\.", "-a", "durability=memory"])?;
    doors.fill(4..8)?;
    broker.kill();
    broker.start()?;
    let mut doors = Doors::open(&broker)?;
    let mut worker = StompPy::new(&broker)?;
    worker.subscribe("work", QUEUE, "auto", &[])?;
    (0..4).try_for_each(|number| worker.hear(QUEUE, &number.to_string()).map(drop))?;
    worker.nothing_more()?;
    drop(worker);
    doors.fill(8..10)?;
    clear(&broker, "light")?;
    doors.fill(10..14)?;
    broker.kill();
    broker.start()?;
    let mut worker = StompPy::new(&broker)?;
    worker.subscribe("work", QUEUE, "auto", &[])?;
    (10..14).try_for_each(|number| worker.hear(QUEUE, &number.to_string()).map(drop))?;
    worker.nothing_more()
}

#[test]
fn of_several_policies_the_one_of_the_highest_priority_holds_alone_wherever_it_was_said() -> Result<()> {
    let config =
        "[[policy]]\nname = \"middle\"\npattern = '^jobs'\npriority = 5\ndefinition = { max_length = 6 }\n";
    let broker = Setup::new().config(config).start()?;
    let mut doors = Doors::open(&broker)?;
    let mut holds = |name: &str, count: u64| -> Result<()> {
        doors.fill(0..9)?;
        waits(&broker, count).with_context(|| format!("while {name} holds"))?;
        let shown = Admin::owner(&broker).get("/api/queues/%2F/jobs.mail")?.json()?;
        ensure!(shown["policy"] == name, "{shown}");
        Ok(())
    };
    holds("middle", 6)?;
    set(&broker, &["low", r"^jobs\.", "-a", "max-length=1", "--priority", "4"])?;
    holds("middle", 6)?;
    // Not the smallest limit of all, and nothing of the other ones beside it.
    set(&broker, &["high", "mail$", "-a", "max-length=4", "--priority", "6"])?;
    holds("high", 4)?;
    let body = json!({"pattern": "mail$", "definition": {"max-length": 7}, "priority": 6});
    let changed = Admin::owner(&broker).ask("PUT", "/api/policies/%2F/high", Some(&body))?;
    ensure!(changed.status == 204, "{changed:?}");
    holds("high", 7)?;
    // Of equal priority: the first by name.
    set(&broker, &["an equal one", "mail", "-a", "max-length=2", "--priority", "6"])?;
    holds("an equal one", 2)?;
    set(&broker, &["an equal one", "^other", "-a", "max-length=2", "--priority", "6"])?;
    holds("high", 7)?;
    clear(&broker, "high")?;
    holds("middle", 6)
}

#[test]
fn a_policy_that_cannot_be_is_refused_in_words_and_clients_go_on_by_the_one_before() -> Result<()> {
    let broker = Broker::new()?;
    let mut doors = Doors::open(&broker)?;
    set(&broker, &["short", r"^jobs\.", "-a", "max-length=2"])?;
    for (pattern, definition, word) in [
        ("(", json!({"max-length": 9}), "regular expression"),
        ("^(?=jobs)", json!({"max-length": 9}), "look-around"),
        ("^jobs", json!({"max-length": "many"}), "max-length"),
        ("^jobs", json!({"max-length": -1}), "max-length"),
        ("^jobs", json!({"max-lenght": 9}), "max-lenght"),
        ("^jobs", json!({"overflow": "reject"}), "drop-head, reject-publish"),
        ("^jobs", json!({"durability": "tape"}), "disk, os or memory"),
        ("^jobs", json!({"message-ttl": "1h"}), "message-ttl"),
        ("^jobs", json!({}), "says nothing"),
    ] {
        let done = policy(&broker, &["set", "short", pattern, &definition.to_string()])?;
        let told = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.code() == Some(2) && told.contains(word), "{definition}: {done:?}");
        let body = json!({"pattern": pattern, "definition": definition});
        let refused = Admin::owner(&broker).ask("PUT", "/api/policies/%2F/short", Some(&body))?;
        ensure!(refused.status == 400 && refused.reason().contains(word), "{definition}: {refused:?}");
    }
    doors.fill(0..5)?;
    waits(&broker, 2)
}

#[test]
fn a_session_that_is_away_keeps_as_much_as_a_policy_for_its_queue_says() -> Result<()> {
    let broker = Broker::new()?;
    for version in ["3.1.1", "5.0"] {
        let name = format!("reader-{}", version.replace('.', ""));
        let mut reader = Mosquitto::new(version, broker.at(Door::Mqtt).port());
        reader.connect(&Hello::kept(&name))?;
        reader.subscribe("news/#", 1)?;
        reader.leave()?;
        set(&broker, &["away", &format!(r"^mqtt\.{name}$"), "-a", "max-length=2"])?;
        let mut writer = Mosquitto::new(version, broker.at(Door::Mqtt).port());
        writer.connect(&Hello::clean("writer"))?;
        let mut publish =
            |number: u32| writer.publish(&Message::new("news/1", number.to_string().as_bytes(), 1));
        (0..5).try_for_each(&mut publish)?;
        back(&mut reader, &name, 3..5)?;
        clear(&broker, "away")?;
        (5..10).try_for_each(&mut publish)?;
        back(&mut reader, &name, 5..10)?;
    }
    Ok(())
}

/// It comes back, finds these, and leaves.
fn back(reader: &mut Mosquitto, name: &str, numbers: std::ops::Range<u32>) -> Result<()> {
    reader.connect(&Hello::kept(name))?;
    for number in numbers {
        let came = reader.take()?;
        ensure!(came.payload == number.to_string().as_bytes(), "{came:?}, not {number}");
    }
    reader.leave()
}

/// A client of each door that sends to the same queue.
struct Doors {
    stomp: StompPy,
    paho: Adapter,
}

impl Doors {
    fn open(broker: &Broker) -> Result<Self> {
        let mut stomp = StompPy::new(broker)?;
        // Whoever subscribes to a queue that is not there makes it.
        stomp.subscribe("make", QUEUE, "client-individual", &[])?;
        stomp.program.ask(&format!("unsubscribe make {QUEUE}"), "unsubscribed")?;
        let mut paho = Adapter::start("paho 5.0", paho(broker, "5.0")?)?;
        paho.ask("connect writer clean", "connected")?;
        Ok(Self { stomp, paho })
    }

    /// Numbered messages, each acknowledged: even ones by STOMP, odd ones by MQTT.
    fn fill(&mut self, mut numbers: std::ops::Range<u32>) -> Result<()> {
        numbers.try_for_each(|number| {
            let body = number.to_string();
            if number.is_multiple_of(2) {
                return self.stomp.send(QUEUE, &body, &["persistent:true"]);
            }
            let taken = self.paho.ask(&publication(&body), "published")?;
            ensure!(taken["code"] == 0, "{taken}");
            Ok(())
        })
    }
}

pub(crate) fn paho(broker: &Broker, version: &str) -> Result<std::process::Command> {
    let mut command = python("paho_client.py")?;
    command.args([version, "tcp", &broker.at(Door::Mqtt).port().to_string()]);
    Ok(command)
}

fn publication(body: &str) -> String {
    format!("tell {TOPIC} {} 1", hex(body.as_bytes()))
}

fn policy(broker: &Broker, words: &[&str]) -> Result<std::process::Output> {
    let mut command = duetmq_command()?;
    Ok(command.arg("policy").args(words).arg("-d").arg(broker.data()).output()?)
}

pub(crate) fn set(broker: &Broker, words: &[&str]) -> Result<()> {
    let done = policy(broker, &[&["set"], words].concat())?;
    ensure!(done.status.success(), "{words:?}: {done:?}");
    Ok(())
}

pub(crate) fn clear(broker: &Broker, name: &str) -> Result<()> {
    let done = policy(broker, &["clear", name])?;
    ensure!(done.status.success(), "{name}: {done:?}");
    Ok(())
}

/// So many wait in the queue, sooner or later: what is too much goes behind the answers.
fn waits(broker: &Broker, count: u64) -> Result<()> {
    let ready = || -> Option<Value> {
        let shown = Admin::owner(broker).get("/api/queues/%2F/jobs.mail").ok()?.json().ok()?;
        (shown["messages_ready"] == count).then_some(shown)
    };
    until(&format!("{count} messages"), Duration::from_secs(30), ready).map(drop)
}

/// The same queue, as either door calls it.
const QUEUE: &str = "/queue/jobs.mail";
const TOPIC: &str = "$queue/jobs.mail";
