//! A publisher over MQTT, at any QoS, whose session outlives its connections; or at QoS 1 under ids of its own.

use std::collections::VecDeque;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use harness::dice::Dice;
use harness::mqtt::Client;
use harness::mqtt::packet::{Packet, Publish};
use harness::mqtt::property::{self, Property, number};
use harness::mqtt::version::Version;
use harness::mqtt::write::{Connect, ack, publish};
use harness::socket::Next;

use crate::payload;
use crate::scene::{Phase, Scene, Stay};

/// Publishes until the scene is over; where it is to be `once`, under ids that the broker remembers.
pub(crate) fn act(scene: &Scene, me: usize, qos: u8, once: bool, dice: Dice) {
    // QoS 1 in 3.1.1, the others in 5.0.
    let version = if qos == 1 && !once { Version::V311 } else { Version::V5 };
    let mut publisher = Publisher { me, qos, once, version, was_here: false, flights: VecDeque::new(), dice };
    while scene.phase() < Phase::Over {
        // The broker may be dead: that is what this is about.
        let _ = publisher.converse(scene);
        sleep(Duration::from_millis(publisher.dice.below(40)));
    }
}

struct Publisher {
    me: usize,
    qos: u8,
    once: bool,
    version: Version,
    was_here: bool,
    flights: VecDeque<Flight>,
    dice: Dice,
}

/// A message that is not done yet.
struct Flight {
    number: u64,
    id: u16,
    /// The broker has it (PUBREC): PUBREL is what to send, PUBLISH never again.
    released: bool,
}

impl Publisher {
    fn converse(&mut self, scene: &Scene) -> io::Result<()> {
        let name = format!("publisher-qos{}{}", self.qos, if self.once { "-once" } else { "" });
        let (mut client, connack) = Client::connect(scene.mqtt, &Connect::lasting(self.version, &name))?;
        if self.was_here && !connack.session_present {
            scene.complain(format!("{name}: its session was gone"));
        }
        self.was_here = true;
        let receive_max = number(&connack.properties, property::RECEIVE_MAXIMUM).unwrap_or(65_535);
        let window = usize::try_from(receive_max).unwrap_or(WINDOW).min(WINDOW);
        client.send(&self.unfinished(scene))?;
        let stay = Stay::new(&mut self.dice);
        while !stay.is_over(scene) {
            self.publish_more(scene, &mut client, window)?;
            self.read(scene, &mut client)?;
        }
        Ok(())
    }

    /// What a client sends again after it was cut off (MQTT 5.0, 4.4), in the old order.
    fn unfinished(&self, scene: &Scene) -> Vec<u8> {
        let mut out = Vec::new();
        for flight in &self.flights {
            if flight.released {
                out.extend(ack::bytes(ack::PUBREL, flight.id));
                continue;
            }
            if self.once {
                scene.ledger().repeat(self.me);
            } else if self.qos == 1 {
                scene.ledger().send_again(self.me, flight.number);
            }
            out.extend(publish(self.version, &self.message(flight).again()));
        }
        out
    }

    fn publish_more(&mut self, scene: &Scene, client: &mut Client, window: usize) -> io::Result<()> {
        let mut out = Vec::new();
        if self.qos == 0 {
            // Nobody answers, so it must not be faster than others.
            for _ in 0..QOS_0_BURST {
                if scene.may_publish(self.me) {
                    let flight = Flight { number: scene.ledger().send(self.me), id: 0, released: false };
                    out.extend(publish(self.version, &self.message(&flight)));
                }
            }
            return client.send(&out);
        }
        while self.flights.len() < window && scene.may_publish(self.me) {
            let number = scene.ledger().send(self.me);
            let flight = Flight { number, id: self.free_id(), released: false };
            out.extend(publish(self.version, &self.message(&flight)));
            self.flights.push_back(flight);
        }
        if out.is_empty() { Ok(()) } else { client.send(&out) }
    }

    /// Waits for the first acknowledgement, and takes all that came with it.
    fn read(&mut self, scene: &Scene, client: &mut Client) -> io::Result<()> {
        let mut out = Vec::new();
        let mut patience = Duration::from_millis(20);
        loop {
            match client.next(patience)? {
                Next::Some(packet) => self.answer(scene, &packet, &mut out),
                Next::Silence => break,
                Next::Closed => return Err(io::ErrorKind::ConnectionReset.into()),
            }
            patience = Duration::ZERO;
        }
        if out.is_empty() { Ok(()) } else { client.send(&out) }
    }

    fn answer(&mut self, scene: &Scene, packet: &Packet, out: &mut Vec<u8>) {
        let Packet::Ack { kind, id, reason } = *packet else {
            scene.complain(format!("a publisher got {packet:?}"));
            return;
        };
        let Some(at) = self.flights.iter().position(|flight| flight.id == id) else {
            scene.complain(format!("{} for {id}, which is not under way", ack::name(kind)));
            return;
        };
        let Some(flight) = self.flights.get_mut(at) else { return };
        // A PUBREL that is sent again after a crash may find its id released already (MQTT 5.0, 3.7.2.1).
        let is_released = kind == ack::PUBCOMP && reason == 0x92;
        if reason >= 0x80 && !is_released {
            scene.complain(format!("{} for {} refused it: {reason:#04x}", ack::name(kind), flight.number));
        } else if kind != ack::PUBCOMP {
            scene.ledger().acknowledge(self.me, flight.number);
        }
        if kind == ack::PUBREC && reason < 0x80 {
            flight.released = true;
            out.extend(ack::bytes(ack::PUBREL, id));
        } else {
            self.flights.remove(at);
        }
    }

    fn message(&self, flight: &Flight) -> Publish {
        let topic = format!("crash/{}", self.me);
        let message =
            Publish::new(&topic, &payload::write(self.me, flight.number), self.qos).with_id(flight.id);
        if !self.once {
            return message;
        }
        let id = format!("{} {}", self.me, flight.number);
        message.with(Property::Pair("x-dedup-id".to_owned(), id))
    }

    /// The lowest: the sooner an id is used again, the sooner it shows that the broker has not let go of it.
    fn free_id(&self) -> u16 {
        let is_free = |id: &u16| !self.flights.iter().any(|flight| flight.id == *id);
        (1..).find(is_free).unwrap_or(u16::MAX)
    }
}

/// How many messages may be under way, where the broker allows more.
const WINDOW: usize = 60;

/// How many messages at QoS 0 are sent at once, some fifty times a second.
const QOS_0_BURST: usize = 4;
