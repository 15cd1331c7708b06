//! Sessions that outlive their connections: what waits, what comes again, and who takes over.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{ASSIGNED_CLIENT_IDENTIFIER, text};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::socket::Next;

#[test]
fn what_is_published_while_a_session_has_no_connection_waits_for_it() -> Result<()> {
    // [MQTT-4.5.0-1]; the same once more over a restart.
    let mut broker = Broker::new()?;
    for restart in [false, true] {
        for version in Version::ALL {
            let name = format!("away-{restart}-{version:?}");
            let (mut client, connack) =
                Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?;
            ensure!(!connack.session_present, "a session before its first connection");
            client.subscribe(&format!("mail/{name}"), 2)?;
            drop(client);
            let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
            for qos in [1, 2, 1] {
                publisher.publish(&format!("mail/{name}"), format!("{qos}").as_bytes(), qos)?;
            }
            if restart {
                broker.kill();
                broker.start()?;
            }
            let (mut client, connack) =
                Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?;
            ensure!(connack.session_present || version == Version::V31, "{name}: the session is gone");
            for qos in [1, 2, 1] {
                let message = client.take()?;
                ensure!(message.qos == qos && message.text() == format!("{qos}"), "{name}: {message:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn what_was_not_acknowledged_comes_again_with_dup_and_the_same_id() -> Result<()> {
    // [MQTT-4.4.0-1], [MQTT-3.3.1-1]
    let mut broker = Broker::new()?;
    for restart in [false, true] {
        for version in Version::ALL {
            for qos in [1, 2] {
                let name = format!("again-{restart}-{version:?}-{qos}");
                let (mut client, _) =
                    Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?;
                client.subscribe(&name, qos)?;
                let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
                publisher.publish(&name, b"first", qos)?;
                publisher.publish(&name, b"second", qos)?;
                let (first, second) = (client.publication()?, client.publication()?);
                ensure!(!first.dup && !second.dup && first.id != second.id, "{first:?} {second:?}");
                drop(client);
                if restart {
                    broker.kill();
                    broker.start()?;
                }
                let (mut client, _) =
                    Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?;
                for expected in [first.again(), second.again()] {
                    let came = client.publication()?;
                    ensure!(came == expected, "{name}: {came:?} instead of {expected:?}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn after_pubrec_comes_pubrel_and_never_publish() -> Result<()> {
    // 4.3.3, [MQTT-4.4.0-1]
    let mut broker = Broker::new()?;
    for restart in [false, true] {
        for version in Version::ALL {
            let name = format!("released-{restart}-{version:?}");
            let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?;
            client.subscribe(&name, 2)?;
            let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
            publisher.publish(&name, b"once", 2)?;
            let message = client.publication()?;
            client.send(&ack::bytes(ack::PUBREC, message.id))?;
            client.expect_ack(ack::PUBREL, message.id)?;
            drop(client);
            if restart {
                broker.kill();
                broker.start()?;
            }
            let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?;
            client.expect_ack(ack::PUBREL, message.id)?;
            client.send(&ack::bytes(ack::PUBCOMP, message.id))?;
            let more = client.next(Duration::from_millis(200))?;
            ensure!(more == Next::Silence, "{name}: {more:?}");
        }
    }
    Ok(())
}

#[test]
fn a_qos_2_message_sent_again_after_a_restart_is_known() -> Result<()> {
    // P2, [MQTT-4.3.3-10]
    let mut broker = Broker::new()?;
    for version in Version::ALL {
        let name = format!("sender-{version:?}");
        let (mut heir, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, "heir"))?;
        heir.subscribe("known", 2)?;
        let (mut sender, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?;
        let message = Publish::new("known", name.as_bytes(), 2).with_id(5);
        sender.send(&publish(version, &message))?;
        sender.expect_ack(ack::PUBREC, 5)?;
        broker.kill();
        broker.start()?;
        let (mut sender, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, &name))?;
        sender.send(&publish(version, &message.again()))?;
        sender.expect_ack(ack::PUBREC, 5)?;
        sender.send(&ack::bytes(ack::PUBREL, 5))?;
        sender.expect_ack(ack::PUBCOMP, 5)?;
        sender.publish("known", b"end", 2)?;
        let (mut heir, _) = Client::connect(broker.at(Door::Mqtt), &Connect::lasting(version, "heir"))?;
        for expected in [name.as_str(), "end"] {
            let came = publication(&mut heir)?;
            ensure!(came.text() == expected, "{came:?} instead of {expected}");
            heir.send(&ack::bytes(ack::PUBREC, came.id))?;
            heir.expect_ack(ack::PUBREL, came.id)?;
            heir.send(&ack::bytes(ack::PUBCOMP, came.id))?;
        }
        drop(heir);
        // The next round begins with a new session.
        Client::clean(broker.at(Door::Mqtt), version, "heir")?;
    }
    Ok(())
}

#[test]
fn a_clean_start_ends_the_session_that_was() -> Result<()> {
    // [MQTT-3.1.2-4], [MQTT-3.2.2-2]
    let broker = Broker::new()?;
    for version in [Version::V311, Version::V5] {
        let lasting = Connect::lasting(version, "clean");
        let (mut client, _) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
        client.subscribe("clean", 1)?;
        drop(client);
        let (client, connack) = Client::connect(broker.at(Door::Mqtt), &Connect::new(version, "clean"))?;
        ensure!(!connack.session_present, "{version:?}: present after a clean start");
        drop(client);
        let (mut client, connack) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
        ensure!(!connack.session_present, "{version:?}: a clean session left something behind");
        let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
        publisher.publish("clean", b"x", 1)?;
        ensure!(client.next(Duration::from_millis(200))? == Next::Silence, "{version:?}: still subscribed");
    }
    Ok(())
}

#[test]
fn a_second_connection_takes_over_and_the_first_is_told() -> Result<()> {
    // [MQTT-3.1.4-3]
    let broker = Broker::new()?;
    for version in Version::ALL {
        let lasting = Connect::lasting(version, "same");
        let (mut first, _) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
        first.subscribe("same", 1)?;
        let (mut second, connack) = Client::connect(broker.at(Door::Mqtt), &lasting)?;
        ensure!(connack.session_present || version == Version::V31, "{version:?}: nothing was taken over");
        if version == Version::V5 {
            let packet = first.packet()?;
            ensure!(matches!(packet, Packet::Disconnect { reason: 0x8e, .. }), "{packet:?}");
        }
        ensure!(first.closes(Duration::from_secs(5))?, "{version:?}: the first stays open");
        let mut publisher = Client::clean(broker.at(Door::Mqtt), version, "publisher")?;
        publisher.publish("same", b"x", 1)?;
        ensure!(second.take()?.text() == "x", "{version:?}");
        drop(second);
        Client::clean(broker.at(Door::Mqtt), version, "same")?;
    }
    Ok(())
}

#[test]
fn a_client_without_a_name_gets_one() -> Result<()> {
    // [MQTT-3.1.3-6], [MQTT-3.2.2-16]
    let broker = Broker::new()?;
    let (_one, first) = Client::connect(broker.at(Door::Mqtt), &Connect::new(Version::V5, ""))?;
    let (_two, second) = Client::connect(broker.at(Door::Mqtt), &Connect::new(Version::V5, ""))?;
    let names = [&first, &second].map(|connack| text(&connack.properties, ASSIGNED_CLIENT_IDENTIFIER));
    ensure!(names[0].is_some() && names[0] != names[1], "{names:?}");
    Client::connect(broker.at(Door::Mqtt), &Connect::new(Version::V311, ""))?;
    let mut client = Client::dial(broker.at(Door::Mqtt), Version::V311)?;
    client.send(&Connect::lasting(Version::V311, "").bytes())?;
    let packet = client.packet()?;
    ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == 2), "{packet:?}");
    Ok(())
}

/// The next PUBLISH. Of a message that was taken before, only PUBREL comes again.
fn publication(client: &mut Client) -> Result<Publish> {
    loop {
        let packet = client.packet()?;
        if let Packet::Ack { kind: ack::PUBREL, id, .. } = packet {
            client.send(&ack::bytes(ack::PUBCOMP, id))?;
        } else if let Packet::Publish(publish) = packet {
            return Ok(publish);
        } else {
            anyhow::bail!("{packet:?}");
        }
    }
}
