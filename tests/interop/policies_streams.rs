//! Policies for streams, set and cleared while they are written and read by either door.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::admin::Admin;
use harness::broker::Broker;
use harness::wait::until;
use serde_json::{Value, json};

use crate::adapter::{Adapter, bytes, hex};
use crate::policies::{clear, paho, set};
use crate::stomp_py::Client as StompPy;

#[test]
fn a_stream_keeps_as_many_bytes_as_a_policy_says_while_it_is_read_and_all_that_comes_once_that_is_gone()
-> Result<()> {
    let broker = Broker::new()?;
    let mut writers = Writers::new(&broker, &[])?;
    writers.write(10..50)?;
    let mut follower = StompPy::new(&broker)?;
    follower.subscribe("follow", QUEUE, "auto", &["x-stream-offset:first"])?;
    (10..50).try_for_each(|number| follower.hear(QUEUE, &number.to_string()).map(drop))?;
    // Each has two bytes, and a key of three.
    set(&broker, &["light", "^log$", "-a", "max-length-bytes=50"])?;
    first_of(&broker, 31)?;
    read(&broker, "first", 40..50, 31)?;
    writers.write(50..60)?;
    first_of(&broker, 41)?;
    read(&broker, "first", 50..60, 41)?;
    clear(&broker, "light")?;
    writers.write(60..99)?;
    read(&broker, "first", 50..99, 41)?;
    // Whoever read all the time missed nothing.
    (50..99).try_for_each(|number| follower.hear(QUEUE, &number.to_string()).map(drop))
}

#[test]
fn of_the_argument_of_a_stream_and_the_policy_the_smaller_limit_holds() -> Result<()> {
    let broker = Broker::new()?;
    let mut writers = Writers::new(&broker, &["x-max-length:20", "x-max-age:1h"])?;
    writers.write(10..50)?;
    first_of(&broker, 21)?;
    for (length, age, first, ages) in [(30, "2h", 21, "1h"), (5, "30m", 36, "30m")] {
        let (length, age) = (format!("max-length={length}"), format!("max-age={age}"));
        set(&broker, &["p", "^log$", "-a", &length, "-a", &age])?;
        first_of(&broker, first)?;
        let shown = show(&broker)?;
        ensure!(shown["effective_policy_definition"]["max-age"] == ages, "{shown}");
        ensure!(shown["arguments"]["x-max-age"] == "1h", "{shown}");
    }
    // Whoever declares it again finds it as it was declared.
    writers = Writers::new(&broker, &["x-max-length:20", "x-max-age:1h"])?;
    clear(&broker, "p")?;
    writers.write(50..80)?;
    read(&broker, "first", 60..80, 51)
}

#[test]
fn what_is_too_old_by_a_policy_goes_from_a_stream_after_a_restart_too_and_what_is_not_stays() -> Result<()> {
    // None of it is in memory after a restart.
    let mut broker = Broker::new()?;
    let mut writers = Writers::new(&broker, &[])?;
    writers.write(10..20)?;
    let written = Instant::now();
    let mut other = writers.stomp;
    other.subscribe("make", "/queue/other", "auto", &["x-queue-type:stream", "x-stream-offset:next"])?;
    other.send("/queue/other", "stays", &[])?;
    std::thread::sleep(AGE.saturating_sub(written.elapsed()) + Duration::from_secs(1));
    let mut writers = Writers::new(&broker, &[])?;
    let newer = Instant::now();
    writers.write(20..30)?;
    broker.kill();
    broker.start()?;
    let admin = Admin::owner(&broker);
    let body = json!({"pattern": "^log$", "definition": {"max-age": "15s"}, "apply-to": "queues"});
    ensure!(admin.ask("PUT", "/api/policies/%2F/young", Some(&body))?.status == 201);
    first_of(&broker, 11)?;
    ensure!(newer.elapsed() < AGE, "too slow to say anything");
    read(&broker, "first", 20..30, 11)?;
    // And these when it is their time, by themselves.
    until("the rest to go", AGE * 2, || show(&broker).ok().filter(|shown| shown["messages"] == 0))?;
    ensure!(newer.elapsed() >= AGE, "they are gone early");
    clear(&broker, "young")?;
    Writers::new(&broker, &[])?.write(30..40)?;
    read(&broker, "first", 30..40, 21)?;
    let others = admin.get("/api/queues/%2F/other")?.json()?;
    ensure!(others["messages"] == 1, "{others}");
    Ok(())
}

/// A client of each door that writes to the stream.
struct Writers {
    stomp: StompPy,
    paho: Adapter,
}

impl Writers {
    /// The stream is there, and was declared with these.
    fn new(broker: &Broker, arguments: &[&str]) -> Result<Self> {
        let mut stomp = StompPy::new(broker)?;
        let arguments = [&["x-queue-type:stream"], arguments].concat();
        stomp.subscribe("make", QUEUE, "auto", &[&arguments[..], &["x-stream-offset:next"]].concat())?;
        stomp.program.ask(&format!("unsubscribe make {QUEUE}"), "unsubscribed")?;
        let mut paho = Adapter::start("paho 5.0", paho(broker, "5.0")?)?;
        paho.ask("connect writer clean", "connected")?;
        Ok(Self { stomp, paho })
    }

    /// Numbers, in turn by either door.
    fn write(&mut self, mut numbers: Range<u32>) -> Result<()> {
        numbers.try_for_each(|number| {
            let body = number.to_string();
            if number.is_multiple_of(2) {
                return self.stomp.send(QUEUE, &body, &[]);
            }
            self.paho.ask(&format!("tell $queue/log {} 1", hex(body.as_bytes())), "published").map(drop)
        })
    }
}

/// Whoever reads by either door from there on has these, from that offset on.
fn read(broker: &Broker, start: &str, numbers: Range<u32>, offset: u32) -> Result<()> {
    let mut stomp = StompPy::new(broker)?;
    stomp.subscribe("read", QUEUE, "auto", &[&format!("x-stream-offset:{start}")])?;
    let mut paho = Adapter::start("paho 5.0", paho(broker, "5.0")?)?;
    paho.ask("connect reader clean", "connected")?;
    paho.ask(&format!("choose $stream/log 1 x-stream-offset={start}"), "subscribed")?;
    for (number, offset) in numbers.zip(offset..) {
        stomp.hear(QUEUE, &number.to_string())?.says("x-stream-offset", &offset.to_string())?;
        let came = paho.message()?;
        let text = bytes(came["payload"].as_str().context("no payload")?)?;
        let told = json!(["x-stream-offset", offset.to_string()]);
        ensure!(text == number.to_string().as_bytes(), "{came}, not {number}");
        ensure!(came["user"].as_array().is_some_and(|all| all.contains(&told)), "{came}, not {offset}");
    }
    stomp.nothing_more()
}

/// Sooner or later that is the offset of the oldest.
fn first_of(broker: &Broker, offset: u64) -> Result<()> {
    let is_it = || show(broker).ok().filter(|shown| shown["first_offset"] == offset);
    let found = until(&format!("{offset} to be the first"), Duration::from_secs(25), is_it);
    found.map(drop).with_context(|| format!("{:?}", show(broker)))
}

fn show(broker: &Broker) -> Result<Value> {
    Admin::owner(broker).get("/api/queues/%2F/log")?.json()
}

const QUEUE: &str = "/queue/log";
const AGE: Duration = Duration::from_secs(15);
