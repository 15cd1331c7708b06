//! Clients that others wrote, by TLS: over each transport through every exercise, while others come in without it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use harness::broker::{Broker, Setup, duetmq_command};
use harness::certificates::Authority;
use harness::door::{Door, free_address};
use harness::script::{node, python};

use crate::mqtt_clients::exercises as mqtt;
use crate::mqtt_clients::scripted::Scripted;
use crate::stomp_clients::exercises as stomp;
use crate::table::{Way, everybody};

#[test]
fn clients_that_others_wrote_do_every_exercise_by_tls() -> Result<()> {
    let authority = Authority::new()?;
    let house = House::start(&authority, Setup::new())?;
    everybody(house.ways(&[("TLS_CA", authority.file())]))
}

#[test]
fn our_own_clients_speak_tls_over_each_transport_and_believe_nobody_they_do_not_know() -> Result<()> {
    let authority = Authority::new()?;
    let broker = Setup::new().secure(&authority.server()?).start()?;
    let port = |door| broker.at(door).port();
    for (url, to) in [
        (format!("mqtts://localhost:{}", port(Door::Mqtt)), "a/b"),
        (format!("mqtts://127.0.0.1:{}", port(Door::Auto)), "a/b"),
        (format!("wss://localhost:{}/mqtt", port(Door::Web)), "a/b"),
        (format!("stomps://localhost:{}", port(Door::Stomp)), "/topic/a.b"),
        (format!("stomp+tls://localhost:{}", port(Door::Auto)), "/topic/a.b"),
        (format!("wss://localhost:{}/ws", port(Door::Auto)), "/topic/a.b"),
    ] {
        let publish = |more: &[&std::ffi::OsStr]| -> Result<_> {
            let mut command = duetmq_command()?;
            Ok(command.args(["pub", "-u", &url, "-t", to, "-m", "x"]).args(more).output()?)
        };
        let done = publish(&["--cafile".as_ref(), authority.file().as_os_str()])?;
        ensure!(done.status.success(), "{url}: {done:?}");
        let stranger = publish(&[])?;
        let said = String::from_utf8_lossy(&stranger.stderr).into_owned();
        ensure!(stranger.status.code() == Some(1) && said.contains("UnknownIssuer"), "{url}: {said}");
    }
    let mut list = duetmq_command()?;
    list.args([
        "list",
        "sessions",
        "--admin",
        &format!("https://localhost:{}", port(Door::Admin)),
        "--cafile",
    ]);
    list.arg(authority.file()).args(["--user", "nobody", "--password", "nothing"]);
    // It got as far as being asked who asks.
    ensure!(list.output()?.status.code() == Some(5));
    Ok(())
}

/// A broker with its usual doors, and three more by TLS.
struct House {
    broker: Broker,
    by_tls: [(Door, SocketAddr); 3],
}

impl House {
    fn start(authority: &Authority, setup: Setup) -> Result<Self> {
        let files = authority.server()?;
        let by_tls = [Door::Mqtt, Door::Stomp, Door::Web].map(|door| (door, free_address()));
        let mut setup = setup
            .argument(&format!("--set=tls.default.cert={}", files.certificate.display()))
            .argument(&format!("--set=tls.default.key={}", files.key.display()));
        for (door, address) in by_tls {
            setup = setup.argument("--listen").argument(&door.url(address, true));
        }
        Ok(Self { broker: setup.start()?, by_tls })
    }

    /// Every client in a version or two, each by TLS with these files.
    fn ways(&self, trust: &[(&'static str, PathBuf)]) -> Vec<Way> {
        let mut ways = Vec::new();
        for (door, address) in self.by_tls {
            let over = if door == Door::Web { "wss" } else { "TLS" };
            for (name, version) in MQTT.into_iter().filter(|_| door != Door::Stomp) {
                let program = program(name, trust);
                let transport = if door == Door::Web { "websocket" } else { "tcp" };
                let raw = self.broker.at(Door::Mqtt);
                let command = move || {
                    let mut command = program()?;
                    command.args([version, transport, &address.port().to_string()]);
                    Ok(command)
                };
                ways.push(Way::new(format!("{name} {version} over {over}"), move |number| {
                    let client = Box::new(Scripted::new(name, command));
                    let name = format!("way{number}");
                    mqtt::Scene { client, name, version, address: raw }.run(mqtt::EXERCISES)
                }));
            }
            // stomp.py speaks no WebSocket here.
            for name in STOMP.into_iter().filter(|&name| match door {
                Door::Mqtt => false,
                Door::Web => name == "stompjs",
                Door::Stomp | Door::Auto | Door::Admin => true,
            }) {
                let program = Box::new(program(name, trust));
                let (port, raw) = (address.port(), self.broker.at(Door::Stomp));
                // "reconnect" has a broker of its own, without TLS. By TLS, stomp.py (9.0.0) does not see that it was lost.
                let is_for = move |what: &str| what != "reconnect" && (name != "stomp.py" || what != "error");
                let exercises = stomp::EXERCISES.iter().filter(|(what, _)| is_for(what)).copied();
                let exercises: Vec<stomp::Exercise> = exercises.collect();
                let name = format!("{name} 1.2 over {over}");
                ways.push(Way::new(name.clone(), move |number| {
                    let (name, address, version) = (format!("{name} ({number})"), raw, "1.2");
                    stomp::Scene { name, program, version, door, port, address, number, client: None }
                        .run(&exercises)
                }));
            }
        }
        ways
    }
}

/// What starts a client that has these files.
fn program(name: &str, trust: &[(&'static str, PathBuf)]) -> impl Fn() -> Result<Command> + Send + use<> {
    let (name, trust) = (name.to_owned(), trust.to_vec());
    move || {
        let mut command = match name.as_str() {
            "MQTT.js" => node("mqtt_client.js"),
            "stompjs" => node("stomp_client.js"),
            "stomp.py" => python("stomp_client.py"),
            _ => python("paho_client.py"),
        }?;
        command.envs(trust.iter().map(|(name, path)| (name, path)));
        Ok(command)
    }
}

const MQTT: [(&str, &str); 4] =
    [("paho-mqtt", "3.1.1"), ("paho-mqtt", "5.0"), ("MQTT.js", "3.1.1"), ("MQTT.js", "5.0")];

const STOMP: [&str; 2] = ["stompjs", "stomp.py"];
