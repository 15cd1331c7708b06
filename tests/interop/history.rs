//! A chat with a history, with other people's clients: whoever joins reads the last fifty messages and goes on live, while others talk.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::script::{Script, node, python};
use harness::stomp::Client;
use serde_json::{Value, json};

#[test]
fn whoever_joins_over_stomp_or_mqtt_has_the_last_fifty_messages_and_then_all_that_come_each_once()
-> Result<()> {
    let broker = Setup::new().start()?;
    make_room(&broker)?;
    let (talked, told) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let talking = scope.spawn(|| talk(&broker, &talked, &told));
        let until = COUNT.to_string();
        // They join one after the other, while the conversation goes on.
        let mut joined = Vec::new();
        for turn in 0..3_u64 {
            while talked.load(Ordering::Acquire) < 100 + turn * 60 {
                ensure!(!talking.is_finished(), "the conversation is over: {talked:?}");
                std::thread::sleep(Duration::from_millis(5));
            }
            let cut = (60 + turn * 40).to_string();
            for command in [stompjs(&broker, &until, &cut)?, paho(&broker, &until, &cut)?] {
                let before = talked.load(Ordering::Acquire);
                let mut script = Script::start(&format!("history-{turn}"), command)?;
                ensure!(script.line(PATIENCE)? == "joined", "it did not join");
                joined.push((script, before, told.load(Ordering::Acquire)));
            }
        }
        for (mut script, before, after) in joined {
            let seen: Vec<(u64, String)> = serde_json::from_str(&script.line(PATIENCE)?)?;
            let (first, _) = seen.first().context("nothing came")?;
            ensure!(
                (before.saturating_sub(49)..=after).contains(first),
                "from {first} on, while {before} to {after} were said"
            );
            let expected: Vec<(u64, String)> =
                (*first..=COUNT).map(|number| (number, number.to_string())).collect();
            ensure!(seen == expected, "a gap or a double: {seen:?}");
        }
        talking.join().map_err(|_| anyhow::anyhow!("whoever talks has panicked"))?
    })
}

fn make_room(broker: &Broker) -> Result<()> {
    let admin = Admin::owner(broker);
    let stream = json!({"arguments": {"x-queue-type": "stream", "x-max-age": "30D"}});
    let binding = json!({"routing_key": "chat.room.5"});
    let made: [(&str, &str, &Value); 2] = [
        ("PUT", "/api/queues/%2F/room-5", &stream),
        ("POST", "/api/bindings/%2F/e/amq.topic/q/room-5", &binding),
    ];
    for (method, path, body) in made {
        let answer = admin.ask(method, path, Some(body))?;
        ensure!(answer.status == 201, "{path}: {}", answer.reason());
    }
    Ok(())
}

/// Numbered messages, by either protocol in turn: `told` before each is sent, `talked` when it was acknowledged.
fn talk(broker: &Broker, talked: &AtomicU64, told: &AtomicU64) -> Result<()> {
    let mut stomp = Client::new(broker.at(Door::Stomp))?;
    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "talker")?;
    for number in 1..=COUNT {
        told.store(number, Ordering::Release);
        let body = number.to_string();
        match number % 2 {
            0 => stomp.publish("/topic/chat.room.5", body.as_bytes())?,
            _ => mqtt.publish("chat/room/5", body.as_bytes(), 1)?,
        }
        talked.store(number, Ordering::Release);
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn stompjs(broker: &Broker, until: &str, cut: &str) -> Result<Command> {
    let mut command = node("history.js")?;
    let port = broker.at(Door::Web).port().to_string();
    command.args(["--port", &port, "--until", until, "--cut", cut]);
    Ok(command)
}

fn paho(broker: &Broker, until: &str, cut: &str) -> Result<Command> {
    let mut command = python("history.py")?;
    command.args([&broker.at(Door::Mqtt).port().to_string(), until, cut]);
    Ok(command)
}

const COUNT: u64 = 1_500;
const PATIENCE: Duration = Duration::from_secs(120);
