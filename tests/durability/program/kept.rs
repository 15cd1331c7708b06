//! Retained messages: what is kept is what was acknowledged last, or what was sent after that.

use std::collections::BTreeMap;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::dice::Dice;
use harness::mqtt::Client as Mqtt;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{ack, publish};
use harness::socket::Next;
use harness::stomp::{Client as Stomp, Frame};

use crate::scene::{Phase, Scene};

/// Publishes retained messages over MQTT, and looks what is kept.
pub(crate) fn act_over_mqtt(scene: &Scene, dice: Dice) {
    Keeper::new("kept/mqtt", dice).act(scene, |keeper, topic, number| {
        let (mut client, topic) =
            (Mqtt::clean(scene.mqtt, Version::V5, "keeper")?, format!("{}/{topic}", keeper.prefix));
        let id = client.id();
        let message = Publish::new(&topic, &body(number), 1).with_id(id).retained();
        client.send(&publish(Version::V5, &message))?;
        client.expect_ack(ack::PUBACK, id)
    });
}

/// The same over STOMP.
pub(crate) fn act_over_stomp(scene: &Scene, dice: Dice) {
    Keeper::new("kept/stomp", dice).act(scene, |keeper, topic, number| {
        let mut client = Stomp::new(scene.stomp)?;
        let destination = format!("/topic/{}.{topic}", keeper.prefix.replace('/', "."));
        let send = Frame::new("SEND").with("destination", &destination).with("retain", "true");
        client.request(send.with("persistent", "true").body(&body(number)))
    });
}

/// One who publishes, and remembers it.
struct Keeper {
    prefix: &'static str,
    topics: BTreeMap<u64, Kept>,
    looks: u64,
    dice: Dice,
}

/// One topic. Messages are numbered from 1; every fifth is empty, and takes away what is kept.
#[derive(Debug, Default)]
struct Kept {
    /// Acknowledged, or seen by somebody who asked.
    sure: u64,
    /// Sent after that, and not answered.
    open: Option<u64>,
}

impl Keeper {
    const fn new(prefix: &'static str, dice: Dice) -> Self {
        Self { prefix, topics: BTreeMap::new(), looks: 0, dice }
    }

    fn act(mut self, scene: &Scene, mut send: impl FnMut(&Self, u64, u64) -> io::Result<()>) {
        while scene.phase() < Phase::Draining {
            let topic = self.dice.below(TOPICS);
            let kept = self.topics.entry(topic).or_default();
            let number = *kept.open.get_or_insert(kept.sure + 1);
            if send(&self, topic, number).is_ok() {
                self.topics.insert(topic, Kept { sure: number, open: None });
            }
            if self.dice.chance(20) {
                // The broker may be dead.
                let _ = self.look(scene);
            }
            sleep(Duration::from_millis(self.dice.below(30)));
        }
        scene.owe(self.prefix, 1);
        while scene.phase() < Phase::Over && self.look(scene).is_err() {
            sleep(Duration::from_millis(50));
        }
        scene.owe(self.prefix, 0);
        let sent: u64 = self.topics.values().map(|kept| kept.sure).sum();
        scene.remark(self.prefix, format!("{sent} sent, all of it asked for {} times", self.looks));
    }

    /// Asks for all that is kept, and compares.
    fn look(&mut self, scene: &Scene) -> io::Result<()> {
        let mut client = Mqtt::clean(scene.mqtt, Version::V311, &self.prefix.replace('/', "-"))?;
        client.subscribe(&format!("{}/#", self.prefix), 0)?;
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        let end = Instant::now() + PATIENCE;
        let must: Vec<u64> =
            self.topics.iter().filter(|(_, kept)| !kept.may_be_empty()).map(|(topic, _)| *topic).collect();
        loop {
            let all = must.iter().all(|topic| seen.contains_key(topic));
            // What must not be there would come at the same time.
            let patience = if all { Duration::from_millis(30) } else { Duration::from_millis(200) };
            match client.next(patience)? {
                Next::Some(Packet::Publish(message)) => self.see(scene, &message, &mut seen),
                Next::Some(other) => scene.complain(format!("who asked for what is kept got {other:?}")),
                Next::Silence if all || Instant::now() > end => break,
                Next::Silence => {}
                Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
        self.looks += 1;
        for topic in must.iter().filter(|topic| !seen.contains_key(topic)) {
            let kept = self.topics.get(topic);
            scene.complain(format!("{}/{topic}: nothing is kept, but {kept:?}", self.prefix));
        }
        Ok(())
    }

    fn see(&mut self, scene: &Scene, message: &Publish, seen: &mut BTreeMap<u64, u64>) {
        let text = message.text();
        let topic = message.topic.rsplit('/').next().and_then(|topic| topic.parse().ok());
        let (Some(topic), Ok(number), true) = (topic, text.parse(), message.retain) else {
            scene.complain(format!("who asked for what is kept got {message:?}"));
            return;
        };
        let kept = self.topics.entry(topic).or_default();
        if !kept.may_be(number) {
            scene.complain(format!("{}/{topic}: {number} is kept, but {kept:?}", self.prefix));
        }
        kept.sure = number;
        seen.insert(topic, number);
    }
}

impl Kept {
    fn may_be(&self, number: u64) -> bool {
        number == self.sure || self.open == Some(number)
    }

    const fn may_be_empty(&self) -> bool {
        self.sure.is_multiple_of(CLEARS) || matches!(self.open, Some(open) if open.is_multiple_of(CLEARS))
    }
}

fn body(number: u64) -> Vec<u8> {
    if number.is_multiple_of(CLEARS) { Vec::new() } else { number.to_string().into_bytes() }
}

const TOPICS: u64 = 12;
/// Every so many messages one is empty. Zero is none at all, and empty as well.
const CLEARS: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::Kept;

    #[test]
    fn what_is_kept_was_acknowledged_last_or_sent_after_that() {
        let kept = Kept { sure: 3, open: Some(4) };
        assert_eq!([2, 3, 4, 5].map(|number| kept.may_be(number)), [false, true, true, false]);
        assert!(!kept.may_be_empty());
        assert!(Kept { sure: 4, open: Some(5) }.may_be_empty());
        assert!(Kept { sure: 5, open: Some(6) }.may_be_empty());
    }
}
