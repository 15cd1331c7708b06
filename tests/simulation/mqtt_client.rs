//! A correct MQTT client, with a session that outlives its connections.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU16;

use bytes::BytesMut;
use model::qos::Qos;
use mqtt::codec;
use mqtt::packet::{Ack, Connect, Filter, Guarantee, Packet, PacketId, Properties, Publish, Subscribe};
use mqtt::reason::Reason;
use mqtt::topic::TopicName;
use mqtt::version::Version;

use crate::client::Client;
use crate::dice::{Dice, any_delay_ms};
use crate::heard;
use crate::ledger::Ledger;
use crate::sent::{KEPT, Place, Sent, Stamp, TOPICS, topic};
use crate::view::{Came, View};

/// How a client is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) version: Version,
    /// What it subscribes to, with the QoS.
    pub(crate) filters: &'static [(&'static str, u8)],
    /// The places that it hears of by that.
    pub(crate) hears: &'static [(Place, u8)],
    /// Where it publishes.
    pub(crate) publishes: &'static [Place],
}

pub(crate) struct MqttClient {
    number: usize,
    habits: Habits,
    /// Whether the broker has said that there is a session.
    is_known: bool,
    is_subscribed: bool,
    out: Vec<Exchange>,
    published: u32,
    view: View,
    phase: Phase,
    outgoing: BytesMut,
    incoming: BytesMut,
    said_bytes: u64,
    /// What came as the last message of its place.
    kept: BTreeSet<Stamp>,
    /// What it has to answer, in order.
    owes: VecDeque<Packet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Away,
    /// CONNECT was sent.
    Knocking,
    In,
}

/// A message on its way to the broker.
#[derive(Debug)]
struct Exchange {
    id: u16,
    place: Place,
    number: u32,
    qos: u8,
    /// How long the broker is to wait with it, in milliseconds.
    delay_ms: u64,
    /// Of the last time it was sent.
    stamp: Stamp,
    /// PUBREC came.
    is_released: bool,
    /// PUBREL was sent on an earlier connection: the broker may be done with it, and have forgotten it.
    may_be_done: bool,
    /// Where the last packet of it ends in what was said on this connection.
    at: u64,
}

impl MqttClient {
    pub(crate) fn new(number: usize, habits: Habits) -> Self {
        Self {
            number,
            habits,
            is_known: false,
            is_subscribed: habits.filters.is_empty(),
            out: Vec::new(),
            published: 0,
            view: View::new(habits.hears),
            phase: Phase::Away,
            outgoing: BytesMut::new(),
            incoming: BytesMut::new(),
            said_bytes: 0,
            kept: BTreeSet::new(),
            owes: VecDeque::new(),
        }
    }

    fn say(&mut self, packet: &Packet) -> u64 {
        let before = self.outgoing.len();
        codec::encode(packet, self.habits.version, &mut self.outgoing);
        self.said_bytes += (self.outgoing.len() - before) as u64;
        self.said_bytes
    }

    fn publish(&mut self, place: Place, qos: u8, delay_ms: u64, ledger: &mut Ledger) {
        self.published += 1;
        let id = (1..=WINDOW).find(|id| self.out.iter().all(|exchange| exchange.id != *id)).unwrap_or(WINDOW);
        let number = self.published;
        let (stamp, is_released, may_be_done, at) = (0, false, false, 0);
        let exchange = Exchange { id, place, number, qos, delay_ms, stamp, is_released, may_be_done, at };
        let exchange = self.send(exchange, false, ledger);
        if qos > 0 {
            self.out.push(exchange);
        }
    }

    /// For the first time, or again.
    fn send(&mut self, mut exchange: Exchange, dup: bool, ledger: &mut Ledger) -> Exchange {
        let Exchange { id, place, number, qos, delay_ms, .. } = exchange;
        exchange.stamp = ledger.send(Sent {
            by: self.number,
            place,
            number,
            qos,
            acked: false,
            is_named: false,
            transaction: None,
            delay_ms,
            sent_at_ms: 0,
        });
        let (topic, properties) = self.addressed(place, delay_ms);
        let packet = Packet::Publish(Publish {
            dup,
            retain: (KEPT..TOPICS).contains(&place),
            delivery: Guarantee::new(qos_of(qos), id_of(id)),
            topic: TopicName::parse(topic.into()).ok(),
            payload: Ledger::body(exchange.stamp).into(),
            properties,
        });
        exchange.at = self.say(&packet);
        exchange
    }

    /// The topic for that place, and what else says how long it waits.
    fn addressed(&self, place: Place, delay_ms: u64) -> (String, Option<Box<Properties>>) {
        let topic = topic(place);
        match (delay_ms, self.habits.version) {
            (0, _) => (topic, None),
            (_, Version::V5) => {
                let user = vec![("x-delay".into(), delay_ms.to_string().into())];
                (topic, Some(Box::new(Properties { user, ..Properties::default() })))
            }
            (_, Version::V31 | Version::V311) => (format!("$delayed/{}/{topic}", delay_ms / 1000), None),
        }
    }

