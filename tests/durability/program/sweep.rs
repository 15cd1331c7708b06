//! Sweep: a scripted session in which the first call to the disk fails, in the next run the second, until none is left to fail.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::dice::Dice;
use harness::door::Door;
use harness::faults::Disk;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Publish;
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};
use harness::undone::Extent;

use crate::deaths::BROKEN_DISK;
use crate::options::Options;

/// All runs; whether every one was right.
pub(crate) fn run(options: &Options) -> Result<bool> {
    println!("seed {}", options.seed);
    let mut dice = Dice::new(options.seed);
    let folder = tempfile::Builder::new().prefix("duetmq-").tempdir()?;
    let disk = Disk::new(&folder.path().join("data"))?;
    // One for all runs, so that they take turns at the same ports.
    let mut broker = disk.beneath(Setup::new().config(CONFIG))?.prepare()?;
    let mut wrong = 0;
    for call in 1.. {
        broker.kill();
        disk.empty()?;
        match run_one(call, &disk, &mut broker, &mut dice) {
            Ok(true) => {}
            Ok(false) => {
                println!("{} calls to the disk, {wrong} of them failed and left something wrong", call - 1);
                break;
            }
            Err(error) => {
                wrong += 1;
                println!("call {call}: {error:#}");
            }
        }
    }
    println!("{}", if wrong == 0 { "PASSED" } else { "FAILED" });
    Ok(wrong == 0)
}

/// One run; whether there was such a call.
fn run_one(call: u64, disk: &Disk, broker: &mut Broker, dice: &mut Dice) -> Result<bool> {
    disk.fail_call(call)?;
    let mut said = Said::default();
    broker.launch()?;
    if broker.wait_open(START_MAX).is_ok() {
        // Until the disk fails, all goes well.
        let spoken = speak(broker, &mut said);
        if disk.failed()? == 0 {
            spoken.context("nothing failed")?;
            return Ok(false);
        }
    }
    // What sled does behind the acknowledgements may fail a moment later.
    let mut ended = None;
    if disk.failed()? > 0 {
        ended = broker.wait(Duration::from_secs(5)).ok();
    }
    broker.kill();
    disk.cut(Extent::any(dice), dice)?;
    broker.start().context("the next start")?;
    let heard = hear(broker).context("the next start")?;
    said.compare(&heard)?;
    // Where a call failed that nothing depends on, it may live on; but if it ends, it says why.
    if let Some(status) = ended {
        ensure!(status.code() == Some(BROKEN_DISK), "the broker ended with {status}");
    }
    Ok(true)
}

/// What the broker has acknowledged.
#[derive(Debug, Default)]
struct Said {
    subscribed: bool,
    acknowledged: Vec<String>,
    sent: Vec<String>,
    retained: Option<&'static str>,
    settled: Vec<String>,
}

/// What is there after the next start.
#[derive(Debug)]
struct Heard {
    present: bool,
    messages: Vec<String>,
    retained: Option<String>,
}

impl Said {
    fn compare(&self, heard: &Heard) -> Result<()> {
        ensure!(!self.subscribed || heard.present, "the session is gone");
        for message in self.acknowledged.iter().filter(|message| !self.settled.contains(message)) {
            let times = heard.messages.iter().filter(|heard| heard == &message).count();
            ensure!(times == 1, "{message} is there {times} times, of {heard:?}");
        }
        for message in &heard.messages {
            ensure!(self.sent.contains(message), "nobody sent {message}");
            ensure!(!self.settled.contains(message), "{message} was settled, and is back");
        }
        if let Some(retained) = self.retained {
            ensure!(heard.retained.as_deref() == Some(retained), "{retained} is not retained, but {heard:?}");
        }
        Ok(())
    }
}

