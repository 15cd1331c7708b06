//! A full disk holds those who publish; those who consume go on, and all goes on by itself when there is room.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{self, Connect};
use harness::process::Process;
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};
use harness::wait::{SOON, until};

#[test]
fn a_full_disk_holds_publishers_while_consumers_drain_and_lets_them_go_on() -> Result<()> {
    let mut small = Small::run(ONCE)?;
    let lasting = Connect::lasting(Version::V5, "reader");
    let (mut reader, _) = Client::connect(small.broker.at(Door::Mqtt), &lasting)?;
    ensure!(reader.subscribe("jobs/#", 2)? == [2]);
    drop(reader);
    let mut five = Client::clean(small.broker.at(Door::Mqtt), Version::V5, "five")?;
    for number in 0..20 {
        five.publish(&format!("jobs/{number}"), b"before", 2)?;
    }
    small.fill()?;
    until("the alarm", SOON, || small.says("pressure.on").then_some(()))?;

    // Told after a while where there is a word for it, and otherwise left waiting.
    let begun = Instant::now();
    let held = Publish::new("jobs/held", b"x", 1).with_id(900);
    five.send(&write::publish(Version::V5, &held))?;
    let mut three = Client::clean(small.broker.at(Door::Mqtt), Version::V311, "three")?;
    let waits = Publish::new("jobs/waits", b"x", 1).with_id(7);
    three.send(&write::publish(Version::V311, &waits))?;
    let mut stomp = Stomp::new(small.broker.at(Door::Stomp))?;
    let send = Frame::new("SEND").with("destination", "/queue/work").with("persistent", "true");
    stomp.send(&send.with("receipt", "r").body(b"x"))?;
    let refused = five.packet()?;
    ensure!(
        matches!(refused, Packet::Ack { id: 900, reason: 0x97, .. }) && begun.elapsed() >= HOLD,
        "{refused:?}"
    );
    let error = stomp.expect("ERROR")?;
    ensure!(error.header("receipt-id") == Some("r") && error.text().contains("disk"), "{error:?}");

    // Each of these waits for the disk twice: what settles is still written.
    let (mut reader, _) = Client::connect(small.broker.at(Door::Mqtt), &lasting)?;
    for number in 0..20 {
        let message = reader.take()?;
        ensure!(message.topic == format!("jobs/{number}"), "{message:?}");
    }
    ensure!(matches!(three.next(Duration::from_millis(100))?, Next::Silence), "it was held");

    small.make_room()?;
    three.expect_ack(harness::mqtt::write::ack::PUBACK, 7)?;
    ensure!(reader.take()?.topic == "jobs/waits");
    five.publish("jobs/after", b"x", 1)?;
    ensure!(reader.take()?.topic == "jobs/after");
    ensure!(small.says("pressure.off") && small.process.ended().is_none());
    Ok(())
}

#[test]
fn a_client_that_both_publishes_and_consumes_drains_what_holds_it_up() -> Result<()> {
    let small = Small::run(ONCE)?;
    let mut client = Client::clean(small.broker.at(Door::Mqtt), Version::V311, "both")?;
    ensure!(client.subscribe("work/#", 2)? == [2]);
    small.fill()?;
    until("the alarm", SOON, || small.says("pressure.on").then_some(()))?;
    // QoS 0 lasts nowhere, and is not held.
    client.publish("work/light", b"x", 0)?;
    ensure!(client.take()?.topic == "work/light");
    for id in 1..=40 {
        let message = Publish::new("work/heavy", b"x", 2).with_id(id);
        client.send(&write::publish(Version::V311, &message))?;
    }
    client.send(&[0xc0, 0])?;
    ensure!(client.packet()? == Packet::Pingresp, "it is still read");
    small.make_room()?;
    for id in 1..=40 {
        client.expect_ack(harness::mqtt::write::ack::PUBREC, id)?;
    }
    Ok(())
}