    fn let_in(&mut self, session_present: bool, ledger: &mut Ledger) -> Result<(), String> {
        if self.is_known && !session_present {
            return Err("its session is gone".into());
        }
        self.is_known = true;
        self.phase = Phase::In;
        for mut exchange in std::mem::take(&mut self.out) {
            if exchange.is_released {
                exchange.may_be_done = true;
                exchange.at = self.say(&Packet::Pubrel(Ack::success(id_of(exchange.id))));
            } else {
                exchange = self.send(exchange, true, ledger);
            }
            self.out.push(exchange);
        }
        if !self.is_subscribed {
            let filters = self.habits.filters.iter();
            let filters = filters.map(|(text, qos)| Filter::plain((*text).into(), qos_of(*qos))).collect();
            self.say(&Packet::Subscribe(Subscribe { id: id_of(SUBSCRIBE_ID), filters, properties: None }));
        }
        Ok(())
    }

    fn hear(&mut self, packet: Packet, ledger: &mut Ledger) -> Result<(), String> {
        match packet {
            Packet::Connack(connack)
                if connack.reason == Reason::Success && self.phase == Phase::Knocking =>
            {
                self.let_in(connack.session_present, ledger)
            }
            Packet::Connack(connack) if connack.reason == Reason::ServerUnavailable => Ok(()),
            _ if self.phase != Phase::In => Err(format!("{packet:?} came before CONNACK")),
            Packet::Puback(ack) => {
                let exchange = self.conclude(&ack, 1, false)?;
                ledger.acknowledge(exchange.stamp);
                Ok(())
            }
            Packet::Pubrec(ack) => self.release(&ack, ledger),
            Packet::Pubcomp(ack) => self.conclude(&ack, 2, true).map(drop),
            Packet::Pubrel(ack) => {
                self.view.held.remove(&ack.id.get());
                self.owes.push_back(Packet::Pubcomp(Ack::success(ack.id)));
                Ok(())
            }
            Packet::Publish(publish) => self.take(&publish, ledger),
            Packet::Suback(suback) => {
                let wanted = self.habits.filters.iter().map(|(_, qos)| *qos);
                if !suback.reasons.iter().map(|reason| reason.code()).eq(wanted) {
                    return Err(format!("was granted {:?}", suback.reasons));
                }
                self.is_subscribed = true;
                Ok(())
            }
            Packet::Disconnect(ref leave) if LEAVES.contains(&leave.reason) => Ok(()),
            Packet::Pingresp => Ok(()),
            Packet::Connect(_)
            | Packet::Connack(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Unsuback(_)
            | Packet::Pingreq
            | Packet::Disconnect(_)
            | Packet::Auth(_) => Err(format!("{packet:?} came")),
        }
    }

    /// The first exchange of its kind: the broker answers in order (MQTT 5.0, 4.6).
    fn first(&mut self, ack: &Ack, qos: u8, is_released: bool) -> Result<usize, String> {
        let at = self.out.iter().position(|one| one.qos == qos && one.is_released == is_released);
        let at = at.filter(|at| self.out[*at].id == ack.id.get());
        let at = at.ok_or_else(|| format!("{ack:?} came, and {:?} are under way", self.out))?;
        let is_unknown = ack.reason == Reason::PacketIdentifierNotFound && self.out[at].may_be_done;
        if ack.reason.is_error() && !is_unknown {
            return Err(format!("{ack:?} came for {:?}", self.out[at]));
        }
        self.view.answered(self.out[at].at);
        Ok(at)
    }

    fn conclude(&mut self, ack: &Ack, qos: u8, is_released: bool) -> Result<Exchange, String> {
        let at = self.first(ack, qos, is_released)?;
        Ok(self.out.remove(at))
    }

    fn release(&mut self, ack: &Ack, ledger: &mut Ledger) -> Result<(), String> {
        let at = self.first(ack, 2, false)?;
        self.out[at].is_released = true;
        ledger.acknowledge_once(self.number, self.out[at].number);
        // At once: then PUBRELs are in the order of the PUBRECs [MQTT-4.6.0-4].
        let said = self.say(&Packet::Pubrel(Ack::success(ack.id)));
        self.out[at].at = said;
        Ok(())
    }

    fn take(&mut self, publish: &Publish, ledger: &mut Ledger) -> Result<(), String> {
        let (stamp, sent) = ledger.find(&publish.payload)?;
        let came_under = publish.topic.as_ref().map_or("", |topic| topic.as_str());
        if came_under != topic(sent.place) {
            return Err(format!("{stamp} came under {came_under}"));
        }
        let id = publish.delivery.id();
        let came =
            Came { stamp, qos: publish.delivery.qos() as u8, dup: publish.dup, id: id.map(PacketId::get) };
        ledger.deliveries += 1;
        ledger.repeated += u64::from(publish.dup);
        self.view.take(came, ledger, usize::from(RECEIVE_MAXIMUM))?;
        if publish.retain {
            self.kept.insert(stamp);
        }
        match publish.delivery {
            Guarantee::AtMostOnce => {}
            Guarantee::AtLeastOnce(id) => self.owes.push_back(Packet::Puback(Ack::success(id))),
            Guarantee::ExactlyOnce(id) => self.owes.push_back(Packet::Pubrec(Ack::success(id))),
        }
        Ok(())
    }

    fn answer(&mut self) {
        let Some(packet) = self.owes.pop_front() else { return };
        let at = self.say(&packet);
        if let Packet::Puback(ack) | Packet::Pubcomp(ack) = packet {
            let id = ack.id.get();
            if let Some(stamp) = self.view.under_way.get(&id).copied() {
                self.view.say_settled(id, stamp, at);
            }
        }
    }
}

impl Client for MqttClient {
    fn protocol(&self) -> &'static str {
        "mqtt"
    }

