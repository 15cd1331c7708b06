//! Clients that are sent to another server: `mqtt.redirect` and `mqtt.server_reference` (MQTT 5.0, 4.11).

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::Packet;
use harness::mqtt::property::{SERVER_REFERENCE, text};
use harness::mqtt::version::Version;
use harness::mqtt::write::Connect;
use harness::script::python;
use harness::stomp::Client as Stomp;
use harness::wait::SOON;

use crate::adapter::Adapter;

#[test]
fn who_connects_is_sent_elsewhere_with_the_code_that_was_set() -> Result<()> {
    // 3.2.2.3.16, 4.11; the nearest that 3.1.1 has is return code 3, server unavailable (3.2.2.3).
    for (redirect, code) in [("temporary", 0x9c), ("permanent", 0x9d)] {
        let broker = sending_away(redirect)?;
        let mut client = Client::dial(broker.at(Door::Mqtt), Version::V5)?;
        client.send(&Connect::new(Version::V5, "new").bytes())?;
        let Packet::Connack(connack) = client.packet()? else { anyhow::bail!("no CONNACK") };
        ensure!(connack.code == code && !connack.session_present, "{connack:?}");
        ensure!(text(&connack.properties, SERVER_REFERENCE) == Some(ELSEWHERE), "{connack:?}");
        ensure!(client.closes(SOON)?, "it goes on");
        for version in [Version::V31, Version::V311] {
            let mut client = Client::dial(broker.at(Door::Mqtt), version)?;
            client.send(&Connect::new(version, "old").bytes())?;
            let Packet::Connack(connack) = client.packet()? else { anyhow::bail!("no CONNACK") };
            ensure!(connack.code == 3 && !connack.session_present, "{version:?}: {connack:?}");
            ensure!(client.closes(SOON)?, "{version:?} goes on");
        }
        let mut paho = paho(&broker, "connect paho clean")?;
        let said = paho.answer("failed")?;
        ensure!(said["code"] == code && said["reference"] == ELSEWHERE, "{said}");
        // It is MQTT that moved.
        Stomp::new(broker.at(Door::Stomp))?;
    }
    Ok(())
}

#[test]
fn who_is_there_is_sent_elsewhere_when_the_broker_stops() -> Result<()> {
    // 3.14.2.2.5, 4.11
    let mut broker = sending_away("at_shutdown")?;
    let mut new = Client::clean(broker.at(Door::Mqtt), Version::V5, "new")?;
    let mut old = Client::clean(broker.at(Door::Mqtt), Version::V311, "old")?;
    let mut paho = paho(&broker, "connect paho clean")?;
    paho.answer("connected")?;
    broker.signal("TERM")?;
    let Packet::Disconnect { reason, properties } = new.packet()? else { anyhow::bail!("no DISCONNECT") };
    ensure!(reason == 0x9c, "{reason:#04x}");
    ensure!(text(&properties, SERVER_REFERENCE) == Some(ELSEWHERE), "{properties:?}");
    ensure!(new.closes(SOON)?, "5.0 goes on");
    // In 3.x there is nothing that a server could say.
    ensure!(old.closes(SOON)?, "3.1.1 goes on");
    let said = paho.answer("failed")?;
    ensure!(said["code"] == 0x9c && said["reference"] == ELSEWHERE, "{said}");
    ensure!(broker.wait(SOON + SOON)?.success(), "it did not stop as it should");
    Ok(())
}

#[test]
fn a_broker_that_sends_away_and_does_not_say_where_to_does_not_start() -> Result<()> {
    for (config, key) in [
        ("redirect = \"temporary\"", "mqtt.server_reference"),
        ("server_reference = \"there:1\"", "it is for redirect"),
    ] {
        let mut broker = Setup::new().config(&format!("[mqtt]\n{config}\n")).prepare()?;
        broker.launch()?;
        let status = broker.wait(SOON)?;
        ensure!(status.code() == Some(2), "{config}: {status}");
        let said = broker.journal().text();
        ensure!(said.contains(key), "{config}: {said}");
    }
    Ok(())
}

fn sending_away(redirect: &str) -> Result<Broker> {
    let config = format!("[mqtt]\nredirect = \"{redirect}\"\nserver_reference = \"{ELSEWHERE}\"\n");
    Setup::new().config(&config).start()
}

/// A client that others wrote, told one thing.
fn paho(broker: &Broker, line: &str) -> Result<Adapter> {
    let mut command = python("paho_client.py")?;
    command.args(["5.0", "tcp", &broker.at(Door::Mqtt).port().to_string()]);
    let mut paho = Adapter::start("paho-redirect", command)?;
    paho.tell(line)?;
    Ok(paho)
}

const ELSEWHERE: &str = "other.example.org:1883";
