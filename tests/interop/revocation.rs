//! Rules that change, users that go and tokens that end, while their clients are connected.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup, duetmq_command};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{Property, SESSION_EXPIRY, WILL_DELAY};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, publish};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};
use harness::token::{config, token};
use harness::wait::SOON;

use crate::acl::OPEN as ALL;

#[test]
fn a_changed_rule_takes_effect_on_open_connections() -> Result<()> {
    let broker = Setup::new().acl(ALL).user("kim").user("sam").start()?;
    let mut sam = login(&broker, "sam", Connect::new(Version::V5, "sam"))?;
    let mut kim = login(&broker, "kim", Connect::new(Version::V5, "kim"))?;
    ensure!(kim.subscribe("secret/#", 1)? == [1] && kim.subscribe("#", 1)? == [1]);
    let (mut away, _) = Mqtt::connect(broker.at(Door::Mqtt), &lasting("kim"))?;
    ensure!(away.subscribe("secret/#", 1)? == [1] && away.subscribe("open/#", 1)? == [1]);
    drop(away);
    let mut stomp = by_stomp(&broker, "kim")?;
    stomp.subscribe("7", "/topic/secret.a", "auto")?;
    let mut worker = by_stomp(&broker, "kim")?;
    worker.subscribe("8", "/queue/jobs", "auto")?;
    sam.publish("secret/a", b"before", 1)?;
    ensure!(kim.take()?.text() == "before" && stomp.expect("MESSAGE")?.text() == "before");

    let deny = "[[rule]]\ndeny = [\"subscribe\", \"publish\", \"consume\"]\ntopics = [\"secret/#\", \"$queue/jobs\"]\nusers = [\"kim\"]\n";
    rewrite(&broker, &format!("{deny}\n{ALL}"), 2)?;
    let error = stomp.expect("ERROR")?;
    ensure!(error.header("subscription") == Some("7"), "{error:?}");
    ensure!(error.text().contains("not allowed to subscribe to secret/a (acl.toml:2)"), "{error:?}");
    let error = worker.expect("ERROR")?;
    ensure!(error.text().contains("not allowed to consume queue jobs (acl.toml:2)"), "{error:?}");
    broker.journal().wait_for(&["subscription.revoked", "secret/#", "acl.toml:2"], SOON)?;
    // Of the filter that is left, what is denied is left out; what waited for somebody who was away is, too.
    sam.publish("secret/a", b"after", 1)?;
    sam.publish("open/a", b"after", 1)?;
    let came = kim.take()?;
    ensure!(came.topic == "open/a", "{came:?}");
    let (mut away, _) = Mqtt::connect(broker.at(Door::Mqtt), &lasting("kim"))?;
    let came = away.take()?;
    ensure!(came.topic == "open/a", "{came:?}");
    kim.send(&publish(Version::V5, &Publish::new("secret/a", b"x", 1).with_id(9)))?;
    let packet = kim.packet()?;
    ensure!(packet == Packet::Ack { kind: 4, id: 9, reason: 0x87 }, "{packet:?}");

    // A file that is broken, or gone, changes nothing.
    replace(&broker, "[[rule]]\nallow = [\"everything\"]\n")?;
    broker.journal().wait_for(&["ERROR", "rules.not_read", "acl.toml:2"], SOON)?;
    ensure!(kim.subscribe("secret/#", 1)? == [0x87] && kim.subscribe("open/#", 1)? == [1]);
    // What is allowed again is subscribed to again.
    rewrite(&broker, &format!("{ALL}\n{ALL}\n{ALL}"), 3)?;
    ensure!(kim.subscribe("secret/#", 1)? == [1]);
    sam.publish("secret/a", b"again", 1)?;
    ensure!(kim.take()?.text() == "again");
    // Who may not connect any more is cut.
    rewrite(&broker, &format!("[[rule]]\ndeny = [\"connect\"]\nusers = [\"kim\"]\n{ALL}{ALL}{ALL}"), 4)?;
    expect_cut(&mut kim)?;
    Ok(())
}

#[test]
fn what_is_under_way_does_not_come_again_once_it_may_not_be_read() -> Result<()> {
    // threats.md: mosquitto 2.0.12 went on with what was pending.
    for qos in [1, 2] {
        let broker = Setup::new().acl(ALL).user("kim").user("sam").start()?;
        let mut sam = login(&broker, "sam", Connect::new(Version::V5, "sam"))?;
        let (mut kim, _) = Mqtt::connect(broker.at(Door::Mqtt), &lasting("kim"))?;
        ensure!(kim.subscribe("secret/#", qos)? == [qos] && kim.subscribe("open/#", qos)? == [qos]);
        for topic in ["secret/a", "open/a"] {
            sam.publish(topic, b"before", qos)?;
            let came = kim.publication()?;
            ensure!(came.topic == topic, "{came:?}");
        }
        // Neither is acknowledged.
        drop(kim);
        broker.journal().wait_for(&["conn.close", "client=away"], SOON)?;
        let deny = "[[rule]]\ndeny = [\"subscribe\"]\ntopics = [\"secret/#\"]\nusers = [\"kim\"]\n";
        rewrite(&broker, &format!("{deny}\n{ALL}"), 2)?;
        let (mut kim, connack) = Mqtt::connect(broker.at(Door::Mqtt), &lasting("kim"))?;
        ensure!(connack.session_present, "{connack:?}");
        let came = kim.take()?;
        ensure!(came.topic == "open/a" && came.dup, "QoS {qos}: {came:?}");
        sam.publish("open/b", b"after", qos)?;
        let came = kim.take()?;
        ensure!(came.topic == "open/b", "QoS {qos}: {came:?}");
    }
    Ok(())
}

