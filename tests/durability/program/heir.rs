//! Heir: one client whose session lasts, who comes and goes, and gets at QoS 2 what is for it alone.

use std::collections::BTreeSet;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::dice::Dice;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack};
use harness::socket::Next;

use crate::scene::{Phase, Scene};

/// Whose session it is, and what it gets.
pub(crate) struct Heir {
    pub(crate) name: &'static str,
    pub(crate) filter: &'static str,
    /// How much has to come yet.
    pub(crate) owed: fn(&Scene) -> usize,
    /// Takes a message; whether it is new to the client, and since when that is there.
    pub(crate) take: fn(&Scene, message: &Publish, is_new: bool, here: Instant),
}

impl Heir {
    pub(crate) fn live(&self, scene: &Scene, dice: &mut Dice) {
        let (mut received, mut was_here) = (BTreeSet::new(), false);
        while scene.phase() < Phase::Over {
            // The broker may be dead.
            let _ = self.listen(scene, &mut was_here, &mut received, dice);
            sleep(Duration::from_millis(dice.below(100)));
        }
    }

    fn listen(
        &self,
        scene: &Scene,
        was_here: &mut bool,
        received: &mut BTreeSet<u16>,
        dice: &mut Dice,
    ) -> io::Result<()> {
        let Self { name, filter, owed, take } = self;
        let (mut client, connack) = Client::connect(scene.mqtt, &Connect::lasting(Version::V5, name))?;
        if *was_here && !connack.session_present {
            scene.complain(format!("{name}: its session was gone"));
        }
        if !connack.session_present {
            client.subscribe(filter, 2)?;
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
                Next::Some(other) => scene.complain(format!("{name} got {other:?}")),
                Next::Silence => {}
                Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
            }
            scene.owe(name, owed(scene));
        }
        Ok(())
    }
}
