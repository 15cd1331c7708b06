//! A subscriber over MQTT, at QoS 1 or 2, whose session outlives its connections.

use std::collections::BTreeSet;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use harness::dice::Dice;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{self, Property};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, DISCONNECT, ack};
use harness::socket::Next;

use crate::payload;
use crate::scene::{Phase, Scene, Stay};

/// Listens until the scene is over.
pub(crate) fn act(scene: &Scene, me: usize, qos: u8, dice: Dice) {
    // QoS 1 in 3.1.1, QoS 2 in 5.0: one of each.
    let version = if qos == 1 { Version::V311 } else { Version::V5 };
    let mut subscriber = Subscriber { me, qos, version, was_here: false, received: BTreeSet::new(), dice };
    while scene.phase() < Phase::Over {
        // The broker may be dead: that is what this is about.
        let _ = subscriber.converse(scene);
        if scene.phase() == Phase::Talking {
            sleep(Duration::from_millis(subscriber.dice.below(400)));
        }
        sleep(Duration::from_millis(10));
    }
}

struct Subscriber {
    me: usize,
    qos: u8,
    version: Version,
    was_here: bool,
    /// QoS 2: the ids of messages that it has and the broker has not let go of (MQTT 5.0, 4.3.3).
    received: BTreeSet<u16>,
    dice: Dice,
}

impl Subscriber {
    fn converse(&mut self, scene: &Scene) -> io::Result<()> {
        let name = format!("subscriber-qos{}", self.qos);
        let mut connect = Connect::lasting(self.version, &name);
        if self.version == Version::V5 {
            connect = connect.with(Property::Number(property::RECEIVE_MAXIMUM, 40));
        }
        let (mut client, connack) = Client::connect(scene.mqtt, &connect)?;
        if self.was_here && !connack.session_present {
            scene.complain(format!("{name}: its session was gone"));
        }
        if !self.was_here {
            client.subscribe("crash/#", self.qos)?;
            self.was_here = true;
            if let Some(record) = scene.ledger().subscribers.get_mut(self.me) {
                record.subscribed = true;
            }
        }
        let stay = Stay::new(&mut self.dice);
        while !stay.is_over(scene) {
            let out = self.read(scene, &mut client, Duration::from_millis(20))?;
            client.send(&out)?;
        }
        // Half the time it leaves with messages that it has not acknowledged, and without a word.
        if scene.phase() == Phase::Talking && self.dice.chance(50) {
            self.read(scene, &mut client, Duration::from_millis(5))?;
            return Ok(());
        }
        client.send(&DISCONNECT)
    }

    /// Waits for the first packet, takes all that came with it, and gives the answers.
    fn read(&mut self, scene: &Scene, client: &mut Client, mut patience: Duration) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            match client.next(patience)? {
                Next::Some(Packet::Publish(publish)) => self.hear(scene, &publish, &mut out),
                Next::Some(Packet::Ack { kind: ack::PUBREL, id, .. }) => {
                    self.received.remove(&id);
                    out.extend(ack::bytes(ack::PUBCOMP, id));
                }
                Next::Some(other) => scene.complain(format!("a subscriber got {other:?}")),
                Next::Silence => return Ok(out),
                Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
            }
            patience = Duration::ZERO;
        }
    }

    fn hear(&mut self, scene: &Scene, publish: &Publish, out: &mut Vec<u8>) {
        let is_new = publish.qos < 2 || self.received.insert(publish.id);
        if is_new {
            match payload::read(&publish.payload) {
                Some((publisher, number)) => scene.ledger().hear(self.me, publisher, number, publish.dup),
                None => scene.ledger().hear_damaged(self.me),
            }
        } else if !publish.dup {
            scene.complain(format!("id {} came again without DUP before it was released", publish.id));
        }
        let kind = if publish.qos == 1 { ack::PUBACK } else { ack::PUBREC };
        out.extend(ack::bytes(kind, publish.id));
    }
}
