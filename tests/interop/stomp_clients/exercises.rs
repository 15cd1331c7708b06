//! What every client of STOMP must be able to do with our broker, written once for all of them.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::Setup;
use harness::door::Door;
use harness::stomp::{Client as Raw, Frame};

use crate::adapter::{Adapter, bytes, hex};
use crate::table::Outcomes;

/// A client, and what belongs to it alone.
pub(crate) struct Scene {
    /// How a failure speaks of it.
    pub(crate) name: String,
    /// The program that is told what to do.
    pub(crate) program: Box<dyn Fn() -> Result<Command> + Send>,
    /// The version that it speaks.
    pub(crate) version: &'static str,
    /// By which it comes in.
    pub(crate) door: Door,
    /// Where that is.
    pub(crate) port: u16,
    /// Where our own client, the other side, comes in.
    pub(crate) address: SocketAddr,
    /// Keeps its destinations apart from those of others.
    pub(crate) number: usize,
    /// Who is exercised, once it is there.
    pub(crate) client: Option<Adapter>,
}

/// A thing to do: its name, and how.
pub(crate) type Exercise = (&'static str, fn(&mut Scene) -> Result<()>);

/// All of them.
pub(crate) const EXERCISES: &[Exercise] = &[
    ("send and subscribe", talk),
    ("large body", large),
    ("unsubscribe", unsubscribe),
    ("ack mode client", client_acks),
    ("ack mode client-individual", individual_acks),
    ("nack", nack),
    ("transaction", transaction),
    ("heart-beat", heart_beat),
    ("error", error),
    ("reconnect", reconnect),
];

impl Scene {
    /// Runs them; each begins without a connection.
    pub(crate) fn run(&mut self, exercises: &[Exercise]) -> Outcomes {
        let run = |(name, run): &Exercise| {
            let outcome = run(self);
            self.client = None;
            (*name, outcome)
        };
        exercises.iter().map(run).collect()
    }

    fn destination(&self, kind: &str, rest: &str) -> String {
        format!("/{kind}/way{}.{rest}", self.number)
    }

    /// A connection; the one of before, if there was one, is lost without a word.
    fn connect(&mut self) -> Result<()> {
        self.connect_to(self.port, "0 stays")
    }

    /// With a heart-beat in milliseconds each way, and the habit of coming back or not.
    fn connect_to(&mut self, port: u16, how: &str) -> Result<()> {
        self.client = None;
        let mut command = (self.program)()?;
        let transport = if self.door == Door::Web { "websocket" } else { "tcp" };
        command.args([self.version, transport, &port.to_string()]);
        self.client = Some(Adapter::start(&self.name, command)?);
        let said = self.ask(&format!("connect {how}"), "connected")?;
        ensure!(said["version"] == self.version, "{said} instead of {}", self.version);
        Ok(())
    }

    fn client(&mut self) -> Result<&mut Adapter> {
        self.client.as_mut().context("not connected")
    }

    fn ask(&mut self, line: &str, event: &str) -> Result<serde_json::Value> {
        self.client()?.ask(line, event)
    }

    fn subscribe(&mut self, destination: &str, ack: &str) -> Result<()> {
        self.ask(&format!("subscribe one {destination} {ack}"), "subscribed").map(drop)
    }

    fn send(&mut self, destination: &str, body: &str) -> Result<()> {
        self.ask(&format!("send {destination} {}", hex(body.as_bytes())), "sent").map(drop)
    }

    /// The next message is this; gives whether it was delivered before.
    fn expect(&mut self, destination: &str, body: &str) -> Result<bool> {
        let said = self.client()?.message()?;
        let payload = bytes(said["payload"].as_str().context("no payload")?)?;
        ensure!(
            payload == body.as_bytes(),
            "instead of {body:.60} came {:.60}",
            String::from_utf8_lossy(&payload)
        );
        ensure!(said["destination"] == destination, "to {} instead of {destination}", said["destination"]);
        said["redelivered"].as_bool().context("nothing about redelivery")
    }

    fn leave(&mut self) -> Result<()> {
        self.ask("leave", "left").map(drop)
    }

    /// Our own client, with these in a queue of their own.
    fn waiting(&self, destination: &str, bodies: &[&str]) -> Result<()> {
        let mut raw = Raw::new(self.address)?;
        for body in bodies {
            raw.publish(destination, body.as_bytes())?;
        }
        Ok(())
    }
}

/// What it says, it hears, and so do others; what others say, it hears: once, in order.
fn talk(scene: &mut Scene) -> Result<()> {
    let destination = scene.destination("topic", "대화");
    let mut raw = Raw::new(scene.address)?;
    raw.subscribe("other", &destination, "auto")?;
    scene.connect()?;
    scene.subscribe(&destination, "auto")?;
    for number in 0..EACH {
        scene.send(&destination, &spoken(number))?;
    }
    for number in 0..EACH {
        scene.expect(&destination, &spoken(number))?;
        let heard = raw.expect("MESSAGE")?;
        ensure!(heard.text() == spoken(number), "another client heard {heard:?}");
        ensure!(heard.header("content-type") == Some("text/plain;charset=utf-8"), "{heard:?}");
    }
    for number in 0..EACH {
        raw.publish(&destination, format!("other {number}: a\\b").as_bytes())?;
    }
    for number in 0..EACH {
        scene.expect(&destination, &format!("other {number}: a\\b"))?;
    }
    scene.leave()
}

fn spoken(number: usize) -> String {
    format!("안녕하세요 {number} 🎉\nhow are you?")
}

/// More than one read brings.
fn large(scene: &mut Scene) -> Result<()> {
    let destination = scene.destination("queue", "large");
    let body = "큰 본문: large ".repeat(15_000);
    scene.connect()?;
    scene.subscribe(&destination, "auto")?;
    scene.send(&destination, &body)?;
    scene.expect(&destination, &body)?;
    scene.leave()
}

/// Nothing comes after it.
fn unsubscribe(scene: &mut Scene) -> Result<()> {
    let (ended, other) = (scene.destination("topic", "ended"), scene.destination("topic", "other"));
    scene.connect()?;
    scene.subscribe(&ended, "auto")?;
    scene.ask(&format!("unsubscribe one {ended}"), "unsubscribed")?;
    scene.ask(&format!("subscribe two {other} auto"), "subscribed")?;
    scene.send(&ended, "too late")?;
    scene.send(&other, "marker")?;
    scene.expect(&other, "marker")?;
    scene.leave()
}

/// An ACK covers what came before it; what is not covered comes again when the client is lost.
fn client_acks(scene: &mut Scene) -> Result<()> {
    let destination = scene.destination("queue", "client");
    scene.waiting(&destination, &["first", "second", "third"])?;
    scene.connect()?;
    scene.subscribe(&destination, "client")?;
    for body in ["first", "second", "third"] {
        ensure!(!scene.expect(&destination, body)?, "{body} is marked as redelivered");
    }
    scene.ask("ack 1", "settled")?;
    scene.connect()?;
    scene.subscribe(&destination, "client")?;
    ensure!(scene.expect(&destination, "third")?, "the third is not marked as redelivered");
    scene.ask("ack 0", "settled")?;
    scene.leave()?;
    nothing_waits(scene, &destination)
}

/// An ACK means one message. 1.0 knows no such mode.
fn individual_acks(scene: &mut Scene) -> Result<()> {
    if scene.version == "1.0" {
        return Ok(());
    }
    let destination = scene.destination("queue", "individual");
    scene.waiting(&destination, &["first", "second", "third"])?;
    scene.connect()?;
    scene.subscribe(&destination, "client-individual")?;
    for body in ["first", "second", "third"] {
        scene.expect(&destination, body)?;
    }
    scene.ask("ack 1", "settled")?;
    scene.connect()?;
    scene.subscribe(&destination, "client-individual")?;
    for (number, body) in ["first", "third"].into_iter().enumerate() {
        ensure!(scene.expect(&destination, body)?, "{body} is not marked as redelivered");
        scene.ask(&format!("ack {number}"), "settled")?;
    }
    scene.leave()?;
    nothing_waits(scene, &destination)
}

/// A message that was given back comes again. 1.0 has no NACK.
fn nack(scene: &mut Scene) -> Result<()> {
    if scene.version == "1.0" {
        return Ok(());
    }
    let destination = scene.destination("queue", "nack");
    scene.waiting(&destination, &["ball"])?;
    scene.connect()?;
    scene.subscribe(&destination, "client-individual")?;
    scene.expect(&destination, "ball")?;
    scene.ask("nack 0", "settled")?;
    ensure!(scene.expect(&destination, "ball")?, "it is not marked as redelivered");
    scene.ask("ack 1", "settled")?;
    scene.leave()?;
    nothing_waits(scene, &destination)
}

fn nothing_waits(scene: &Scene, destination: &str) -> Result<()> {
    let mut raw = Raw::new(scene.address)?;
    raw.subscribe("rest", destination, "auto")?;
    raw.publish(destination, b"marker")?;
    let heard = raw.expect("MESSAGE")?;
    ensure!(heard.text() == "marker", "{:?} is still in the queue", heard.text());
    Ok(())
}

/// What is sent in a transaction is seen at COMMIT, and never after ABORT.
fn transaction(scene: &mut Scene) -> Result<()> {
    let destination = scene.destination("topic", "transaction");
    let mut raw = Raw::new(scene.address)?;
    raw.subscribe("other", &destination, "auto")?;
    scene.connect()?;
    let send = |scene: &mut Scene, body: &str, transaction: &str| {
        scene.ask(&format!("send {destination} {} {transaction}", hex(body.as_bytes())), "sent").map(drop)
    };
    scene.ask("begin good", "begun")?;
    send(scene, "one", "good")?;
    send(scene, "two", "good")?;
    scene.ask("begin bad", "begun")?;
    send(scene, "never", "bad")?;
    scene.send(&destination, "at once")?;
    scene.ask("abort bad", "aborted")?;
    scene.ask("commit good", "committed")?;
    for wanted in ["at once", "one", "two"] {
        let heard = raw.expect("MESSAGE")?;
        ensure!(heard.text() == wanted, "another client heard {:?} instead of {wanted:?}", heard.text());
    }
    scene.send(&destination, "marker")?;
    let heard = raw.expect("MESSAGE")?;
    ensure!(heard.text() == "marker", "another client heard {:?} after ABORT", heard.text());
    scene.leave()
}

/// A connection on which nothing is said lives by its beats alone. 1.0 has none.
fn heart_beat(scene: &mut Scene) -> Result<()> {
    if scene.version == "1.0" {
        return Ok(());
    }
    let destination = scene.destination("topic", "beat");
    scene.connect_to(scene.port, "1000 stays")?;
    scene.subscribe(&destination, "auto")?;
    // Longer than either side believes in a silent one: ours two intervals, theirs up to three.
    std::thread::sleep(Duration::from_millis(3500));
    scene.send(&destination, "still there")?;
    scene.expect(&destination, "still there")?;
    scene.leave()
}

/// It is told what was wrong, and the connection ends.
fn error(scene: &mut Scene) -> Result<()> {
    scene.connect()?;
    let client = scene.client()?;
    client.tell("subscribe one /nonsense/way auto")?;
    let said = client.answer("error")?;
    ensure!(said["message"] == "Unknown destination", "it was told {said}");
    client.answer("lost").map(drop)
}

/// It comes back when the broker does, and hears what is said from then on.
fn reconnect(scene: &mut Scene) -> Result<()> {
    // What is in the queue is not the point: without a disk it is back at once.
    let mut broker = Setup::new().argument("--memory").start()?;
    let destination = scene.destination("queue", "return");
    scene.connect_to(broker.at(scene.door).port(), "0 returns")?;
    scene.subscribe(&destination, "auto")?;
    broker.kill();
    broker.start()?;
    let client = scene.client()?;
    // Not all clients say that they were lost.
    client.answer_after("lost", "returned")?;
    let mut raw = Raw::new(broker.at(Door::Stomp))?;
    raw.request(Frame::new("SEND").with("destination", &destination).body(b"welcome back"))?;
    scene.expect(&destination, "welcome back")?;
    Ok(())
}

const EACH: usize = 10;
