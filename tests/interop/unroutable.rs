//! What no queue takes: who asks is told, and so is whoever looks after the broker.

use anyhow::{Result, bail, ensure};
use harness::admin::Admin;
use harness::broker::Setup;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::publish;
use harness::stomp::{Client as Stomp, Frame};

#[test]
fn what_no_queue_takes_comes_back_to_who_asked_and_is_listed() -> Result<()> {
    let broker = Setup::new().start()?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.subscribe("faults", "/session/queue/request-error", "auto")?;
    let send = |name: &str, destination: &str| {
        Frame::new("SEND").with("destination", destination).with("mandatory", "true").with("receipt", name)
    };
    stomp.send(&send("lost", "/topic/nobody.1").with("colour", "red").body(b"lost"))?;
    let back = stomp.expect("MESSAGE")?;
    ensure!(back.text() == "lost" && back.header("colour") == Some("red"), "{back:?}");
    ensure!(back.header("error-code") == Some("no_route"), "{back:?}");
    ensure!(back.header("original-destination") == Some("/topic/nobody.1"), "{back:?}");
    let receipt = stomp.expect("RECEIPT")?;
    ensure!(receipt.header("receipt-id") == Some("lost"), "{receipt:?}");
    ensure!(receipt.header("unroutable") == Some("true"), "{receipt:?}");

    // Where there is a queue, nothing of that; and nobody who did not ask is told.
    stomp.send(&send("kept", "/queue/jobs").body(b"kept"))?;
    let receipt = stomp.expect("RECEIPT")?;
    ensure!(receipt.header("unroutable").is_none(), "{receipt:?}");
    stomp.publish("/topic/nobody.2", b"not asked for")?;

    let mut mqtt = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "client")?;
    for (qos, kind) in [(1, 4), (2, 5)] {
        mqtt.send(&publish(Version::V5, &Publish::new("nobody/3", b"by mqtt", qos).with_id(1)))?;
        let Packet::Ack { kind: came, reason: 0x10, .. } = mqtt.packet()? else {
            bail!("QoS {qos}: no 0x10")
        };
        ensure!(came == kind, "QoS {qos}: packet {came}");
    }

    let all = Admin::owner(&broker).get("/api/v1/unroutable?limit=10")?.json()?;
    let listed = all["items"].as_array().or(all.as_array()).cloned().unwrap_or_default();
    let keys: Vec<_> = listed.iter().filter_map(|one| one["key"].as_str()).collect();
    ensure!(keys == ["nobody/3", "nobody/3", "nobody/2", "nobody/1"], "{all}");
    Ok(())
}

#[test]
fn who_asked_and_cannot_be_told_in_another_way_gets_error() -> Result<()> {
    let broker = Setup::new().start()?;
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.send(
        &Frame::new("SEND").with("destination", "/topic/nobody").with("mandatory", "true").body(b"x"),
    )?;
    let error = stomp.expect("ERROR")?;
    ensure!(error.header("error-code") == Some("no_route"), "{error:?}");
    Ok(())
}