#[test]
fn a_broker_starts_on_a_disk_that_is_full_and_what_waits_is_drained() -> Result<()> {
    let mut small = Small::run(AGAIN)?;
    let lasting = Connect::lasting(Version::V5, "reader");
    let (mut reader, _) = Client::connect(small.broker.at(Door::Mqtt), &lasting)?;
    ensure!(reader.subscribe("jobs/#", 2)? == [2]);
    drop(reader);
    let mut five = Client::clean(small.broker.at(Door::Mqtt), Version::V5, "five")?;
    for number in 0..20 {
        five.publish(&format!("jobs/{number}"), b"before", 2)?;
    }
    small.fill()?;
    // Or the first one might say so just before its end.
    until("the alarm", SOON, || small.says("pressure.on").then_some(()))?;
    small.kill_and_start()?;
    let mut three = Client::clean(small.broker.at(Door::Mqtt), Version::V311, "three")?;
    three.send(&write::publish(Version::V311, &Publish::new("jobs/waits", b"x", 1).with_id(7)))?;
    let (mut reader, connack) = Client::connect(small.broker.at(Door::Mqtt), &lasting)?;
    ensure!(connack.session_present, "{connack:?}");
    for number in 0..20 {
        let message = reader.take()?;
        ensure!(message.topic == format!("jobs/{number}"), "{message:?}");
    }
    ensure!(matches!(three.next(Duration::from_millis(100))?, Next::Silence), "it was not held");
    small.make_room()?;
    three.expect_ack(harness::mqtt::write::ack::PUBACK, 7)?;
    ensure!(reader.take()?.topic == "jobs/waits");
    ensure!(small.process.ended().is_none());
    Ok(())
}

/// A broker whose data is on a disk of its own, of 64 MB.
struct Small {
    process: Process,
    broker: Broker,
    data: PathBuf,
}

impl Small {
    fn run(script: &str) -> Result<Self> {
        let broker = Setup::new().prepare()?;
        fs::create_dir_all(broker.data())?;
        let plain = broker.command()?;
        // In a namespace of its own anybody may mount.
        let mut command = Command::new("unshare");
        command.args([
            "-r",
            "-m",
            "sh",
            "-c",
            &format!("mount -t tmpfs -o size=64m none \"$0\" && {script}"),
        ]);
        command.arg(broker.data()).arg(plain.get_program()).args(plain.get_args());
        if let Some(folder) = plain.get_current_dir() {
            command.current_dir(folder);
        }
        command.env_clear().env("PATH", std::env::var_os("PATH").context("PATH")?);
        command.stdout(broker.journal().writer()?).stderr(broker.journal().writer()?);
        let mut process = Process::start(&mut command)?;
        let data = PathBuf::from(format!("/proc/{}/root{}", process.pid(), broker.data().display()));
        until("the doors to open", START_MAX, || {
            let open = |door| TcpStream::connect(broker.at(door)).is_ok();
            (process.ended().is_some() || Door::ALL.into_iter().all(open)).then_some(())
        })?;
        if let Some(status) = process.ended() {
            bail!("it ended with {status}; see {}", broker.journal().path().display());
        }
        Ok(Self { process, broker, data })
    }

    /// SIGKILL, and the start of the next one, on the same disk.
    fn kill_and_start(&mut self) -> Result<()> {
        let parent = self.process.pid();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        let child = children.split_whitespace().next().context("there is no broker")?;
        let said = |what: &str| {
            fs::read_to_string(self.broker.journal().path()).map_or(0, |text| text.matches(what).count())
        };
        let (ready, full) = (said("server.ready"), said("pressure.on"));
        let killed = Command::new("kill").args(["-9", child]).status()?;
        ensure!(killed.success(), "kill: {killed}");
        until("the doors to open again, and the alarm", START_MAX, || {
            (said("server.ready") > ready && said("pressure.on") > full).then_some(())
        })
    }

    /// Until there is no room for a single byte.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.data.join("somebody else's"))?;
        let block = vec![1; 1 << 16];
        while file.write_all(&block).is_ok() {}
        while file.write_all(b"x").is_ok() {}
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.data.join("somebody else's"))?)
    }

    fn says(&self, what: &str) -> bool {
        fs::read_to_string(self.broker.journal().path()).is_ok_and(|text| text.contains(what))
    }
}

const ONCE: &str = "exec \"$@\"";
/// Once the first broker is dead, there is a second one; none outlives the shell.
const AGAIN: &str = "{ setpriv --pdeathsig KILL \"$@\"; exec \"$@\"; }";

const HOLD: Duration = Duration::from_secs(5);
const START_MAX: Duration = Duration::from_secs(60);
