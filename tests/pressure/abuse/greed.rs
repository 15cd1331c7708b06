//! Abuse by clients that are in: they never read, subscribe to everything, retain everything, and never release an id.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, publish, subscribe};
use harness::wait::SOON;

use crate::abuse::Scene;

#[test]
fn two_hundred_subscribers_that_never_read_hold_up_nobody() -> Result<()> {
    let scene = Scene::new("200 subscribers that never read", "")?;
    let mut deaf = Vec::new();
    for number in 0..200 {
        let version = if number % 2 == 0 { Version::V311 } else { Version::V5 };
        let mut client = Client::clean(scene.broker.at(Door::Mqtt), version, &format!("deaf-{number}"))?;
        client.subscribe("flood", 0)?;
        deaf.push(client);
    }
    let mut publisher = Client::clean(scene.broker.at(Door::Mqtt), Version::V5, "publisher")?;
    // 100 MiB for each of them: more than their queues may hold.
    let payload = vec![7; 16 << 10];
    for _ in 0..6_400 {
        publisher.publish("flood", &payload, 0)?;
    }
    publisher.publish("end", b"", 1)?;
    // Of all queues together the messages are held once, 64 MiB of them; of each connection what is on its way to its socket.
    scene.end(600, &["queue.full", "mqtt.deaf-"])
}

#[test]
fn ten_thousand_subscriptions_are_what_one_client_gets() -> Result<()> {
    let scene = Scene::new("10,000 subscriptions by one client", "")?;
    let mut greedy = Client::clean(scene.broker.at(Door::Mqtt), Version::V5, "greedy")?;
    for packet in 0..101_u16 {
        let filters: Vec<String> = (0..100).map(|number| format!("a/{packet}/+/{number}/#")).collect();
        let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 1)).collect();
        greedy.send(&subscribe(Version::V5, packet + 1, &filters, &[]))?;
        let answer = greedy.packet()?;
        let Packet::Suback { codes, .. } = answer else { anyhow::bail!("{answer:?}") };
        let wanted = if packet < 100 { 1 } else { 0x97 };
        ensure!(codes == [wanted; 100], "packet {packet}: {codes:?}");
    }
    scene.end(250, &["client.limit", "client=greedy", "[limits] subscriptions"])
}

#[test]
fn a_flood_of_retained_messages_ends_at_the_limit() -> Result<()> {
    let scene = Scene::new("a flood of retained messages", "[limits]\nretained = 20000\n")?;
    let mut hoarder = Client::clean(scene.broker.at(Door::Mqtt), Version::V5, "hoarder")?;
    let mut all = Vec::new();
    for number in 0..40_000_u32 {
        let message = Publish { retain: true, ..Publish::new(&format!("hoard/{number}"), &[7; 512], 0) };
        all.extend(publish(Version::V5, &message));
        if all.len() > 256 << 10 {
            hoarder.send(&all)?;
            all.clear();
        }
    }
    hoarder.send(&all)?;
    let last = Publish { retain: true, ..Publish::new("hoard/last", b"x", 1).with_id(1) };
    hoarder.send(&publish(Version::V5, &last))?;
    let answer = hoarder.packet()?;
    ensure!(matches!(answer, Packet::Ack { reason: 0x97, .. }), "{answer:?}");
    // Whoever asks for all of them gets them as fast as he reads, and nobody else waits for that.
    let mut reader = Client::clean(scene.broker.at(Door::Mqtt), Version::V5, "reader")?;
    reader.subscribe("hoard/#", 0)?;
    for number in 0..5_000 {
        ensure!(reader.take()?.retain, "message {number}");
    }
    scene.end(400, &["client.limit", "client=hoarder", "[limits] retained"])
}

#[test]
fn a_publisher_that_never_releases_an_id_is_stopped() -> Result<()> {
    // CVE-2023-28366
    let scene = Scene::new("QoS 2 ids that are never released", "")?;
    for round in 0..50 {
        let lasting = Connect::lasting(Version::V5, "clinger");
        let (mut clinger, _) = Client::connect(scene.broker.at(Door::Mqtt), &lasting)?;
        let payload = vec![7; 16 << 10];
        for id in 1..=66 {
            let message = Publish::new("nobody/listens", &payload, 2).with_id(id);
            if clinger.send(&publish(Version::V5, &message)).is_err() {
                break;
            }
        }
        let refused = loop {
            let packet = clinger.packet()?;
            if let Packet::Disconnect { reason, .. } = packet {
                break reason;
            }
            ensure!(matches!(packet, Packet::Ack { .. }), "round {round}: {packet:?}");
        };
        ensure!(refused == 0x93, "round {round}: {refused:#04x}");
        ensure!(clinger.closes(SOON)?, "round {round}: goes on");
    }
    // 3.x has no word for it: ids come to an end, and the same id again stores nothing.
    let (mut old, _) = Client::connect(scene.broker.at(Door::Mqtt), &Connect::lasting(Version::V311, "old"))?;
    for id in 1..=2_000 {
        old.send(&publish(Version::V311, &Publish::new("nobody/listens", &[7; 512], 2).with_id(id)))?;
    }
    std::thread::sleep(Duration::from_secs(1));
    scene.end(200, &["conn.close", "client=clinger", "by=broker", "Receive Maximum"])
}
