//! Readers and writers of a stream: what was acknowledged is at one offset, for everybody who reads, whoever died since.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::dice::Dice;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::Property;
use harness::mqtt::version::Version;
use harness::mqtt::write::{ack, publish, subscribe};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};

use crate::scene::{Phase, Scene};
use crate::stream::{FIRST, Place};

/// Writes over STOMP, several at once.
pub(crate) fn write_over_stomp(scene: &Scene, mut dice: Dice) {
    while scene.phase() < Phase::Draining {
        // The broker may be dead: that is what this is about.
        let _ = send(scene, &mut dice);
        sleep(Duration::from_millis(dice.below(30)));
    }
}

fn send(scene: &Scene, dice: &mut Dice) -> io::Result<()> {
    let mut client = Stomp::new(scene.stomp)?;
    while scene.phase() < Phase::Draining && !dice.chance(2) {
        while scene.phase() == Phase::Talking && scene.stream().owed() > UNREAD_MAX {
            sleep(Duration::from_millis(20));
        }
        let count = if scene.phase() == Phase::Talking { dice.below(10) } else { 0 };
        let numbers: Vec<u64> = (0..count).map(|_| scene.stream().send(STOMP)).collect();
        for number in &numbers {
            let send = Frame::new("SEND").with("destination", STREAM).with("persistent", "true");
            let send = send.with("receipt", &number.to_string());
            client.send(&send.body(&body(STOMP, *number, dice)))?;
        }
        for number in numbers {
            let receipt = client.expect("RECEIPT")?;
            if receipt.header("receipt-id") != Some(&number.to_string()) {
                scene.complain(format!("the writer of the stream got {receipt:?}, not {number}"));
            }
            scene.stream().acknowledge((STOMP, number));
        }
        sleep(Duration::from_millis(dice.below(40)));
    }
    Ok(())
}

/// Writes over MQTT, at QoS 1 and 2.
pub(crate) fn write_over_mqtt(scene: &Scene, mut dice: Dice) {
    while scene.phase() < Phase::Draining {
        let _ = publish_some(scene, &mut dice);
        sleep(Duration::from_millis(dice.below(30)));
    }
}

fn publish_some(scene: &Scene, dice: &mut Dice) -> io::Result<()> {
    let mut client = Mqtt::clean(scene.mqtt, Version::V5, "stream-writer")?;
    while scene.phase() == Phase::Talking && !dice.chance(2) {
        if scene.stream().owed() < UNREAD_MAX {
            let number = scene.stream().send(MQTT);
            let (id, qos) = (client.id(), if dice.chance(50) { 1 } else { 2 });
            let message = Publish::new(TOPIC, &body(MQTT, number, dice), qos).with_id(id);
            client.send(&publish(Version::V5, &message))?;
            client.expect_ack(if qos == 1 { ack::PUBACK } else { ack::PUBREC }, id)?;
            scene.stream().acknowledge((MQTT, number));
            if qos == 2 {
                client.send(&ack::bytes(ack::PUBREL, id))?;
                client.expect_ack(ack::PUBCOMP, id)?;
            }
        }
        sleep(Duration::from_millis(dice.below(20)));
    }
    Ok(())
}

/// Goes on where it was, whoever died: at the end it has read all.
pub(crate) fn follow(scene: &Scene, mut dice: Dice) {
    let mut place = Place::first(WRITERS);
    while scene.phase() < Phase::Over {
        let start = format!("offset={}", place.next);
        let _ = read_over_stomp(scene, &start, &mut place, true, &mut dice);
        sleep(Duration::from_millis(dice.below(100)));
    }
    let remark = scene.stream().remark();
    scene.remark("stream", remark);
}

/// Reads a part of it, now from here, now from there, over either protocol.
pub(crate) fn browse(scene: &Scene, mut dice: Dice) {
    // There are several.
    let name = format!("stream-reader-{}", dice.below(u64::MAX));
    while scene.phase() < Phase::Over {
        let end = scene.stream().end();
        let from = if dice.chance(30) { FIRST } else { dice.below(end) + 1 };
        let mut place = if from == FIRST { Place::first(WRITERS) } else { Place::at(from) };
        let _ = if dice.chance(50) {
            let start = if from == FIRST { "first".to_owned() } else { format!("offset={from}") };
            read_over_stomp(scene, &start, &mut place, false, &mut dice)
        } else {
            read_over_mqtt(scene, &name, from, &mut place, &mut dice)
        };
        sleep(Duration::from_millis(dice.below(200)));
    }
}

