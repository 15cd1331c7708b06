//! Somebody sets the clock: nothing expires by that, nothing comes twice, and nobody is cut off.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::door::Door;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{MESSAGE_EXPIRY, Property, SESSION_EXPIRY, WILL_DELAY, number};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::socket::Next;
use harness::stomp::{Client, Frame};
use tempfile::TempDir;

#[test]
fn a_clock_that_is_set_an_hour_on_or_back_drops_nothing_doubles_nothing_and_cuts_nobody() -> Result<()> {
    for by in ["+3600", "-3600"] {
        play(by).with_context(|| format!("by {by}"))?;
    }
    Ok(())
}

fn play(by: &str) -> Result<()> {
    let clock = Clock::new()?;
    let broker = clock.setup()?.start()?;
    let at = broker.at(Door::Mqtt);
    let mut stays =
        Mqtt::connect(at, &Connect { keep_alive_s: 2, ..Connect::new(Version::V311, "stays") })?.0;
    stays.subscribe("live/+", 1)?;
    prepare(&broker)?;
    // One will is due soon, the other one long after this is over.
    drop(Mqtt::connect(at, &dying("soon", 3))?);
    drop(Mqtt::connect(at, &dying("late", 900))?);
    // The same of messages that wait for their time.
    let mut publisher = Mqtt::clean(at, Version::V311, "delays")?;
    publisher.publish("$delayed/4/live/message", b"delayed", 1)?;
    publisher.publish("$delayed/900/live/message", b"much later", 1)?;
    ban(&broker)?;
    let before = wall_of(&broker)?;
    let set = Instant::now();
    clock.set(by)?;
    let moved = wall_of(&broker)?.abs_diff(before);
    ensure!((3_590_000..=3_660_000).contains(&moved), "the clock was not set: {moved} ms");

    let mut came = Vec::new();
    while set.elapsed() < Duration::from_secs(6) {
        stays.send(&[0xc0, 0])?;
        match stays.next(Duration::from_millis(500))? {
            Next::Some(Packet::Publish(message)) => {
                stays.send(&ack::bytes(ack::PUBACK, message.id))?;
                came.push(message.text());
            }
            Next::Some(_) | Next::Silence => {}
            Next::Closed => anyhow::bail!("who stayed was cut off"),
        }
    }
    came.sort_unstable();
    ensure!(came == ["delayed", "soon"], "wills, and what waited: {came:?}");
    // By now the time of those is over that had three seconds.
    check(&broker, true)?;
    let banned = Mqtt::connect(at, &Connect::new(Version::V5, "banned"));
    ensure!(banned.is_err() || banned.is_ok_and(|(_, connack)| connack.code != 0), "the ban is over");
    Ok(())
}

#[test]
fn a_clock_that_is_set_back_while_the_broker_is_down_drops_nothing_and_doubles_nothing() -> Result<()> {
    let clock = Clock::new()?;
    let mut broker = clock.setup()?.start()?;
    prepare(&broker)?;
    broker.kill();
    clock.set("-3600")?;
    broker.start()?;
    check(&broker, false)
}

#[test]
fn a_clock_that_is_set_on_while_the_broker_is_down_counts_as_time_that_went_by() -> Result<()> {
    let clock = Clock::new()?;
    let mut broker = clock.setup()?.start()?;
    let mut away = Mqtt::connect(broker.at(Door::Mqtt), &lasting("away", 7200))?.0;
    away.subscribe("wait/+", 1)?;
    drop(away);
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for (id, body, expiry_s) in [(1, "half an hour", 1800), (2, "two hours", 7200)] {
        publisher.send(&publish(Version::V5, &expiring("wait/x", body, id, expiry_s)))?;
        publisher.expect_ack(ack::PUBACK, id)?;
    }
    broker.kill();
    clock.set("+3600")?;
    broker.start()?;
    let (mut away, connack) = Mqtt::connect(broker.at(Door::Mqtt), &lasting("away", 7200))?;
    ensure!(connack.session_present, "{connack:?}");
    let came = away.take()?;
    let left = number(&came.properties, MESSAGE_EXPIRY).context("no expiry")?;
    ensure!(came.text() == "two hours" && (3400..=3600).contains(&left), "{came:?}");
    let more = away.next(QUIET)?;
    ensure!(more == Next::Silence, "{more:?}");
    Ok(())
}

/// Somebody who is away gets messages, one is retained, one waits in a queue and has an id; each with an end and without.
fn prepare(broker: &Broker) -> Result<()> {
    let mut away = Mqtt::connect(broker.at(Door::Mqtt), &lasting("away", 1800))?.0;
    away.subscribe("wait/+", 1)?;
    drop(away);
    let mut publisher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "publisher")?;
    for (id, message) in [
        (1, Publish::new("wait/x", b"for ever", 1)),
        (2, expiring("wait/x", "for long", 2, 1800)),
        (3, expiring("wait/x", "for a moment", 3, 3)),
        (4, expiring("kept", "for long", 4, 1800).retained()),
    ] {
        publisher.send(&publish(Version::V5, &message.with_id(id)))?;
        publisher.expect_ack(ack::PUBACK, id)?;
    }
    Client::new(broker.at(Door::Stomp))?.request(job())?;
    Ok(())
}

