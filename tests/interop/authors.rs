//! What is retained of somebody who may not publish it any more, as real clients meet it.

use std::fs;
use std::process::Stdio;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup, duetmq_command};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, publish};
use harness::stomp::{Client as Stomp, Frame};
use harness::token::{SECRET, config, now_s, signed};
use harness::wait::{SOON, until};
use serde_json::json;

use crate::acl::OPEN as ALL;

#[test]
fn what_its_author_may_not_publish_any_more_is_not_delivered() -> Result<()> {
    let mut broker = Setup::new().acl(ALL).user("kim").user("sam").start()?;
    let mut kim = login(&broker, "kim", Connect::new(Version::V5, "phone"))?;
    let mut sam = login(&broker, "sam", Connect::new(Version::V5, "desk"))?;
    retain(&mut kim, "a/kim")?;
    retain(&mut sam, "a/sam")?;
    by_stomp(&broker, "kim")?.request(
        Frame::new("SEND").with("destination", "/topic/a.stomp").with("retain", "true").body(b"a/stomp"),
    )?;
    // A will that is retained is his, too.
    let will = Publish { retain: true, ..Publish::new("a/will", b"a/will", 1) };
    drop(login(&broker, "kim", Connect::new(Version::V311, "lost").will(will))?);
    let all = ["a/kim", "a/sam", "a/stomp", "a/will"];
    until("the will", SOON, || found(&broker).ok().filter(|found| *found == all))?;

    for action in ["publish", "retain", "connect"] {
        let whom = "users = [\"kim\"]\n";
        rewrite(&broker, &format!("[[rule]]\ndeny = [\"{action}\"]\n{whom}{ALL}"))?;
        ensure!(found(&broker)? == ["a/sam"], "{action}");
    }
    broker.journal().wait_for(&["WARN", "retained.withheld", "kim", "acl.toml:2"], SOON)?;
    // By a rule about the client by which he did it.
    rewrite(&broker, &format!("[[rule]]\ndeny = [\"publish\"]\nclients = [\"phone\"]\n{ALL}"))?;
    ensure!(found(&broker)? == ["a/sam", "a/stomp", "a/will"]);
    // Nothing was thrown away, and a restart forgets nobody.
    rewrite(&broker, ALL)?;
    broker.kill();
    broker.start()?;
    ensure!(found(&broker)? == all);
    let mut command = duetmq_command()?;
    command.args(["passwd", "rm", "kim", "--file"]).arg(broker.passwords()).stdin(Stdio::null());
    ensure!(command.status()?.success());
    broker.journal().wait_for(&["users.read"], SOON)?;
    ensure!(found(&broker)? == ["a/sam"]);
    Ok(())
}

#[test]
fn what_a_token_allowed_stands_until_a_rule_denies_it() -> Result<()> {
    let rules =
        "[[rule]]\nallow = [\"connect\", \"subscribe\", \"publish\", \"retain\"]\nusers = [\"sam\"]\n";
    let broker = Setup::new().acl(rules).user("sam").config(&config("acl_claim = \"acl\"\n")).start()?;
    let acl = json!([{"allow": ["connect"]}, {"allow": ["publish", "retain"], "topics": ["a/%u"]}]);
    let token = signed(&json!({"sub": "kim", "exp": now_s() + 600, "acl": acl}), SECRET);
    let connect = Connect { login: Some(("x".to_owned(), token)), ..Connect::new(Version::V5, "t") };
    let mut kim = Mqtt::connect(broker.at(Door::Mqtt), &connect)?.0;
    retain(&mut kim, "a/kim")?;
    drop(kim);
    ensure!(found(&broker)? == ["a/kim"]);
    rewrite(&broker, &format!("[[rule]]\ndeny = [\"publish\"]\nusers = [\"kim\"]\n{rules}"))?;
    ensure!(found(&broker)?.is_empty());
    Ok(())
}

/// The topics of what a new subscriber gets.
fn found(broker: &Broker) -> Result<Vec<String>> {
    let mut stomp = by_stomp(broker, "sam")?;
    let mut subscriber = login(broker, "sam", Connect::new(Version::V5, "new"))?;
    ensure!(subscriber.subscribe("a/#", 1)? == [1]);
    stomp.request(
        Frame::new("SUBSCRIBE").with("id", "1").with("destination", "/topic/a.#").with("retained", "true"),
    )?;
    // Behind all that was retained.
    subscriber.publish("a/mark", b"mark", 1)?;
    let mut topics = Vec::new();
    loop {
        let (came, told) = (subscriber.take()?, stomp.expect("MESSAGE")?);
        ensure!(came.payload == told.body, "{came:?} and {told:?}");
        if came.topic == "a/mark" {
            return Ok(topics);
        }
        ensure!(came.retain && came.topic.as_bytes() == came.payload, "{came:?}");
        topics.push(came.topic);
    }
}

fn retain(client: &mut Mqtt, topic: &str) -> Result<()> {
    let message = Publish { retain: true, ..Publish::new(topic, topic.as_bytes(), 1).with_id(7) };
    client.send(&publish(Version::V5, &message))?;
    let packet = client.packet()?;
    ensure!(matches!(packet, Packet::Ack { kind: 4, id: 7, reason: 0..0x80 }), "{packet:?}");
    Ok(())
}

fn login(broker: &Broker, user: &str, connect: Connect) -> Result<Mqtt> {
    let login = Some((user.to_owned(), user.to_owned()));
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &Connect { login, ..connect })?.0)
}

fn by_stomp(broker: &Broker, user: &str) -> Result<Stomp> {
    let mut client = Stomp::dial(broker.at(Door::Stomp))?;
    let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
    client.send(&connect.with("login", user).with("passcode", user))?;
    client.expect("CONNECTED")?;
    Ok(client)
}

/// Other rules, and the broker has read them.
fn rewrite(broker: &Broker, text: &str) -> Result<()> {
    let read = || broker.journal().lines_with(&["rules.read"]).len();
    let before = read();
    let new = broker.acl().with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, broker.acl())?;
    until("the rules to be read", SOON, || (read() > before).then_some(()))
}
