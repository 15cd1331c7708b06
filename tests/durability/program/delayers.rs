//! Who sends messages that wait for their time, and the one whom they are for.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::dice::Dice;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::Publish;
use harness::mqtt::property::Property;
use harness::mqtt::version::Version;
use harness::mqtt::write::{ack, publish};
use harness::stomp::{Client as Stomp, Frame};

use crate::heir::Heir;
use crate::scene::{Phase, Scene};

/// Sends over MQTT and STOMP in turns. What was not acknowledged is not sent again.
pub(crate) fn send(scene: &Scene, mut dice: Dice) {
    while scene.phase() < Phase::Draining {
        // The broker may be dead.
        let _ = if dice.chance(50) { over_mqtt(scene, &mut dice) } else { over_stomp(scene, &mut dice) };
        sleep(Duration::from_millis(dice.below(50)));
    }
}

fn over_mqtt(scene: &Scene, dice: &mut Dice) -> io::Result<()> {
    let mut client = Mqtt::clean(scene.mqtt, Version::V5, "delayer")?;
    while scene.phase() == Phase::Talking && !dice.chance(3) {
        let (delay_ms, qos) = (dice.below(DELAY_MS_MAX), if dice.chance(50) { 1 } else { 2 });
        let number = announce(scene, delay_ms);
        let message = Publish::new("delayed/mqtt", number.to_string().as_bytes(), qos).with_id(client.id());
        let id = message.id;
        let message = message.with(Property::Pair("x-delay".into(), delay_ms.to_string()));
        client.send(&publish(Version::V5, &message))?;
        client.expect_ack(if qos == 1 { ack::PUBACK } else { ack::PUBREC }, id)?;
        scene.delays().acknowledge(number);
        if qos == 2 {
            client.send(&ack::bytes(ack::PUBREL, id))?;
            client.expect_ack(ack::PUBCOMP, id)?;
        }
        sleep(Duration::from_millis(dice.below(30)));
    }
    Ok(())
}

fn over_stomp(scene: &Scene, dice: &mut Dice) -> io::Result<()> {
    let mut client = Stomp::new(scene.stomp)?;
    while scene.phase() == Phase::Talking && !dice.chance(3) {
        let delay_ms = dice.below(DELAY_MS_MAX);
        let number = announce(scene, delay_ms);
        let send = Frame::new("SEND").with("destination", "/topic/delayed.stomp").with("persistent", "true");
        client.request(send.with("x-delay", &delay_ms.to_string()).body(number.to_string().as_bytes()))?;
        scene.delays().acknowledge(number);
        sleep(Duration::from_millis(dice.below(30)));
    }
    Ok(())
}

fn announce(scene: &Scene, delay_ms: u64) -> u64 {
    scene.delays().send(Instant::now() + Duration::from_millis(delay_ms))
}

/// The one whom they are for.
pub(crate) fn hear(scene: &Scene, mut dice: Dice) {
    let owed = |scene: &Scene| scene.delays().owed();
    Heir { name: "delayed", filter: "delayed/#", owed, take }.live(scene, &mut dice);
    let remark = scene.delays().remark();
    scene.remark("delayed", remark);
}

fn take(scene: &Scene, message: &Publish, is_new: bool, here: Instant) {
    let Ok(number) = message.text().parse() else {
        return scene.complain(format!("who waits for what is delayed got {message:?}"));
    };
    let mut delays = scene.delays();
    // At QoS 1, the first may have been lost with the connection that it was sent on.
    if is_new || !delays.has_come(number) {
        let wrong = delays.hear(number, here, Instant::now());
        drop(delays);
        wrong.into_iter().for_each(|wrong| scene.complain(wrong));
    }
}

const DELAY_MS_MAX: u64 = 5000;
