//! Clients that others wrote, for MQTT: each in each of its versions over each of its transports through every exercise.

pub(crate) mod driver;
pub(crate) mod exercises;
pub(crate) mod mosquitto;
mod rumqttc;
mod rumqttc_v4;
mod rumqttc_v5;
pub(crate) mod scripted;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use harness::binary::root;
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client as Raw;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::{CORRELATION_DATA, Property, RESPONSE_TOPIC};
use harness::mqtt::version::Version;
use harness::mqtt::write;
use harness::script::{node, python};

use crate::mqtt_clients::driver::Driver;
use crate::mqtt_clients::exercises::{EXERCISES, Scene};
use crate::mqtt_clients::mosquitto::Mosquitto;
use crate::mqtt_clients::rumqttc::Rumqttc;
use crate::mqtt_clients::scripted::Scripted;
use crate::table::{Way, everybody};

/// A client: its name, its versions, the doors it can come in by, and how it is made.
struct Client {
    name: &'static str,
    versions: &'static [&'static str],
    doors: &'static [Door],
    make: fn(&'static str, Door, u16) -> Box<dyn Driver>,
}

const CLIENTS: &[Client] = &[
    Client {
        name: "paho-mqtt",
        versions: &["3.1", "3.1.1", "5.0"],
        doors: &[Door::Mqtt, Door::Web],
        make: |version, door, port| scripted("paho-mqtt", || python("paho_client.py"), version, door, port),
    },
    Client {
        name: "gmqtt",
        versions: &["3.1.1", "5.0"],
        doors: &[Door::Mqtt],
        make: |version, door, port| scripted("gmqtt", || python("gmqtt_client.py"), version, door, port),
    },
    Client {
        name: "MQTT.js",
        versions: &["3.1", "3.1.1", "5.0"],
        doors: &[Door::Mqtt, Door::Web],
        make: |version, door, port| scripted("MQTT.js", || node("mqtt_client.js"), version, door, port),
    },
    Client {
        name: "libmosquitto",
        versions: &["3.1", "3.1.1", "5.0"],
        doors: &[Door::Mqtt],
        make: |version, door, port| {
            let program = || compiled(&LIBMOSQUITTO, "libmosquitto_client", "-lmosquitto");
            scripted("libmosquitto", program, version, door, port)
        },
    },
    Client {
        name: "Paho's C library",
        versions: &["3.1", "3.1.1", "5.0"],
        doors: &[Door::Mqtt, Door::Web],
        make: |version, door, port| {
            let program = || compiled(&PAHO_C, "paho_client", "-lpaho-mqtt3c");
            scripted("Paho's C library", program, version, door, port)
        },
    },
    Client {
        name: "mosquitto_pub and mosquitto_sub",
        versions: &["3.1", "3.1.1", "5.0"],
        doors: &[Door::Mqtt],
        make: |version, _, port| Box::new(Mosquitto::new(version, port)),
    },
    Client {
        name: "rumqttc",
        versions: &["3.1.1"],
        doors: &[Door::Mqtt, Door::Web],
        make: |_, door, port| Box::new(Rumqttc::<::rumqttc::Client>::new(door, port)),
    },
    Client {
        name: "rumqttc",
        versions: &["5.0"],
        doors: &[Door::Mqtt, Door::Web],
        make: |_, door, port| Box::new(Rumqttc::<::rumqttc::v5::Client>::new(door, port)),
    },
];

#[test]
fn clients_that_others_wrote_do_every_exercise_in_every_version_on_every_transport() -> Result<()> {
    let broker = Broker::new()?;
    let mut ways = Vec::new();
    for client in CLIENTS {
        for &version in client.versions {
            for &door in client.doors {
                let name = format!(
                    "{} {version} over {}",
                    client.name,
                    if door == Door::Web { "WebSocket" } else { "TCP" }
                );
                let (port, address) = (broker.at(door).port(), broker.at(Door::Mqtt));
                let make = client.make;
                ways.push(Way::new(name, move |number| {
                    let mut scene = Scene {
                        client: make(version, door, port),
                        name: format!("way{number}"),
                        version,
                        address,
                    };
                    scene.run(EXERCISES)
                }));
            }
        }
    }
    everybody(ways)
}

#[test]
fn mosquitto_rr_asks_and_hears_the_answer() -> Result<()> {
    let broker = Broker::new()?;
    let mut raw = Raw::clean(broker.at(Door::Mqtt), Version::V5, "answerer")?;
    raw.subscribe("ask/+", 2)?;
    for qos in [0, 1, 2] {
        let mut asker = Command::new("mosquitto_rr");
        asker.args(["-V", "mqttv5", "-t", "ask/sum", "-e", "answer/sum", "-m", "2 + 2", "-W", "20"]);
        asker.args(["-q", &qos.to_string(), "-p", &broker.at(Door::Mqtt).port().to_string()]);
        asker.args(["-D", "publish", "correlation-data", "no. 4"]);
        let asker = asker.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let asker = asker.context("mosquitto_rr is missing; run tests/prepare once")?;
        let asked = raw.take()?;
        ensure!((asked.text().as_str(), asked.qos) == ("2 + 2", qos), "QoS {qos}: {asked:?}");
        let property = |wanted: u8| {
            let of = |property: &&Property| matches!(property, Property::Text(id, _) | Property::Binary(id, _) if *id == wanted);
            asked
                .properties
                .iter()
                .find(of)
                .cloned()
                .with_context(|| format!("QoS {qos}: no {wanted:#x} in {asked:?}"))
        };
        let Property::Text(_, answer_to) = property(RESPONSE_TOPIC)? else { unreachable!("it is text") };
        let answer = Publish::new(&answer_to, b"4", 0).with(property(CORRELATION_DATA)?);
        raw.send(&write::publish(Version::V5, &answer))?;
        let output = asker.wait_with_output()?;
        ensure!(output.status.success() && output.stdout == b"4\n", "QoS {qos}: {output:?}");
    }
    Ok(())
}

fn scripted(
    name: &str,
    command: impl Fn() -> Result<Command> + Send + 'static,
    version: &'static str,
    door: Door,
    port: u16,
) -> Box<dyn Driver> {
    let transport = if door == Door::Web { "websocket" } else { "tcp" };
    Box::new(Scripted::new(name, move || {
        let mut command = command()?;
        command.args([version, transport, &port.to_string()]);
        Ok(command)
    }))
}

static LIBMOSQUITTO: Built = OnceLock::new();
static PAHO_C: Built = OnceLock::new();

/// Where a compiled client is, or why there is none.
type Built = OnceLock<Result<PathBuf, String>>;

/// A client in C, compiled once.
fn compiled(built: &Built, name: &str, library: &str) -> Result<Command> {
    let build = || -> Result<PathBuf> {
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut command = Command::new("cc");
        command.args(["-std=c11", "-Wall", "-Werror", "-O1", "-o"]).arg(&program);
        command.arg(root().join("tests/c").join(name).with_extension("c")).arg(library);
        let output = command.output().context("cc is missing; run tests/prepare once")?;
        ensure!(
            output.status.success(),
            "run tests/prepare once? {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(program)
    };
    let built = built.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    Ok(Command::new(built.clone().map_err(|error| anyhow::anyhow!(error))?))
}
