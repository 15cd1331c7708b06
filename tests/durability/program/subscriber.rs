//! A subscriber over MQTT, at any QoS, alone or in a group; at QoS 1 and 2 its session outlives its connections.

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

/// Who subscribes to what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// The client id.
    pub(crate) name: &'static str,
    pub(crate) filter: &'static str,
    pub(crate) qos: u8,
}

/// Those whose sessions stay.
pub(crate) const LASTING: [Part; 4] = [
    Part { name: "subscriber-qos1", filter: "crash/#", qos: 1 },
    Part { name: "subscriber-qos2", filter: "crash/#", qos: 2 },
    Part { name: "member-1", filter: "$share/group/crash/#", qos: 2 },
    Part { name: "member-2", filter: "$share/group/crash/#", qos: 2 },
];

/// Listens until the scene is over.
pub(crate) fn act(scene: &Scene, me: usize, part: Part, dice: Dice) {
    let mut subscriber = Subscriber {
        me,
        part,
        version: part.version(),
        was_here: false,
        left_open: None,
        received: BTreeSet::new(),
        dice,
    };
    while scene.phase() < Phase::Over {
        // The broker may be dead: that is what this is about.
        let _ = subscriber.converse(scene);
        if scene.phase() == Phase::Talking {
            sleep(Duration::from_millis(subscriber.dice.below(400)));
        }
        sleep(Duration::from_millis(10));
    }
}

impl Part {
    /// QoS 1 in 3.1.1, the others in 5.0: some of each.
    pub(crate) const fn version(self) -> Version {
        if self.qos == 1 { Version::V311 } else { Version::V5 }
    }
}

struct Subscriber {
    me: usize,
    part: Part,
    version: Version,
    was_here: bool,
    /// A connection that it did not close, so that the next one takes its session over.
    left_open: Option<Client>,
    /// QoS 2: the ids of messages that it has and the broker has not let go of (MQTT 5.0, 4.3.3).
    received: BTreeSet<u16>,
    dice: Dice,
}

impl Subscriber {
    fn converse(&mut self, scene: &Scene) -> io::Result<()> {
        let name = self.part.name;
        let lasts = self.part.qos > 0;
        let mut connect =
            if lasts { Connect::lasting(self.version, name) } else { Connect::new(self.version, name) };
        if self.version == Version::V5 {
            connect = connect.with(Property::Number(property::RECEIVE_MAXIMUM, 40));
        }
        let (mut client, connack) = Client::connect(scene.mqtt, &connect)?;
        self.left_open = None;
        if lasts && self.was_here && !connack.session_present {
            scene.complain(format!("{name}: its session was gone"));
        }
        if !connack.session_present {
            let codes = client.subscribe(self.part.filter, self.part.qos)?;
            if codes != [self.part.qos] {
                scene.complain(format!("{name}: SUBACK {codes:?}"));
            }
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
            self.left_open = self.dice.chance(50).then_some(client);
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
        match publish.qos {
            0 => {}
            1 => out.extend(ack::bytes(ack::PUBACK, publish.id)),
            _ => out.extend(ack::bytes(ack::PUBREC, publish.id)),
        }
    }
}
