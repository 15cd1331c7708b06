//! Clients that others wrote, by TLS: over each transport through every exercise, while others come in without it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup, duetmq_command};
use harness::certificates::Authority;
use harness::door::{Door, free_address};
use harness::script::{Script, node, python};
use harness::wait::{SOON, until};

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
fn clients_that_others_wrote_show_certificates_and_are_whom_these_name() -> Result<()> {
    let authority = Authority::new()?;
    let asking = |key: &str, value: &str| format!("--set=tls.default.{key}={value}");
    let setup = Setup::new()
        .argument(&asking("client_auth", "required"))
        .argument(&asking("client_ca", &authority.file().display().to_string()));
    let house = House::start(&authority, setup)?;
    let client = authority.client("device-7", &[])?;
    let trust = [("TLS_CA", authority.file()), ("TLS_CERT", client.certificate), ("TLS_KEY", client.key)];
    everybody(house.ways(&trust))?;
    let journal = house.broker.journal();
    for proto in ["mqtt-tls", "mqtt-wss"] {
        journal.wait_for(&["conn.open", &format!("proto={proto}"), "user=device-7"], SOON)?;
    }
    // These say a password as well, and are judged by that.
    for proto in ["stomp-tls", "stomp-wss"] {
        journal.wait_for(&["conn.open", &format!("proto={proto}"), "user=guest"], SOON)?;
    }
    for (door, address) in house.by_tls {
        let mut nobody = duetmq_command()?;
        let scheme = door.url(address, true).replace("/ws", if door == Door::Web { "/mqtt" } else { "" });
        nobody.args(["pub", "-u", &scheme, "-t", "/topic/a", "-m", "x", "--cafile"]).arg(authority.file());
        nobody.args(if door == Door::Stomp { ["--stomp"] } else { ["--mqtt=5"] });
        let said = nobody.output()?;
        ensure!(!said.status.success(), "{door} takes who shows no certificate");
        journal.wait_for(&["conn.refused", "peer sent no certificates"], SOON)?;
    }
    Ok(())
}

#[test]
fn where_certificates_are_optional_who_shows_one_is_whom_it_names_and_who_shows_none_comes_in_otherwise()
-> Result<()> {
    let authority = Authority::new()?;
    let asking = |key: &str, value: &str| format!("--set=tls.default.{key}={value}");
    let setup = Setup::new()
        .argument(&asking("client_auth", "optional"))
        .argument(&asking("client_ca", &authority.file().display().to_string()));
    let house = House::start(&authority, setup)?;
    let device = authority.client("device-7", &[])?;
    let without = vec![("TLS_CA", authority.file())];
    let with = [without.clone(), vec![("TLS_CERT", device.certificate), ("TLS_KEY", device.key)]].concat();
    let no_login = [with.clone(), vec![("NO_LOGIN", PathBuf::from("1"))]].concat();
    let mut here = Vec::new();
    for (door, address) in house.by_tls {
        let over = if door == Door::Web { "websocket" } else { "tcp" };
        let mut enter = |name: &str, version: &str, trust: &[_], hello: &str, open: &[&str]| -> Result<()> {
            let carrier = if door == Door::Web { "wss" } else { "tls" };
            let protocol = if name.starts_with("stomp") { "stomp" } else { "mqtt" };
            let proto = format!("proto={protocol}-{carrier}");
            let words = [&["conn.open", &proto][..], open].concat();
            let count = || house.broker.journal().lines_with(&words).len();
            let before = count();
            let mut command = program(name, trust)()?;
            command.args([version, over, &address.port().to_string()]);
            let mut client = Script::start(name, command)?;
            client.tell(hello)?;
            let said = client.json(SOON * 6)?;
            ensure!(said["event"] == "connected", "{name} over {door}: {said}");
            until(&format!("{name}: {words:?}"), SOON, || (count() > before).then_some(()))?;
            here.push(client);
            Ok(())
        };
        for (name, version) in MQTT.into_iter().filter(|_| door != Door::Stomp) {
            let id = |what: &str| format!("{name}-{version}-{door}-{what}");
            let (named, nameless) = (id("named"), id("nameless"));
            let client = format!("client={named}");
            enter(name, version, &with, &format!("connect {named} clean"), &[&client, "user=device-7"])?;
            let client = format!("client={nameless}");
            enter(name, version, &without, &format!("connect {nameless} clean"), &[&client])?;
            let nameless = house.broker.journal().lines_with(&["conn.open", &client]);
            ensure!(nameless.iter().all(|line| !line.contains("device-7")), "{nameless:?}");
        }
        for name in
            STOMP.into_iter().filter(|&name| door == Door::Stomp || (door == Door::Web && name == "stompjs"))
        {
            enter(name, "1.2", &no_login, "connect 0 stays", &["user=device-7"])?;
            enter(name, "1.2", &without, "connect 0 stays", &["user=guest"])?;
        }
    }
    Ok(())
}

