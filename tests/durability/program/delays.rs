//! Messages that wait for their time: each comes once, none before, and after a death all that became due.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::dice::Dice;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::Property;
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};

use crate::scene::{Phase, Scene};

/// What was sent, by number.
#[derive(Debug, Default)]
pub(crate) struct Delays {
    sent: BTreeMap<u64, Instant>,
    /// Acknowledged, and not here yet.
    must: BTreeSet<u64>,
    heard: BTreeSet<u64>,
    slowest: Duration,
}

impl Delays {
    /// Is about to be sent, not to come before `due`; gives the number.
    fn send(&mut self, due: Instant) -> u64 {
        let number = self.sent.len() as u64 + 1;
        self.sent.insert(number, due);
        number
    }

    fn acknowledge(&mut self, number: u64) {
        if !self.heard.contains(&number) {
            self.must.insert(number);
        }
    }

    /// It came as something new to somebody who is there since `here`. What is wrong with that?
    fn hear(&mut self, number: u64, here: Instant, now: Instant) -> Option<String> {
        self.must.remove(&number);
        let Some(due) = self.sent.get(&number).copied() else {
            return Some(format!("delayed: {number} came, and nobody sent it"));
        };
        if !self.heard.insert(number) {
            return Some(format!("delayed: {number} came twice"));
        }
        if now + PRECISION < due {
            return Some(format!("delayed: {number} came {:?} before its time", due - now));
        }
        let late = now.saturating_duration_since(due.max(here));
        self.slowest = self.slowest.max(late);
        (late > LATE_MAX).then(|| format!("delayed: {number} came {late:?} after its time"))
    }

    fn remark(&self) -> String {
        let Self { sent, heard, slowest, .. } = self;
        format!("{} sent, {} came, the slowest {slowest:?} after its time", sent.len(), heard.len())
    }
}

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

/// The one whom they are for, at QoS 2.
pub(crate) fn hear(scene: &Scene, mut dice: Dice) {
    let (mut received, mut was_here) = (BTreeSet::new(), false);
    while scene.phase() < Phase::Over {
        let _ = listen(scene, &mut was_here, &mut received, &mut dice);
        sleep(Duration::from_millis(dice.below(100)));
    }
    let remark = scene.delays().remark();
    scene.remark("delayed", remark);
}

fn listen(
    scene: &Scene,
    was_here: &mut bool,
    received: &mut BTreeSet<u16>,
    dice: &mut Dice,
) -> io::Result<()> {
    let (mut client, connack) = Mqtt::connect(scene.mqtt, &Connect::lasting(Version::V5, "delayed"))?;
    if *was_here && !connack.session_present {
        scene.complain("delayed: its session was gone".to_owned());
    }
    if !connack.session_present {
        client.subscribe("delayed/#", 2)?;
        *was_here = true;
    }
    let here = Instant::now();
    while scene.phase() < Phase::Over && (scene.phase() == Phase::Draining || !dice.chance(2)) {
        match client.next(Duration::from_millis(20))? {
            Next::Some(Packet::Publish(message)) => {
                let is_new = if message.qos == 2 { received.insert(message.id) } else { !message.dup };
                take(scene, &message, is_new, here);
                let kind = if message.qos == 1 { ack::PUBACK } else { ack::PUBREC };
                client.send(&ack::bytes(kind, message.id))?;
            }
            Next::Some(Packet::Ack { kind: ack::PUBREL, id, .. }) => {
                received.remove(&id);
                client.send(&ack::bytes(ack::PUBCOMP, id))?;
            }
            Next::Some(other) => scene.complain(format!("who waits for what is delayed got {other:?}")),
            Next::Silence => {}
            Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
        }
        let owed = scene.delays().must.len();
        scene.owe("delayed", owed);
    }
    Ok(())
}

fn take(scene: &Scene, message: &Publish, is_new: bool, here: Instant) {
    let Ok(number) = message.text().parse() else {
        return scene.complain(format!("who waits for what is delayed got {message:?}"));
    };
    let mut delays = scene.delays();
    // At QoS 1, the first may have been lost with the connection that it was sent on.
    if is_new || !delays.heard.contains(&number) {
        let wrong = delays.hear(number, here, Instant::now());
        drop(delays);
        wrong.into_iter().for_each(|wrong| scene.complain(wrong));
    }
}

const DELAY_MS_MAX: u64 = 5000;
/// To ten milliseconds, as they are promised.
const PRECISION: Duration = Duration::from_millis(10);
/// Beyond that it is lost rather than late: a full disk holds everybody up for seconds, and so does a slow machine.
const LATE_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_early_doubled_late_or_not_sent_is_found() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut delays = Delays::default();
        for due in [5, 5, 5, 5] {
            delays.send(at(due));
        }
        assert_eq!(delays.hear(1, begin, at(5)), None);
        // Nobody was there when it was due.
        assert_eq!(delays.hear(2, at(100), at(101)), None);
        let says = |wrong: Option<String>, what: &str| {
            assert!(wrong.is_some_and(|text| text.contains(what)), "{what}")
        };
        says(delays.hear(1, begin, at(6)), "twice");
        says(delays.hear(3, begin, at(4)), "before its time");
        says(delays.hear(4, begin, at(50)), "after its time");
        says(delays.hear(5, begin, at(50)), "nobody sent");
        delays.acknowledge(1);
        assert!(delays.must.is_empty(), "it has come");
    }
}