    fn connect(&mut self) {
        self.phase = Phase::Knocking;
        let is_five = self.habits.version == Version::V5;
        let properties = is_five.then(|| {
            Box::new(Properties {
                session_expiry_s: Some(u32::MAX),
                receive_maximum: NonZeroU16::new(RECEIVE_MAXIMUM),
                ..Properties::default()
            })
        });
        self.say(&Packet::Connect(Box::new(Connect {
            version: self.habits.version,
            is_bridge: false,
            clean_start: false,
            keep_alive_s: KEEP_ALIVE_S,
            client_id: format!("client-{}", self.number).into(),
            will: None,
            user: None,
            password: None,
            properties,
        })));
    }

    fn act(&mut self, dice: &mut Dice, ledger: &mut Ledger) {
        if self.phase != Phase::In {
            return;
        }
        if dice.percent(60) && !self.owes.is_empty() {
            for _ in 0..=dice.roll(self.owes.len()) {
                self.answer();
            }
            return;
        }
        let places = self.habits.publishes;
        if self.out.len() < usize::from(WINDOW) && !places.is_empty() {
            for _ in 0..=dice.roll(usize::from(WINDOW) - self.out.len()) {
                let place = places[dice.roll(places.len())];
                // A kept one is the last of those that were acknowledged: that is said of QoS 1.
                let is_kept = (KEPT..TOPICS).contains(&place);
                let qos = if is_kept { 1 } else { [0, 1, 1, 2, 2][dice.roll(5)] };
                let is_delayed = !is_kept && dice.percent(20);
                let delay_ms = if is_delayed { delay_ms(dice, self.habits.version) } else { 0 };
                self.publish(place, qos, delay_ms, ledger);
            }
        }
    }

    fn finish(&mut self, _: &mut Ledger) -> bool {
        while !self.owes.is_empty() {
            self.answer();
        }
        self.phase == Phase::In && self.is_subscribed && self.out.is_empty()
    }

    fn is_ready(&self) -> bool {
        self.is_subscribed
    }

    fn outgoing(&mut self) -> &mut BytesMut {
        &mut self.outgoing
    }

    fn receive(&mut self, bytes: &[u8], _: bool, ledger: &mut Ledger) -> Result<(), String> {
        self.incoming.extend_from_slice(bytes);
        while let Some(packet) = heard::packet(&mut self.incoming, self.habits.version)? {
            self.hear(packet, ledger)?;
        }
        Ok(())
    }

    fn heard(&mut self, taken: u64) {
        self.view.hear(taken);
    }

    fn lose(&mut self, _: &mut Ledger) {
        self.phase = Phase::Away;
        self.outgoing.clear();
        self.incoming.clear();
        self.owes.clear();
        self.said_bytes = 0;
        self.view.lose();
    }

    fn crash(&mut self) {
        self.view.crash();
    }

    fn kept(&self) -> BTreeSet<Stamp> {
        self.kept.clone()
    }

    fn check(&self, ledger: &Ledger) -> Result<(), String> {
        if !self.out.is_empty() {
            return Err(format!("was never answered: {:?}", self.out));
        }
        self.view.check(ledger)
    }
}

/// In whole seconds where there is no other word for it.
fn delay_ms(dice: &mut Dice, version: Version) -> u64 {
    let delay_ms = any_delay_ms(dice);
    match version {
        Version::V5 => delay_ms,
        Version::V31 | Version::V311 => delay_ms.div_ceil(1000) * 1000,
    }
}

fn qos_of(qos: u8) -> Qos {
    [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(qos)]
}

fn id_of(id: u16) -> PacketId {
    PacketId::new(id).expect("never zero")
}

/// How many of its messages are under way at once: few, so that ids are used again soon.
const WINDOW: u16 = 3;
const RECEIVE_MAXIMUM: u16 = 4;
/// Cut off after half as much again, by a clock that may go on by more than that at once.
const KEEP_ALIVE_S: u16 = 10;
/// Why the broker may end a connection.
const LEAVES: [Reason; 3] = [Reason::SessionTakenOver, Reason::KeepAliveTimeout, Reason::ServerShuttingDown];
const SUBSCRIBE_ID: u16 = 100;
