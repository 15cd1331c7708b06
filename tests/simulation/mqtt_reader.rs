//! A client that reads streams over MQTT, each from where it likes, and starts again anywhere.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU16;

use bytes::BytesMut;
use model::qos::Qos;
use model::stream::Start;
use mqtt::codec;
use mqtt::packet::{
    Ack, Connect, Filter, Guarantee, Packet, PacketId, Properties, Publish, Subscribe, SubscriptionId,
    Unsubscribe,
};
use mqtt::reason::Reason;
use mqtt::version::Version;

use crate::client::Client;
use crate::dice::Dice;
use crate::heard;
use crate::ledger::Ledger;
use crate::reads::Reads;
use crate::sent::{PLACES, QUEUES, STREAMS, topic};

pub(crate) struct MqttReader {
    number: usize,
    reads: Reads,
    is_in: bool,
    /// What SUBACK and UNSUBACK will answer: which reading begins, or none.
    asked: BTreeMap<u16, Option<usize>>,
    last_id: u16,
    under_way: Vec<PacketId>,
    owes: VecDeque<PacketId>,
    outgoing: BytesMut,
    incoming: BytesMut,
}

impl MqttReader {
    /// Whether it reads every stream, and only from its start.
    pub(crate) fn new(number: usize, is_late: bool) -> Self {
        Self {
            number,
            reads: Reads::new(is_late),
            is_in: false,
            asked: BTreeMap::new(),
            last_id: 0,
            under_way: Vec::new(),
            owes: VecDeque::new(),
            outgoing: BytesMut::new(),
            incoming: BytesMut::new(),
        }
    }

    fn say(&mut self, packet: &Packet) {
        codec::encode(packet, Version::V5, &mut self.outgoing);
    }

    fn id(&mut self) -> PacketId {
        self.last_id = self.last_id % 1000 + 1;
        PacketId::new(self.last_id).expect("never zero")
    }

    /// From now on it reads that stream from there on, and no more from where it did.
    fn ask(&mut self, stream: usize, start: Start, in_filter: bool, ledger: &mut Ledger) {
        let reading = self.reads.ask(stream, start, ledger);
        let id = self.id();
        self.asked.insert(id.get(), Some(reading));
        let name = PLACES[QUEUES + stream];
        let (filter, user) = if in_filter {
            (format!("$stream/{name}/{start}"), Vec::new())
        } else {
            (format!("$stream/{name}"), vec![(Start::HEADER.into(), start.to_string().into())])
        };
        // So each message says which reading it is for.
        let subscription_ids = SubscriptionId::new(reading as u32 + 1).into_iter().collect();
        let properties = Some(Box::new(Properties { subscription_ids, user, ..Properties::default() }));
        let filters = vec![Filter::plain(filter.into(), Qos::AtLeastOnce)];
        self.say(&Packet::Subscribe(Subscribe { id, filters, properties }));
    }

    fn leave(&mut self, stream: usize, ledger: &mut Ledger) {
        let Some(_) = self.reads.leave(stream, ledger) else { return };
        let id = self.id();
        self.asked.insert(id.get(), None);
        let filters = vec![format!("$stream/{}", PLACES[QUEUES + stream]).into()];
        self.say(&Packet::Unsubscribe(Unsubscribe { id, filters, properties: None }));
    }

