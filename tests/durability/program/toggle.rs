//! Subscriptions that come and go: what SUBACK and UNSUBACK said holds, whoever died since.

use std::collections::BTreeSet;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use harness::dice::Dice;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish, unsubscribe};
use harness::socket::Next;

use crate::scene::{Phase, Scene};

/// Subscribes, unsubscribes and publishes to itself, one thing after the other.
pub(crate) fn act(scene: &Scene, dice: Dice) {
    let mut toggler = Toggler {
        filters: [Known::No; FILTERS],
        number: 0,
        must: BTreeSet::new(),
        must_not: BTreeSet::new(),
        heard: BTreeSet::new(),
        was_here: false,
        dice,
    };
    while scene.phase() < Phase::Over {
        // The broker may be dead.
        let _ = toggler.converse(scene);
        sleep(Duration::from_millis(toggler.dice.below(50)));
    }
    let (must, must_not) = (toggler.must.len(), toggler.must_not.len());
    scene.remark("toggler", format!("{must} sent while subscribed, {must_not} while not"));
    for number in toggler.heard.intersection(&toggler.must_not) {
        scene.complain(format!("toggler: {number} came, but nobody was subscribed"));
    }
}

/// What the broker has confirmed of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Yes,
    No,
    /// It was asked for one of them, and did not answer.
    Open,
}

struct Toggler {
    filters: [Known; FILTERS],
    number: u64,
    /// Acknowledged while subscribed.
    must: BTreeSet<u64>,
    /// Sent while not subscribed.
    must_not: BTreeSet<u64>,
    heard: BTreeSet<u64>,
    was_here: bool,
    dice: Dice,
}

impl Toggler {
    fn converse(&mut self, scene: &Scene) -> io::Result<()> {
        let (mut client, connack) = Client::connect(scene.mqtt, &Connect::lasting(Version::V5, "toggler"))?;
        if self.was_here && !connack.session_present {
            scene.complain("toggler: its session was gone".to_owned());
        }
        self.was_here = true;
        while scene.phase() < Phase::Over {
            if scene.phase() == Phase::Talking {
                self.step(&mut client)?;
                if self.dice.chance(3) {
                    return Ok(());
                }
            }
            self.listen(scene, &mut client)?;
            scene.owe("toggler", self.must.difference(&self.heard).count());
        }
        Ok(())
    }

    fn step(&mut self, client: &mut Client) -> io::Result<()> {
        let at = self.dice.below(FILTERS as u64);
        let topic = format!("toggle/{at}");
        let Some(known) = self.filters.get_mut(usize::try_from(at).unwrap_or(0)) else { return Ok(()) };
        let before = *known;
        if before == Known::Open || self.dice.chance(25) {
            *known = Known::Open;
            if before == Known::No || (before == Known::Open && self.dice.chance(50)) {
                client.subscribe(&topic, 1)?;
                *known = Known::Yes;
            } else {
                let id = client.id();
                client.send(&unsubscribe(Version::V5, id, &[&topic]))?;
                self.unsubscribed(client, id)?;
                if let Some(known) = self.filters.get_mut(usize::try_from(at).unwrap_or(0)) {
                    *known = Known::No;
                }
            }
            return Ok(());
        }
        self.number += 1;
        let number = self.number;
        if before == Known::No {
            self.must_not.insert(number);
        }
        let id = client.id();
        let message = Publish::new(&topic, number.to_string().as_bytes(), 1).with_id(id);
        client.send(&publish(Version::V5, &message))?;
        client.expect_ack(ack::PUBACK, id)?;
        if before == Known::Yes {
            self.must.insert(number);
        }
        Ok(())
    }

    /// Waits for UNSUBACK; messages may come before it.
    fn unsubscribed(&mut self, client: &mut Client, wanted: u16) -> io::Result<()> {
        loop {
            match client.next(Duration::from_secs(10))? {
                Next::Some(Packet::Unsuback { id, .. }) if id == wanted => return Ok(()),
                Next::Some(Packet::Publish(message)) => self.take(client, &message)?,
                other @ (Next::Some(_) | Next::Silence | Next::Closed) => {
                    return Err(io::Error::other(format!("instead of UNSUBACK came {other:?}")));
                }
            }
        }
    }

    fn listen(&mut self, scene: &Scene, client: &mut Client) -> io::Result<()> {
        loop {
            match client.next(Duration::from_millis(3))? {
                Next::Some(Packet::Publish(message)) => self.take(client, &message)?,
                Next::Some(other) => scene.complain(format!("the toggler got {other:?}")),
                Next::Silence => return Ok(()),
                Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
    }

    fn take(&mut self, client: &mut Client, message: &Publish) -> io::Result<()> {
        if let Ok(number) = message.text().parse() {
            self.heard.insert(number);
        }
        client.send(&ack::bytes(ack::PUBACK, message.id))
    }
}

const FILTERS: usize = 6;