/// All of it is there once; what had three seconds may be over.
fn check(broker: &Broker, is_over: bool) -> Result<()> {
    let (mut away, connack) = Mqtt::connect(broker.at(Door::Mqtt), &lasting("away", 1800))?;
    ensure!(connack.session_present, "{connack:?}");
    for expected in ["for ever", "for long"] {
        let came = away.take()?;
        ensure!(came.text() == expected, "not {expected}: {came:?}");
        let left = number(&came.properties, MESSAGE_EXPIRY);
        ensure!(!is_over || left.is_none_or(|left| (1700..=1800).contains(&left)), "{came:?}");
    }
    match away.next(QUIET)? {
        Next::Some(Packet::Publish(message)) if !is_over && message.text() == "for a moment" => {}
        Next::Silence => {}
        other @ (Next::Some(_) | Next::Closed) => anyhow::bail!("and then {other:?}"),
    }
    let mut late = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "late")?;
    late.subscribe("kept", 1)?;
    let kept = late.take()?;
    ensure!(kept.text() == "for long" && kept.retain, "{kept:?}");
    let mut client = Client::new(broker.at(Door::Stomp))?;
    client.request(job())?;
    client.subscribe("0", "/queue/jobs", "auto")?;
    ensure!(client.expect("MESSAGE")?.text() == "job");
    let more = client.next(QUIET)?;
    ensure!(more == Next::Silence, "its id was forgotten: {more:?}");
    Ok(())
}

fn job() -> Frame {
    let send = Frame::new("SEND").with("destination", "/queue/jobs").with("persistent", "true");
    send.with("x-message-ttl", "1800000").with("x-dedup-id", "job-1").body(b"job")
}

fn expiring(topic: &str, body: &str, id: u16, expiry_s: u32) -> Publish {
    Publish::new(topic, body.as_bytes(), 1).with_id(id).with(Property::Number(MESSAGE_EXPIRY, expiry_s))
}

fn lasting(id: &str, expiry_s: u32) -> Connect {
    let connect = Connect { clean: false, ..Connect::new(Version::V5, id) };
    connect.with(Property::Number(SESSION_EXPIRY, expiry_s))
}

fn dying(id: &str, delay_s: u32) -> Connect {
    let mut connect = lasting(id, 1800).will(Publish::new("live/will", id.as_bytes(), 1));
    connect.will_properties = vec![Property::Number(WILL_DELAY, delay_s)];
    connect
}

fn ban(broker: &Broker) -> Result<()> {
    let body = serde_json::json!({ "client": "banned", "for_s": 1800, "reason": "a test" });
    let answer = Admin::owner(broker).ask("POST", "/api/v1/bans", Some(&body))?;
    ensure!(answer.status < 300, "{} {}", answer.status, answer.reason());
    Ok(())
}

/// What the broker's clock on the wall says, in milliseconds.
fn wall_of(broker: &Broker) -> Result<u64> {
    let mut watcher = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "watcher")?;
    watcher.subscribe("$events/client/disconnected", 0)?;
    drop(Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "passer-by")?);
    let told: serde_json::Value = serde_json::from_str(&watcher.publication()?.text())?;
    told.get("disconnected_at_ms").and_then(serde_json::Value::as_u64).context("no time")
}

/// The clock of a broker, which can be set while it runs; timers go on as they did.
struct Clock {
    folder: TempDir,
}

impl Clock {
    fn new() -> Result<Self> {
        let clock = Self { folder: tempfile::tempdir()? };
        clock.set("+0")?;
        Ok(clock)
    }

    fn set(&self, by: &str) -> Result<()> {
        // Whoever reads it sees the old text or the new one.
        let new = self.folder.path().join("new");
        fs::write(&new, by)?;
        Ok(fs::rename(&new, self.file())?)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    fn setup(&self) -> Result<Setup> {
        let yes = Path::new("1");
        Ok(Setup::new()
            .acl(OPEN)
            .environment("LD_PRELOAD", &library()?)
            .environment("FAKETIME_TIMESTAMP_FILE", &self.file())
            .environment("FAKETIME_NO_CACHE", yes)
            .environment("FAKETIME_DONT_FAKE_MONOTONIC", yes)
            .environment("NO_FAKE_STAT", yes))
    }
}

fn library() -> Result<PathBuf> {
    let found = fs::read_dir("/usr/lib")?
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|library| library.exists());
    found.context("libfaketime is missing; run tests/prepare once")
}

/// Who goes, and when, is told to nobody unless a rule allows it.
const OPEN: &str =
    "[[rule]]\nallow = [\"connect\", \"publish\", \"retain\", \"subscribe\", \"consume\", \"configure\"]\n";

const QUIET: Duration = Duration::from_millis(500);
