//! What each vhost has for itself beside its names: what waits for its time, and how much there may be of everything.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup, duetmq_command};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::Property;
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};
use harness::wait::{SOON, until};
use serde_json::Value;

#[test]
fn what_waits_for_its_time_waits_in_its_vhost_and_is_due_there_after_a_kill_too() -> Result<()> {
    let mut broker = vhosts("").start()?;
    for vhost in ALL {
        let (mut listener, _) = Mqtt::connect(broker.at(Door::Mqtt), &lasting(vhost, "listener"))?;
        listener.subscribe("late/+", 1)?;
    }
    let start = Instant::now();
    for vhost in ALL {
        mqtt(&broker, vhost, "sender")?.publish("$delayed/5/late/mqtt", vhost.as_bytes(), 1)?;
        let send = Frame::new("SEND").with("destination", "/topic/late.stomp").with("persistent", "true");
        stomp(&broker, vhost)?.request(send.with("x-delay", "5000").body(vhost.as_bytes()))?;
        let will = Publish::new("late/will", vhost.as_bytes(), 1);
        let mut connect = lasting(vhost, "dying").will(will);
        connect.will_properties = vec![Property::Pair("x-delay".into(), "5000".into())];
        drop(Mqtt::connect(broker.at(Door::Mqtt), &connect)?);
    }
    for vhost in ALL {
        let found =
            until("three to wait", SOON, || waiting(&broker, vhost).ok().filter(|items| items.len() == 3))?;
        ensure!(found.iter().all(|item| item["bytes"].is_u64()), "{found:?}");
    }
    // Of one of them somebody takes one away.
    let first = waiting(&broker, "a")?.first().and_then(|item| item["id"].as_str().map(str::to_owned));
    let first = first.context("an id")?;
    for (vhost, code) in [("none", 6), ("a", 0), ("a", 6)] {
        let mut command = duetmq_command()?;
        command.args(["delete", "delayed", &first, "-V", vhost]).arg("-d").arg(broker.data());
        let done = command.output()?;
        ensure!(done.status.code() == Some(code), "in {vhost}: {done:?}");
    }
    let left = |broker: &Broker, vhost| Ok::<_, anyhow::Error>(waiting(broker, vhost)?.len());
    ensure!(left(&broker, "a")? == 2 && left(&broker, "b")? == 3 && left(&broker, "/")? == 3);
    broker.kill();
    broker.start()?;
    for (vhost, count) in [("/", 3), ("a", 2), ("b", 3)] {
        let (mut listener, connack) = Mqtt::connect(broker.at(Door::Mqtt), &lasting(vhost, "listener"))?;
        ensure!(connack.session_present, "{vhost}: {connack:?}");
        for _ in 0..count {
            let came = listener.take().with_context(|| format!("in {vhost}"))?;
            ensure!(came.text() == vhost, "{came:?} in {vhost}");
            ensure!(start.elapsed() >= Duration::from_secs(5), "it is early");
        }
        ensure!(matches!(listener.next(QUIET)?, Next::Silence), "more came in {vhost}");
    }
    Ok(())
}

#[test]
fn the_limits_of_the_configuration_hold_in_each_vhost_for_itself() -> Result<()> {
    let broker =
        vhosts("[limits]\nsessions = 2\nqueues = 1\nretained = 1\ndelayed_messages = 1\n").start()?;
    for vhost in ALL {
        // The second one publishes.
        let (_one, _) = Mqtt::connect(broker.at(Door::Mqtt), &lasting(vhost, "one"))?;
        let mut two = mqtt(&broker, vhost, "two")?;
        let mut three = Mqtt::dial(broker.at(Door::Mqtt), Version::V5)?;
        three.send(&lasting(vhost, "three").bytes())?;
        let packet = three.packet()?;
        ensure!(matches!(&packet, Packet::Connack(connack) if connack.code == 0x97), "{vhost}: {packet:?}");
        let mut code = |message: Publish| -> Result<u8> {
            two.send(&publish(Version::V5, &message.with_id(7)))?;
            let packet = two.packet()?;
            let Packet::Ack { kind: ack::PUBACK, reason, .. } = packet else { anyhow::bail!("{packet:?}") };
            Ok(reason)
        };
        for (first, second) in [
            (Publish::new("kept/1", b"x", 1).retained(), Publish::new("kept/2", b"x", 1).retained()),
            (Publish::new("$delayed/600/x", b"x", 1), Publish::new("$delayed/600/x", b"x", 1)),
        ] {
            let topic = first.topic.clone();
            ensure!(code(first)? < 0x80, "{topic}: the first one in {vhost}");
            ensure!(code(second)? == 0x97, "{topic}: the second one in {vhost}");
        }
        let mut stomp = stomp(&broker, vhost)?;
        stomp.publish("/queue/one", b"x")?;
        stomp.send(&Frame::new("SEND").with("destination", "/queue/two").with("receipt", "r").body(b"x"))?;
        let error = stomp.expect("ERROR")?;
        ensure!(error.text().contains("limit reached"), "{vhost}: {error:?}");
    }
    Ok(())
}

const ALL: [&str; 3] = ["/", "a", "b"];

/// Only a failure to come at once is seen by this.
const QUIET: Duration = Duration::from_millis(300);

fn vhosts(more: &str) -> Setup {
    let config = format!("[[vhost]]\nname = \"a\"\n\n[[vhost]]\nname = \"b\"\n\n{more}");
    Setup::new().config(&config).user("kim")
}

fn lasting(vhost: &str, id: &str) -> Connect {
    let login = Some((format!("{vhost}:kim"), "kim".to_owned()));
    Connect { login, ..Connect::lasting(Version::V5, id) }
}

fn mqtt(broker: &Broker, vhost: &str, id: &str) -> Result<Mqtt> {
    let login = Some((format!("{vhost}:kim"), "kim".to_owned()));
    Ok(Mqtt::connect(broker.at(Door::Mqtt), &Connect { login, ..Connect::new(Version::V5, id) })?.0)
}

fn stomp(broker: &Broker, vhost: &str) -> Result<Stomp> {
    let mut client = Stomp::dial(broker.at(Door::Stomp))?;
    let frame = Frame::new("CONNECT").with("accept-version", "1.2").with("host", vhost);
    client.send(&frame.with("login", "kim").with("passcode", "kim"))?;
    client.expect("CONNECTED")?;
    Ok(client)
}

/// What waits for its time there.
fn waiting(broker: &Broker, vhost: &str) -> Result<Vec<Value>> {
    let vhost = vhost.replace('/', "%2F");
    let page = Admin::owner(broker).get(&format!("/api/v1/delayed?vhost={vhost}"))?.json()?;
    Ok(page["items"].as_array().context("no items")?.clone())
}
