//! `$SYS/broker/…`: what the broker says of itself, by either door.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{ack, publish};
use harness::socket::Next;
use harness::stomp::Client as Stomp;

use crate::acl::OPEN;

#[test]
fn a_subscriber_gets_mosquittos_names_at_once_and_changes_later() -> Result<()> {
    let broker = talkative()?;
    let mut other = Client::clean(broker.at(Door::Mqtt), Version::V311, "other")?;
    other.subscribe("some/+", 1)?;
    other.subscribe("$share/g/more", 1)?;
    other.send(&publish(Version::V311, &Publish::new("kept", b"12345", 1).with_id(7).retained()))?;
    other.expect_ack(ack::PUBACK, 7)?;
    let mut watcher = Client::clean(broker.at(Door::Mqtt), Version::V5, "watcher")?;
    watcher.subscribe("$SYS/#", 0)?;
    let mut said = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs(60);
    let wanted = [
        ("clients/connected", "2"),
        ("clients/maximum", "2"),
        ("clients/total", "2"),
        ("clients/disconnected", "0"),
        ("retained messages/count", "1"),
        ("retained messages/bytes", "9"),
        ("subscriptions/count", "3"),
        ("shared_subscriptions/count", "1"),
        ("publish/messages/received", "1"),
        ("publish/bytes/received", "5"),
        ("store/messages/count", "1"),
    ];
    let mut retained = 0;
    while !wanted.iter().all(|(name, value)| said.get(*name).is_some_and(|said| said == value)) {
        ensure!(Instant::now() < end, "{said:?}");
        let one = watcher.publication()?;
        retained += usize::from(one.retain);
        let name = one.topic.strip_prefix("$SYS/broker/").context("another topic")?.to_owned();
        said.insert(name, one.text());
    }
    let names: Vec<&str> = said.keys().map(String::as_str).collect();
    for name in NAMES {
        ensure!(names.contains(name), "no {name}: {names:?}");
    }
    ensure!(retained >= NAMES.len(), "only {retained} were there from the start");
    for name in LOADS {
        for minutes in [1, 5, 15] {
            let value =
                said.get(&format!("load/{name}/{minutes}min")).with_context(|| format!("no load {name}"))?;
            ensure!(value.parse::<f64>().is_ok() && value.contains('.'), "{name}: {value}");
        }
    }
    ensure!(
        said["version"].starts_with("duetmq version ") && said["uptime"].ends_with(" seconds"),
        "{said:?}"
    );
    Ok(())
}

#[test]
fn wildcards_at_the_first_level_do_not_match_and_nobody_may_publish_there() -> Result<()> {
    // [MQTT-4.7.2-1]
    let broker = talkative()?;
    let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    client.subscribe("#", 0)?;
    client.subscribe("+/broker/uptime", 0)?;
    ensure!(client.next(Duration::from_millis(2500))? == Next::Silence, "it matches");
    client.subscribe("$SYS/+/version", 0)?;
    let one = client.publication()?;
    ensure!(one.topic == "$SYS/broker/version" && one.retain, "{one:?}");
    client.send(&publish(Version::V5, &Publish::new("$SYS/broker/version", b"mine", 1).with_id(3)))?;
    let refused = client.packet()?;
    ensure!(matches!(refused, Packet::Ack { kind: ack::PUBACK, id: 3, reason: 0x87.. }), "{refused:?}");
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    let refused = stomp.publish("/topic/$SYS.broker.version", b"mine");
    ensure!(matches!(&refused, Err(error) if error.to_string().contains("ERROR")), "{refused:?}");
    Ok(())
}

#[test]
fn stomp_hears_it_too_and_zero_turns_it_off() -> Result<()> {
    let broker = talkative()?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("0", "/topic/$SYS.broker.uptime", "auto")?;
    let message = stomp.expect("MESSAGE")?;
    ensure!(message.header("destination") == Some("/topic/$SYS.broker.uptime"), "{message:?}");
    ensure!(message.text().ends_with(" seconds"), "{message:?}");
    let silent = Setup::new().acl(OPEN).config("[node]\nsys_interval = \"0s\"\n").start()?;
    let mut client = Client::clean(silent.at(Door::Mqtt), Version::V311, "client")?;
    client.subscribe("$SYS/#", 0)?;
    ensure!(client.next(Duration::from_millis(1500))? == Next::Silence, "it says something");
    Ok(())
}

fn talkative() -> Result<Broker> {
    Setup::new().acl(OPEN).config("[node]\nsys_interval = \"1s\"\n").start()
}

const NAMES: &[&str] = &[
    "version",
    "timestamp",
    "uptime",
    "clients/connected",
    "clients/active",
    "clients/disconnected",
    "clients/inactive",
    "clients/total",
    "clients/maximum",
    "clients/expired",
    "messages/received",
    "messages/sent",
    "messages/inflight",
    "messages/stored",
    "store/messages/count",
    "store/messages/bytes",
    "retained messages/count",
    "retained messages/bytes",
    "delayed messages/count",
    "delayed messages/bytes",
    "subscriptions/count",
    "shared_subscriptions/count",
    "publish/messages/received",
    "publish/messages/sent",
    "publish/messages/dropped",
    "publish/bytes/received",
    "publish/bytes/sent",
    "bytes/received",
    "bytes/sent",
    "heap/current",
    "heap/maximum",
];

const LOADS: &[&str] = &[
    "connections",
    "sockets",
    "messages/received",
    "messages/sent",
    "publish/received",
    "publish/sent",
    "publish/dropped",
    "bytes/received",
    "bytes/sent",
];