fn speak(broker: &Broker, said: &mut Said) -> io::Result<()> {
    let at = (broker.at(Door::Mqtt), broker.at(Door::Stomp));
    let (mut listener, _) = Mqtt::connect(at.0, &listener())?;
    listener.subscribe("sweep/#", 2)?;
    said.subscribed = true;
    drop(listener);
    let (mut talker, _) = Mqtt::connect(at.0, &Connect::lasting(Version::V5, "talker"))?;
    let mut stomp = Stomp::new(at.1)?;
    for number in 0..6_u16 {
        for qos in [1, 2] {
            let text = format!("qos{qos} {number}");
            said.sent.push(text.clone());
            let id = talker.id();
            let message = Publish::new("sweep/mqtt", text.as_bytes(), qos).with_id(id);
            talker.send(&publish(Version::V5, &message))?;
            talker.expect_ack(if qos == 1 { ack::PUBACK } else { ack::PUBREC }, id)?;
            said.acknowledged.push(text);
            if qos == 2 {
                talker.send(&ack::bytes(ack::PUBREL, id))?;
                talker.expect_ack(ack::PUBCOMP, id)?;
            }
        }
        for (destination, once) in [("/topic/sweep.stomp", true), ("/queue/sweep", false)] {
            let text = format!("{destination} {number}");
            said.sent.push(text.clone());
            let send = Frame::new("SEND").with("destination", destination).with("persistent", "true");
            let send = if once { send.with("x-dedup-id", &text) } else { send };
            stomp.request(send.body(text.as_bytes()))?;
            said.acknowledged.push(text);
        }
    }
    let message = Publish::new("kept", b"kept", 1).with_id(talker.id()).retained();
    talker.send(&publish(Version::V5, &message))?;
    talker.expect_ack(ack::PUBACK, message.id)?;
    said.retained = Some("kept");
    settle(&mut stomp, said)
}

/// Takes two of the queue, and gives one receipt each.
fn settle(stomp: &mut Stomp, said: &mut Said) -> io::Result<()> {
    stomp.send(&subscription("client-individual").with("prefetch-count", "2"))?;
    let messages = [stomp.expect("MESSAGE")?, stomp.expect("MESSAGE")?];
    for message in messages {
        // Once it was asked, it may be gone.
        let text = message.text();
        said.acknowledged.retain(|known| *known != text);
        stomp.request(Frame::new("ACK").with("id", message.header("ack").unwrap_or_default()))?;
        said.settled.push(text);
    }
    Ok(())
}

fn hear(broker: &Broker) -> Result<Heard> {
    let (mut client, connack) = Mqtt::connect(broker.at(Door::Mqtt), &listener())?;
    let mut messages = Vec::new();
    while let Next::Some(packet) = client.next(SILENCE)? {
        if let harness::mqtt::packet::Packet::Publish(message) = packet {
            let kind = if message.qos == 1 { ack::PUBACK } else { ack::PUBREC };
            client.send(&ack::bytes(kind, message.id))?;
            messages.push(message.text());
        }
    }
    let mut stomp = Stomp::new(broker.at(Door::Stomp))?;
    stomp.send(&subscription("auto"))?;
    while let Next::Some(frame) = stomp.next(SILENCE)? {
        messages.push(frame.text());
    }
    let mut asking = Mqtt::clean(broker.at(Door::Mqtt), Version::V5, "asking")?;
    asking.subscribe("kept", 0)?;
    let retained = match asking.next(SILENCE)? {
        Next::Some(harness::mqtt::packet::Packet::Publish(message)) => Some(message.text()),
        Next::Some(_) | Next::Silence | Next::Closed => None,
    };
    Ok(Heard { present: connack.session_present, messages, retained })
}

fn listener() -> Connect {
    Connect::lasting(Version::V5, "listener")
}

fn subscription(mode: &str) -> Frame {
    Frame::new("SUBSCRIBE").with("id", "0").with("destination", "/queue/sweep").with("ack", mode)
}

/// Most of what waits is let go of and read back.
const CONFIG: &str = "[limits]\nresident_messages = 2\n";
const SILENCE: Duration = Duration::from_millis(400);
const START_MAX: Duration = Duration::from_secs(30);