/// New files, a new authority of clients and broken ones, ten times, while messages pass: nobody is cut off and none is lost.
#[test]
fn certificates_are_replaced_under_traffic_and_no_connection_is_dropped() -> Result<()> {
    let authority = Authority::new()?;
    let broker = Setup::new().secure(&authority.server()?).start()?;
    let command = |what: &str, topic: &str, more: &[&str]| -> Result<Command> {
        let mut command = duetmq_command()?;
        let url = format!("mqtts://localhost:{}", broker.at(Door::Mqtt).port());
        command.args([what, "-u", &url, "-t", topic, "--cafile"]).arg(authority.file()).args(more);
        Ok(command)
    };
    let all = TURNS * EACH;
    let hear = |number: usize| -> Result<Child> {
        let name = format!("hears-{number}");
        let more = ["-i", &name, "-C", &all.to_string(), "--format", "%p", "--timeout", "120"];
        Ok(command("sub", "traffic", &more)?.stdout(Stdio::piped()).spawn()?)
    };
    let hearing = (0..CROWD).map(hear).collect::<Result<Vec<_>>>()?;
    for number in 0..CROWD {
        broker.journal().wait_for(&["conn.open", &format!("client=hears-{number}")], SOON)?;
    }
    let mut saying = command("pub", "traffic", &["-q", "1", "-"])?.stdin(Stdio::piped()).spawn()?;
    let mut lines = saying.stdin.take().context("a pipe")?;
    for turn in 0..TURNS {
        let read = "tls.read name=default";
        let count = |words: &str| broker.journal().lines_with(&[words]).len();
        let before = count(read);
        if turn % 3 == 2 {
            let files = authority.server()?;
            std::fs::write(&files.certificate, "no certificate")?;
            until("broken files to be refused", SOON, || (count("tls.not_read") > turn / 3).then_some(()))?;
        }
        authority.server()?;
        until("new files to be read", SOON, || (count(read) > before).then_some(()))?;
        for number in 0..EACH {
            writeln!(lines, "{}", turn * EACH + number)?;
        }
        // Whoever comes now shakes hands by the new ones.
        ensure!(command("pub", "other", &["-m", "x"])?.output()?.status.success(), "turn {turn}");
    }
    drop(lines);
    ensure!(saying.wait()?.success(), "the publisher was cut off");
    let wanted: Vec<String> = (0..all).map(|number| number.to_string()).collect();
    for client in hearing {
        let output = client.wait_with_output()?;
        let heard = String::from_utf8(output.stdout)?;
        ensure!(output.status.success() && heard.lines().eq(wanted.iter()), "heard {heard}");
    }
    for ended in broker.journal().lines_with(&["conn.close"]) {
        ensure!(ended.contains("by=client"), "somebody was dropped: {ended}");
    }
    Ok(())
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

/// How often files are replaced, how many messages pass each time, and how many hear them.
const TURNS: usize = 10;
const EACH: usize = 50;
const CROWD: usize = 5;