    fn hear(&mut self, packet: Packet, ledger: &mut Ledger) -> Result<(), String> {
        match packet {
            Packet::Connack(connack) if connack.reason == Reason::Success => {
                self.is_in = true;
                Ok(())
            }
            Packet::Connack(connack) if connack.reason == Reason::ServerUnavailable => Ok(()),
            Packet::Suback(suback) => {
                let Some(Some(reading)) = self.asked.remove(&suback.id.get()) else {
                    return Err(format!("{suback:?} came"));
                };
                if suback.reasons[..] != [Reason::GrantedQos1] {
                    return Err(format!("reading {reading} was granted {:?}", suback.reasons));
                }
                ledger.streams.grant(reading, ledger.sent.len());
                Ok(())
            }
            Packet::Unsuback(unsuback) => match self.asked.remove(&unsuback.id.get()) {
                Some(None) => Ok(()),
                other => Err(format!("{unsuback:?} came for {other:?}")),
            },
            Packet::Publish(publish) => self.take(&publish, ledger),
            Packet::Disconnect(ref leave) if LEAVES.contains(&leave.reason) => Ok(()),
            Packet::Connect(_)
            | Packet::Connack(_)
            | Packet::Puback(_)
            | Packet::Pubrec(_)
            | Packet::Pubrel(_)
            | Packet::Pubcomp(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Pingreq
            | Packet::Pingresp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => Err(format!("{packet:?} came")),
        }
    }

    fn take(&mut self, publish: &Publish, ledger: &mut Ledger) -> Result<(), String> {
        let (stamp, sent) = ledger.find(&publish.payload)?;
        let came_under = publish.topic.as_ref().map_or("", |topic| topic.as_str());
        if came_under != topic(sent.place) {
            return Err(format!("{stamp} came under {came_under}"));
        }
        if publish.delivery.qos() as u8 != sent.qos.min(1) || publish.dup || publish.retain {
            return Err(format!("{stamp} came as {publish:?}"));
        }
        let properties = publish.properties.as_deref();
        let reading = properties.and_then(|all| all.subscription_ids.first()).map(|id| id.get() as usize - 1);
        let said = properties.and_then(|all| all.user.iter().find(|(name, _)| &**name == Start::HEADER));
        let offset = said.and_then(|(_, text)| text.parse().ok());
        let (Some(reading), Some(offset)) = (reading, offset) else {
            return Err(format!("{stamp} came from nowhere: {publish:?}"));
        };
        self.reads.take(reading, offset, stamp, ledger)?;
        if let Guarantee::AtLeastOnce(id) = publish.delivery {
            if self.under_way.contains(&id) {
                return Err(format!("{stamp} came under {id:?}, which another one has"));
            }
            self.under_way.push(id);
            self.owes.push_back(id);
            if self.under_way.len() > usize::from(RECEIVE_MAXIMUM) {
                return Err(format!("{} are under way at once", self.under_way.len()));
            }
        }
        Ok(())
    }

    fn answer(&mut self) {
        let Some(id) = self.owes.pop_front() else { return };
        self.under_way.retain(|other| *other != id);
        self.say(&Packet::Puback(Ack::success(id)));
    }
}

impl Client for MqttReader {
    fn protocol(&self) -> &'static str {
        "mqtt"
    }

    fn connect(&mut self) {
        self.say(&Packet::Connect(Box::new(Connect {
            version: Version::V5,
            is_bridge: false,
            clean_start: true,
            keep_alive_s: 0,
            client_id: format!("reader-{}", self.number).into(),
            will: None,
            user: None,
            password: None,
            properties: Some(Box::new(Properties {
                receive_maximum: NonZeroU16::new(RECEIVE_MAXIMUM),
                ..Properties::default()
            })),
        })));
    }

    fn act(&mut self, dice: &mut Dice, ledger: &mut Ledger) {
        if !self.is_in {
            return;
        }
        if dice.percent(80) && !self.owes.is_empty() {
            for _ in 0..=dice.roll(self.owes.len()) {
                self.answer();
            }
            return;
        }
        // One question at a time: with two of one stream nobody could say which of them an answer is for.
        if self.asked.is_empty() {
            let stream = dice.roll(STREAMS);
            match self.reads.choose(stream, dice, ledger) {
                Some(start) => self.ask(stream, start, dice.percent(50), ledger),
                None if dice.percent(10) => self.leave(stream, ledger),
                None => {}
            }
        }
    }

    fn finish(&mut self, ledger: &mut Ledger) -> bool {
        while !self.owes.is_empty() {
            self.answer();
        }
        if self.is_in && self.asked.is_empty() {
            for (stream, start) in self.reads.wanted() {
                self.ask(stream, start, true, ledger);
            }
        }
        self.is_in && self.asked.is_empty()
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn outgoing(&mut self) -> &mut BytesMut {
        &mut self.outgoing
    }

    fn receive(&mut self, bytes: &[u8], _: bool, ledger: &mut Ledger) -> Result<(), String> {
        self.incoming.extend_from_slice(bytes);
        while let Some(packet) = heard::packet(&mut self.incoming, Version::V5)? {
            self.hear(packet, ledger)?;
        }
        Ok(())
    }

    fn heard(&mut self, _: u64) {}

    fn lose(&mut self, ledger: &mut Ledger) {
        self.is_in = false;
        self.outgoing.clear();
        self.incoming.clear();
        self.asked.clear();
        self.under_way.clear();
        self.owes.clear();
        self.reads.lose(ledger);
    }

    fn crash(&mut self) {}

    fn check(&self, ledger: &Ledger) -> Result<(), String> {
        self.reads.check(ledger)
    }
}

const RECEIVE_MAXIMUM: u16 = 4;
/// Why the broker may end a connection.
const LEAVES: [Reason; 2] = [Reason::SessionTakenOver, Reason::ServerShuttingDown];
