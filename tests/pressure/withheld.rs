//! A subscriber that does not read holds up nobody.

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::version::Version;
use harness::process::memory_kib;
use harness::stomp::Client as Stomp;

use crate::healthy::Pair;

#[test]
fn a_subscriber_that_does_not_read_disturbs_nobody_and_costs_a_bounded_amount_of_memory() -> Result<()> {
    // P10, P11
    let broker = Broker::new()?;
    let mut deaf = Mqtt::clean(broker.at(Door::Mqtt), Version::V311, "deaf")?;
    deaf.subscribe("flood", 0)?;
    let mut deaf_too = Stomp::new(broker.at(Door::Stomp))?;
    deaf_too.subscribe("0", "/topic/flood", "auto")?;
    let pair = Pair::new(&broker)?;
    let mut hearing = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "hearing")?;
    hearing.subscribe("flood/end", 1)?;
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    let payload = vec![7; 16 << 10];
    // 320 MiB for each of the two: far more than their queues may hold.
    for _ in 0..20_000 {
        publisher.publish("flood", &payload, 0)?;
    }
    publisher.publish("flood/end", b"end", 1)?;
    ensure!(hearing.take()?.text() == "end", "not the end");
    pair.part()?;
    let used = resident_mib(&broker)?;
    ensure!(used < 400, "the broker holds {used} MiB");
    Ok(())
}

fn resident_mib(broker: &Broker) -> Result<u64> {
    let pid = broker.pid().context("a process")?;
    Ok(memory_kib(pid, "VmRSS")? >> 10)
}
