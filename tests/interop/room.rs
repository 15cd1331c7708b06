//! One room, four members, two protocols: everybody hears everybody, once and in order.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::script::{Script, node, python};
use serde_json::Value;

#[test]
fn four_clients_of_two_protocols_hear_a_thousand_messages_once_and_in_order() -> Result<()> {
    let broker = Broker::new()?;
    let mut members = vec![
        member("paho-3.1.1", python("mqtt_member.py")?, &broker, Door::Mqtt, &["--version", "4"])?,
        member("paho-5.0", python("mqtt_member.py")?, &broker, Door::Mqtt, &["--version", "5"])?,
        member("stomp.py", python("stomp_member.py")?, &broker, Door::Stomp, &[])?,
        member("stompjs", node("stomp_member.js")?, &broker, Door::Web, &[])?,
    ];
    for (_, script) in &mut members {
        script.expect("ready", Duration::from_secs(30))?;
    }
    for (_, script) in &mut members {
        script.tell("go")?;
    }
    for (name, script) in &mut members {
        let heard = script.json(Duration::from_secs(90))?;
        check(name, &heard).with_context(|| format!("what {name} heard"))?;
    }
    Ok(())
}

fn member(
    name: &'static str,
    mut command: Command,
    broker: &Broker,
    door: Door,
    more: &[&str],
) -> Result<(&'static str, Script)> {
    command.arg("--port").arg(broker.at(door).port().to_string()).arg("--name").arg(name);
    command.arg("--count").arg(EACH.to_string()).arg("--total").arg((EACH * 4).to_string()).args(more);
    Ok((name, Script::start(name, command)?))
}

fn check(name: &str, heard: &Value) -> Result<()> {
    let bodies = heard.as_array().context("a list")?;
    ensure!(bodies.len() == EACH * 4, "{} messages instead of {}", bodies.len(), EACH * 4);
    let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut korean = 0;
    for body in bodies {
        let said: Value = serde_json::from_str(body.as_str().context("text")?)?;
        let from = said.get("from").and_then(Value::as_str).context("from")?;
        let number = said.get("number").and_then(Value::as_u64).context("number")?;
        let words = if number % 2 == 1 { "안녕하세요, 여러분! 🎉" } else { "hello, everybody" };
        ensure!(said.get("text").and_then(Value::as_str) == Some(&format!("{words} {number}")), "{said}");
        korean += usize::from(number % 2 == 1);
        numbers.entry(from.to_owned()).or_default().push(number);
    }
    ensure!(korean == EACH * 2, "{korean} messages in Korean");
    ensure!(numbers.len() == 4, "{name} heard only {:?}", numbers.keys());
    for (from, numbers) in &numbers {
        // Once each, and in the order in which they were said.
        ensure!(numbers.iter().copied().eq(1..=EACH as u64), "from {from}: {numbers:?}");
    }
    Ok(())
}

const EACH: usize = 250;
