//! Memory beyond its watermark holds those who publish, and keeps others out, until consumers have taken what fills it.

use std::fs;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{self, Connect};
use harness::wait::{SOON, until};

#[test]
fn memory_beyond_its_watermark_holds_publishers_until_consumers_have_drained_it() -> Result<()> {
    let broker = Setup::new()
        .argument("--memory")
        .argument("--set=limits.memory_hold=1")
        .argument("--set=limits.memory_refuse=1")
        .argument("--set=limits.session_queue_bytes=64GiB")
        .argument("--set=limits.session_queue_messages=100000000")
        .start()?;
    let lasting = Connect::lasting(Version::V5, "reader");
    let (mut reader, _) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
    ensure!(reader.subscribe("fill", 1)? == [1]);
    let mut writer = Client::clean(broker.at(Door::Mqtt), Version::V5, "writer")?;
    let block = vec![7; 256 << 10];
    let mut sent = 0_u32;
    // Held for as long as it lasts, and then told.
    let reason = loop {
        let id = writer.id();
        writer.send(&write::publish(Version::V5, &Publish::new("fill", &block, 1).with_id(id)))?;
        let Packet::Ack { reason, .. } = writer.packet()? else { anyhow::bail!("no PUBACK") };
        if reason != 0 {
            break reason;
        }
        sent += 1;
        ensure!(sent < 100_000, "one percent of the memory is not so much");
    };
    ensure!(reason == 0x97 && says(&broker, "pressure.on"), "{reason:#x}");
    let mut late = Client::dial(broker.at(Door::Mqtt), Version::V5)?;
    late.send(&Connect::new(Version::V5, "late").bytes())?;
    let refused = late.packet()?;
    ensure!(matches!(&refused, Packet::Connack(connack) if connack.code == 0x89), "{refused:?}");

    // Until now it has read nothing.
    for number in 0..sent {
        let message = reader.take().with_context(|| format!("message {number} of {sent}"))?;
        ensure!(message.payload == block);
    }
    until("the end of the alarm", SOON, || says(&broker, "pressure.off").then_some(()))?;
    writer.publish("fill", b"on", 1)?;
    ensure!(reader.take()?.payload == b"on");
    Ok(())
}

fn says(broker: &Broker, what: &str) -> bool {
    fs::read_to_string(broker.journal().path()).is_ok_and(|text| text.contains(what))
}