#[test]
fn with_a_broken_file_of_rules_the_broker_does_not_start() -> Result<()> {
    for (text, words) in [("[[rule]]\nallow = [\"everything\"]\n", "acl.toml:2"), ("[[rule]\n", "acl.toml:1")]
    {
        let mut broker = Setup::new().acl(text).prepare()?;
        broker.launch()?;
        let status = broker.wait(SOON + SOON)?;
        ensure!(status.code() == Some(2), "{status}");
        broker.journal().wait_for(&[words], SOON)?;
    }
    let mut broker = Setup::new().argument("--set").argument("acl.file=nowhere.toml").prepare()?;
    broker.launch()?;
    ensure!(broker.wait(SOON + SOON)?.code() == Some(2));
    broker.journal().wait_for(&["acl.file", "nowhere.toml"], SOON)?;
    Ok(())
}

#[test]
fn a_user_who_is_gone_is_cut_and_leaves_no_will() -> Result<()> {
    let broker = Setup::new().user("kim").user("sam").start()?;
    let mut sam = login(&broker, "sam", Connect::new(Version::V5, "sam"))?;
    ensure!(sam.subscribe("will/#", 1)? == [1]);
    let will = |name: &str| Publish::new(&format!("will/{name}"), b"kim's", 1);
    let connect = Connect::new(Version::V5, "kim").will(will("now"));
    let mut kim = login(&broker, "kim", connect)?;
    ensure!(kim.subscribe("a/#", 1)? == [1]);
    let mut stomp = by_stomp(&broker, "kim")?;
    stomp.subscribe("1", "/topic/a.b", "auto")?;
    // One who has left already, and whose will would be due later.
    let mut late =
        Connect::new(Version::V5, "late").with(Property::Number(SESSION_EXPIRY, 60)).will(will("late"));
    late.will_properties = vec![Property::Number(WILL_DELAY, 4)];
    let late = login(&broker, "kim", late)?;
    drop(late);

    let mut command = duetmq_command()?;
    command.args(["passwd", "rm", "kim", "--file"]).arg(broker.passwords()).stdin(Stdio::null());
    ensure!(command.status()?.success());
    expect_cut(&mut kim)?;
    let error = stomp.expect("ERROR")?;
    ensure!(error.header("error-code") == Some("access_refused"), "{error:?}");
    ensure!(stomp.closes(SOON)?);
    broker.journal().wait_for(&["access.revoked", "kim", "no such user"], SOON)?;
    for topic in ["will/now", "will/late"] {
        broker.journal().wait_for(&["will.refused", topic], SOON)?;
    }
    sam.publish("will/mark", b"mark", 1)?;
    let came = sam.take()?;
    ensure!(came.topic == "will/mark", "{came:?}");
    Ok(())
}

#[test]
fn a_token_that_has_expired_leaves_no_will() -> Result<()> {
    let broker = Setup::new().config(&config("grace = \"1s\"")).start()?;
    let mut watcher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "watcher")?;
    ensure!(watcher.subscribe("will/#", 1)? == [1]);
    let come = |id: &str, ends_in_s: i64| -> Result<Mqtt> {
        let login = Some(("x".to_owned(), token("kim", ends_in_s)));
        let connect = Connect::new(Version::V311, id).will(Publish::new(&format!("will/{id}"), b"x", 1));
        Ok(Mqtt::connect(broker.at(Door::Mqtt), &Connect { login, ..connect })?.0)
    };
    let mut short = come("short", 2)?;
    ensure!(short.closes(SOON)?);
    broker.journal().wait_for(&["will.refused", "will/short", "expired"], SOON)?;
    drop(come("long", 600)?);
    let came = watcher.take()?;
    ensure!(came.topic == "will/long", "{came:?}");
    let more = watcher.next(Duration::from_millis(300))?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}

fn login(broker: &Broker, user: &str, connect: Connect) -> Result<Mqtt> {
    let login = Some((user.to_owned(), user.to_owned()));
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &Connect { login, ..connect })?.0)
}

fn lasting(user: &str) -> Connect {
    Connect { login: Some((user.to_owned(), user.to_owned())), ..Connect::lasting(Version::V311, "away") }
}

fn by_stomp(broker: &Broker, user: &str) -> Result<Stomp> {
    let mut client = Stomp::dial(broker.at(Door::Stomp))?;
    let connect = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "/");
    client.send(&connect.with("login", user).with("passcode", user))?;
    client.expect("CONNECTED")?;
    Ok(client)
}

fn expect_cut(client: &mut Mqtt) -> Result<()> {
    loop {
        let packet = client.packet()?;
        if let Packet::Publish(_) = packet {
            continue;
        }
        ensure!(matches!(packet, Packet::Disconnect { reason: 0x87, .. }), "{packet:?}");
        break;
    }
    ensure!(client.closes(SOON)?);
    Ok(())
}

/// Other rules, `count` of them, and the broker has read them.
fn rewrite(broker: &Broker, text: &str, count: usize) -> Result<()> {
    replace(broker, text)?;
    broker.journal().wait_for(&["rules.read", &format!("rules={count}")], SOON)?;
    Ok(())
}

fn replace(broker: &Broker, text: &str) -> Result<()> {
    let new = broker.acl().with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, broker.acl())?;
    Ok(())
}