fn read_over_stomp(
    scene: &Scene,
    start: &str,
    place: &mut Place,
    stays: bool,
    dice: &mut Dice,
) -> io::Result<()> {
    let mut client = Stomp::new(scene.stomp)?;
    let acknowledges = dice.chance(50);
    let ask = asking(start);
    client.send(&if acknowledges {
        ask.with("ack", "client-individual").with("prefetch-count", "20")
    } else {
        ask
    })?;
    let until = Instant::now() + Duration::from_millis(dice.below(2000));
    loop {
        if scene.phase() == Phase::Over
            || (scene.phase() == Phase::Talking || !stays) && Instant::now() > until
        {
            return Ok(());
        }
        match client.next(Duration::from_millis(20))? {
            Next::Some(frame) if frame.command == "MESSAGE" => {
                hear(scene, place, offset_in(&frame), &frame.body);
                if let (true, Some(id)) = (acknowledges, frame.header("ack")) {
                    client.send(&Frame::new("ACK").with("id", id))?;
                }
            }
            Next::Some(frame) => scene.complain(format!("a reader got {frame:?} {}", frame.text())),
            Next::Silence => {}
            Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
        }
        if stays {
            let owed = scene.stream().owed_to(place);
            scene.owe("stream", owed);
        }
    }
}

fn read_over_mqtt(
    scene: &Scene,
    name: &str,
    from: u64,
    place: &mut Place,
    dice: &mut Dice,
) -> io::Result<()> {
    let mut client = Mqtt::clean(scene.mqtt, Version::V5, name)?;
    let start = Property::Pair("x-stream-offset".into(), format!("offset={from}"));
    client.send(&subscribe(Version::V5, 1, &[("$stream/log", 1)], &[start]))?;
    let until = Instant::now() + Duration::from_millis(dice.below(2000));
    while scene.phase() < Phase::Over && Instant::now() < until {
        match client.next(Duration::from_millis(20))? {
            Next::Some(Packet::Suback { codes, .. }) if codes == [1] => {}
            Next::Some(Packet::Publish(message)) => {
                let told = message.properties.iter().find_map(|property| match property {
                    Property::Pair(name, value) if name == "x-stream-offset" => value.parse().ok(),
                    Property::Pair(..) | Property::Number(..) | Property::Text(..) | Property::Binary(..) => {
                        None
                    }
                });
                hear(scene, place, told, &message.payload);
                if message.qos == 1 {
                    client.send(&ack::bytes(ack::PUBACK, message.id))?;
                }
            }
            Next::Some(other) => scene.complain(format!("a reader got {other:?}")),
            Next::Silence => {}
            Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
    Ok(())
}

/// Everything once more, after all is over: nothing is taken from a stream by being read.
pub(crate) fn read_again(scene: &Scene) -> io::Result<()> {
    let (mut client, mut place) = (Stomp::new(scene.stomp)?, Place::first(WRITERS));
    client.send(&asking("first"))?;
    while let Next::Some(frame) = client.next(PATIENCE)? {
        hear(scene, &mut place, offset_in(&frame), &frame.body);
    }
    let owed = scene.stream().owed_to(&place);
    if owed > 0 {
        scene.complain(format!("stream: {owed} that were acknowledged are not in it in the end"));
    }
    Ok(())
}

fn offset_in(frame: &Frame) -> Option<u64> {
    frame.header("x-stream-offset")?.parse().ok()
}

fn hear(scene: &Scene, place: &mut Place, offset: Option<u64>, body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    let mut words = text.split(' ');
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
    let (Some(offset), Some(writer), Some(number)) = (offset, number(), number()) else {
        return scene.complain(format!("a reader got {text:?} at {offset:?}"));
    };
    let wrong = scene.stream().read(place, offset, (usize::try_from(writer).unwrap_or(usize::MAX), number));
    wrong.into_iter().for_each(|wrong| scene.complain(format!("stream: {wrong}")));
}

fn body(writer: usize, number: u64, dice: &mut Dice) -> Vec<u8> {
    let size = usize::try_from(dice.below(600)).unwrap_or(0);
    format!("{writer} {number} {}", "x".repeat(size)).into_bytes()
}

fn asking(start: &str) -> Frame {
    let ask = Frame::new("SUBSCRIBE").with("id", "0").with("destination", STREAM);
    ask.with("x-stream-offset", start)
}

const STREAM: &str = "/queue/log";
/// What is published there gets into it as well.
const TOPIC: &str = "log/mqtt";
const WRITERS: usize = 2;
const STOMP: usize = 0;
const MQTT: usize = 1;
/// So many may be unread: more would make each start slower.
const UNREAD_MAX: usize = 300;
const PATIENCE: Duration = Duration::from_secs(2);
