//! Other people's clients: mosquitto's two, rumqttc, and our own command line.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Raw;
use harness::mqtt::version::Version;
use rumqttc::{Client, Event, Incoming, MqttOptions, QoS};

#[test]
fn mosquitto_sub_hears_what_mosquitto_pub_says_in_every_version() -> Result<()> {
    let broker = Broker::new()?;
    let port = broker.at(Door::Mqtt).port().to_string();
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let mut subscriber = Command::new("mosquitto_sub");
            subscriber.args([
                "-V",
                version,
                "-p",
                &port,
                "-q",
                qos,
                "-t",
                "mosquitto/+",
                "-C",
                "2",
                "-W",
                "20",
                "-v",
                "-d",
            ]);
            let subscriber = subscriber.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            let subscriber = subscriber.context("mosquitto_sub is missing; run tests/prepare once")?;
            // It says nothing that we could read in time when it is subscribed: so the messages are retained.
            for (topic, body) in [("mosquitto/하나", "안녕하세요"), ("mosquitto/two", "hello")] {
                let mut publisher = Command::new("mosquitto_pub");
                publisher.args(["-V", version, "-p", &port, "-q", qos, "-t", topic, "-m", body, "-r"]);
                good(&publisher.output()?)?;
            }
            let output = subscriber.wait_with_output()?;
            good(&output)?;
            let heard = String::from_utf8_lossy(&output.stdout);
            for line in ["mosquitto/하나 안녕하세요", "mosquitto/two hello"] {
                ensure!(heard.lines().any(|heard| heard == line), "{version} QoS {qos}: {heard}");
            }
        }
    }
    Ok(())
}

#[test]
fn rumqttc_publishes_and_hears_at_every_qos() -> Result<()> {
    let broker = Broker::new()?;
    let mut options = MqttOptions::new("rumqttc", "127.0.0.1", broker.at(Door::Mqtt).port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut connection) = Client::new(options, 100);
    client.subscribe("rumqttc/#", QoS::ExactlyOnce)?;
    let mut heard = Vec::new();
    for event in connection.iter() {
        match event? {
            Event::Incoming(Incoming::SubAck(_)) => {
                for number in 0..90_u32 {
                    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
                    let qos = qos[usize::try_from(number % 3)?];
                    client.try_publish(format!("rumqttc/{}", number % 3), qos, false, number.to_string())?;
                }
            }
            Event::Incoming(Incoming::Publish(publish)) => {
                heard.push(String::from_utf8_lossy(&publish.payload).parse::<u32>()?);
                if heard.len() == 90 {
                    break;
                }
            }
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }
    // In order for each QoS, since each has a topic of its own.
    for qos in 0..3 {
        let of_qos: Vec<u32> = heard.iter().copied().filter(|number| number % 3 == qos).collect();
        ensure!(of_qos.iter().copied().eq((0..30).map(|number| number * 3 + qos)), "QoS {qos}: {of_qos:?}");
    }
    Ok(())
}

#[test]
fn a_client_of_another_kind_hears_raw_bytes_unchanged() -> Result<()> {
    let broker = Broker::new()?;
    let port = broker.at(Door::Mqtt).port().to_string();
    let bytes = harness::dice::Dice::new(1).bytes(70_000);
    let file = broker.folder().join("bytes");
    std::fs::write(&file, &bytes)?;
    let mut raw = Raw::clean(broker.at(Door::Mqtt), Version::V5, "raw")?;
    raw.subscribe("bytes", 2)?;
    let mut publisher = Command::new("mosquitto_pub");
    publisher.args(["-p", &port, "-q", "2", "-t", "bytes", "-f"]).arg(&file);
    good(&publisher.output().context("mosquitto_pub is missing; run tests/prepare once")?)?;
    ensure!(raw.take()?.payload == bytes, "the bytes changed");
    Ok(())
}

fn good(output: &Output) -> Result<()> {
    ensure!(
        output.status.success(),
        "{}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
