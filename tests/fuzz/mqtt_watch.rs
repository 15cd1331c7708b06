//! What a session does in a play, watched: its requests and its packets against the laws of the protocol.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::BytesMut;
use model::delivery::{Delivery, Outcome, Stage};
use model::outbox::{By, Outbox};
use model::qos::Qos;
use model::request::{Operation, Request, Submit, Ticket};
use mqtt::Options;
use mqtt::codec::{PropertyLimits, Role, Rules, decode};
use mqtt::packet::{Connect, Packet, Properties, Publish};
use mqtt::reason::Reason;
use mqtt::version::Version;

use crate::written::written;

/// A question that the broker owes an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// CONNECT.
    Open,
    /// Who is that now? Asked by a client that is in.
    Renewal,
    /// A submit that wants an answer, and whether it carries a message of QoS 1.
    Submit(Ticket, bool),
    /// So many filters.
    Subscribe(Ticket, usize),
    /// So many filters.
    Unsubscribe(Ticket, usize),
    /// An id.
    Release(Ticket, u16),
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Watch {
    /// What the client sent, until its CONNECT is complete.
    sent: BytesMut,
    /// Its CONNECT.
    connect: Option<Box<Connect>>,
    /// What the broker owes.
    pub asked: VecDeque<Asked>,
    /// The most QoS 1 and QoS 2 messages of a 5.0 client that may be under way to the broker.
    receive_maximum: usize,
    /// The most that may be under way to the client, by the broker's options.
    inflight_max: usize,
    /// The largest packet that the broker reads, in bytes.
    read_max: u32,
    last_ticket: u64,
    is_asked_to_open: bool,
    is_open: bool,
    is_over: bool,
    last: Option<Packet>,
    /// Messages of QoS 1 whose answer is due.
    publishing: usize,
    answered: usize,
    acknowledged: usize,
    aliases: HashMap<u16, String>,
    /// Delivered, not settled: by tag.
    unsettled: BTreeMap<u64, Flight>,
}

#[derive(Debug)]
struct Flight {
    topic: Option<String>,
    may_be_dup: bool,
    stage: Stage,
    is_on_wire: bool,
}

impl Watch {
    /// Nothing was seen yet; `options` are the broker's.
    pub fn new(options: &Options) -> Self {
        Self {
            receive_maximum: options.receive_maximum.into(),
            inflight_max: options.inflight_max.into(),
            read_max: options.packet_max,
            ..Self::default()
        }
    }

    /// The client sends these bytes.
    pub fn sends(&mut self, bytes: &[u8]) {
        if self.connect.is_some() {
            return;
        }
        self.sent.extend_from_slice(bytes);
        let rules = Rules {
            version: None,
            role: Role::Server,
            packet_max: self.read_max,
            properties: PropertyLimits::default(),
        };
        if let Ok(Some(Packet::Connect(connect))) = decode(&mut self.sent.clone(), &rules) {
            self.connect = Some(connect);
        }
    }

    /// The version the client speaks, once that is known.
    pub fn version(&self) -> Option<Version> {
        self.connect.as_ref().map(|connect| connect.version)
    }

    /// A delivery is handed over; `topic`: what a client will be told, if MQTT can say it.
    pub fn delivers(&mut self, delivery: &Delivery, topic: Option<String>) {
        if delivery.tag.0 > 0 {
            let flight =
                Flight { topic, may_be_dup: delivery.attempts > 0, stage: delivery.stage, is_on_wire: false };
            assert!(
                self.unsettled.insert(delivery.tag.0, flight).is_none(),
                "the play has no such tag twice"
            );
        }
    }

    /// How many deliveries are not settled.
    pub fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    /// A submit that wants an answer gets it.
    pub fn answers(&mut self, is_at_least_once: bool) {
        self.answered += 1;
        self.publishing -= usize::from(is_at_least_once);
    }

    /// Looks at all that the session handed back.
    pub fn look(&mut self, out: &mut Outbox) {
        // What is settled by the same bytes that ask for it may be written after: packets first see the ids as they were.
        let settled = self.requests(std::mem::take(&mut out.requests));
        self.packets(&mut written(out), &settled);
        for tag in settled {
            self.unsettled.remove(&tag);
        }
        assert!(self.inflight() <= self.window_max(), "[MQTT-3.3.4-9] {} under way", self.inflight());
        let Some(hangup) = &out.close else { return };
        if self.is_open && hangup.by == By::Broker && self.version() == Some(Version::V5) {
            let fits = self.packet_max() >= 4;
            assert!(!fits || matches!(self.last, Some(Packet::Disconnect(_))), "[MQTT-4.13.2-1] {hangup:?}");
        }
    }

    /// Takes note of what is asked; the tags that were settled for good.
    fn requests(&mut self, requests: Vec<Request>) -> Vec<u64> {
        let mut settled = Vec::new();
        for request in requests {
            assert_eq!(
                matches!(request, Request::Open(_)),
                !self.is_asked_to_open,
                "asked to open first, and once"
            );
            match request {
                Request::Open(_) => {
                    self.is_asked_to_open = true;
                    self.asked.push_back(Asked::Open);
                }
                Request::Proceed(_) => {
                    assert!(self.method().is_some(), "nobody was challenged");
                    self.asked.push_back(if self.is_open { Asked::Renewal } else { Asked::Open });
                }
                Request::Reauthenticate(_) => {
                    assert!(self.is_open && self.method().is_some(), "[MQTT-4.12.0-7]");
                    assert!(!self.asked.contains(&Asked::Renewal), "one exchange at a time");
                    self.asked.push_back(Asked::Renewal);
                }
                Request::Submit(submit) => self.submit(&submit, &mut settled),
                Request::Subscribe(subscribe) => {
                    assert!(!subscribe.subscriptions.is_empty());
                    self.ticket(subscribe.ticket);
                    self.asked.push_back(Asked::Subscribe(subscribe.ticket, subscribe.subscriptions.len()));
                }
                Request::Unsubscribe(ask) => {
                    assert!(!ask.subscriptions.is_empty());
                    self.ticket(ask.ticket);
                    self.asked.push_back(Asked::Unsubscribe(ask.ticket, ask.subscriptions.len()));
                }
                Request::Release(release) => {
                    self.ticket(release.ticket);
                    self.asked.push_back(Asked::Release(release.ticket, release.id));
                }
                Request::Close(_) => {}
            }
        }
        settled
    }

    fn submit(&mut self, submit: &Submit, settled: &mut Vec<u64>) {
        let mut is_at_least_once = false;
        for operation in &submit.operations {
            let settle = match operation {
                Operation::Settle(settle) => settle,
                Operation::Publish(publish) => {
                    is_at_least_once |= publish.qos == Qos::AtLeastOnce;
                    continue;
                }
            };
            let flight = self.unsettled.get_mut(&settle.tag.0).expect("what is settled was delivered");
            match settle.outcome {
                Outcome::Accepted => {
                    assert!(!settled.contains(&settle.tag.0), "settled once");
                    settled.push(settle.tag.0);
                }
                Outcome::Received => {
                    assert_eq!(flight.stage, Stage::Published, "received once");
                    flight.stage = Stage::Received;
                }
                Outcome::Requeued | Outcome::Rejected => panic!("MQTT has no word for {:?}", settle.outcome),
            }
        }
        if submit.answer {
            self.ticket(submit.ticket);
            self.asked.push_back(Asked::Submit(submit.ticket, is_at_least_once));
            self.publishing += usize::from(is_at_least_once);
            let is_limited = self.version() == Some(Version::V5);
            assert!(!is_limited || self.publishing <= self.receive_maximum, "[MQTT-3.3.4-7]");
        }
    }

    fn ticket(&mut self, ticket: Ticket) {
        assert!(ticket.0 > self.last_ticket, "a ticket is given out once");
        self.last_ticket = ticket.0;
    }

    fn packets(&mut self, bytes: &mut BytesMut, settled: &[u64]) {
        while !bytes.is_empty() {
            // Who was refused by what cannot be read may be of any version: that of the CONNACK is seen by its size.
            let guess = if bytes.get(1) == Some(&2) { Version::V311 } else { Version::V5 };
            let version = self.version().unwrap_or(guess);
            let rules = Rules {
                version: Some(version),
                role: Role::Client,
                packet_max: self.packet_max(),
                properties: PropertyLimits::default(),
            };
            let packet = decode(bytes, &rules).expect("[MQTT-3.1.2-24] what is sent can be read");
            let packet = packet.expect("whole packets are sent");
            assert!(!self.is_over, "nothing is sent after the end, least of all {packet:?}");
            let is_early = matches!(packet, Packet::Connack(_) | Packet::Auth(_));
            assert!(self.is_open || is_early, "[MQTT-3.2.0-1] CONNACK is first, but for AUTH");
            self.packet(&packet, settled);
            self.last = Some(packet);
        }
    }

    fn packet(&mut self, packet: &Packet, settled: &[u64]) {
        match packet {
            Packet::Connack(connack) => {
                assert!(!self.is_open, "[MQTT-3.2.0-2] one CONNACK");
                self.is_open = connack.reason == Reason::Success;
                self.is_over = !self.is_open;
                assert!(self.is_open || !connack.session_present, "[MQTT-3.2.2-6]");
            }
            Packet::Publish(publish) => self.publish(publish, settled),
            Packet::Pubrel(ack) => {
                self.explains(ack.properties.as_deref());
                let is_known = self.released(ack.id.get(), settled);
                let is_five = self.version() == Some(Version::V5);
                assert!(is_known || !is_five || ack.reason == Reason::PacketIdentifierNotFound, "{packet:?}");
            }
            Packet::Puback(ack) | Packet::Pubrec(ack) => {
                self.explains(ack.properties.as_deref());
                self.acknowledged += 1;
                assert!(self.acknowledged <= self.answered, "acknowledged after it is persisted");
            }
            Packet::Pubcomp(ack) => self.explains(ack.properties.as_deref()),
            Packet::Suback(suback) | Packet::Unsuback(suback) => self.explains(suback.properties.as_deref()),
            Packet::Pingresp => {}
            Packet::Disconnect(_) => self.is_over = true,
            Packet::Auth(auth) => {
                let properties = auth.properties.as_deref();
                self.explains(properties);
                let method = properties.and_then(|properties| properties.authentication_method.as_deref());
                assert!(method.is_some(), "3.15.2.2.2");
                assert_eq!(method, self.method(), "[MQTT-4.12.0-5], [MQTT-4.12.0-6]");
            }
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::Pingreq => {
                panic!("a server never sends {packet:?}")
            }
        }
    }

    fn publish(&mut self, publish: &Publish, settled: &[u64]) {
        let topic = self.resolve(publish);
        let Some(id) = publish.delivery.id() else {
            assert!(!publish.dup, "[MQTT-3.3.1-2]");
            return;
        };
        let is_busy = self.flight(id.get(), settled).is_some();
        assert!(!is_busy, "[MQTT-2.2.1-3] the id {} is not in use", id.get());
        let mut waiting =
            self.unsettled.iter_mut().filter(|(tag, flight)| id_of(**tag) == id.get() && !flight.is_on_wire);
        let new = waiting.find(|(_, flight)| flight.topic.as_ref() == Some(&topic));
        let (_, flight) =
            new.expect("what is published was delivered, under the topic that it was published with");
        assert_eq!(flight.stage, Stage::Published, "[MQTT-4.3.3-6]");
        assert_eq!(publish.dup, flight.may_be_dup, "[MQTT-3.3.1-1]");
        flight.is_on_wire = true;
    }

    /// The topic as the client understands it.
    fn resolve(&mut self, publish: &Publish) -> String {
        let alias = publish.properties.as_ref().and_then(|properties| properties.topic_alias);
        let topic = publish.topic.as_ref().map(|topic| topic.as_str().to_owned());
        let Some(alias) = alias else { return topic.expect("a topic or an alias") };
        let max = self.asked_for().and_then(|properties| properties.topic_alias_maximum).unwrap_or(0);
        assert!(alias.get() <= max, "[MQTT-3.1.2-26]");
        match topic {
            Some(topic) => {
                self.aliases.insert(alias.get(), topic.clone());
                topic
            }
            None => self.aliases.get(&alias.get()).expect("[MQTT-3.3.2-7] the alias is known").clone(),
        }
    }

    /// The delivery that the client knows by `id` now.
    fn flight(&self, id: u16, settled: &[u64]) -> Option<&Flight> {
        let known = self.unsettled.iter().filter(|(tag, _)| id_of(**tag) == id && !settled.contains(tag));
        known.map(|(_, flight)| flight).find(|flight| flight.is_on_wire)
    }

    /// PUBREL for `id`: whether the client said that it has the message, in this connection or an earlier one.
    fn released(&mut self, id: u16, settled: &[u64]) -> bool {
        let mut known =
            self.unsettled.iter_mut().filter(|(tag, _)| id_of(**tag) == id && !settled.contains(tag));
        let Some((_, flight)) = known.find(|(_, flight)| flight.stage == Stage::Received) else {
            return false;
        };
        flight.is_on_wire = true;
        true
    }

    fn inflight(&self) -> usize {
        self.unsettled.values().filter(|flight| flight.is_on_wire).count()
    }

    fn window_max(&self) -> usize {
        let asked = self.asked_for().and_then(|properties| properties.receive_maximum);
        asked.map_or(self.inflight_max, |maximum| usize::from(maximum.get()).min(self.inflight_max))
    }

    fn packet_max(&self) -> u32 {
        let asked = self.asked_for().and_then(|properties| properties.maximum_packet_size);
        asked.map_or(u32::MAX, |maximum| maximum.get())
    }

    /// The authentication method of CONNECT.
    pub fn method(&self) -> Option<&str> {
        self.asked_for()?.authentication_method.as_deref()
    }

    fn asked_for(&self) -> Option<&Properties> {
        self.connect.as_ref()?.properties.as_deref()
    }

    fn explains(&self, properties: Option<&Properties>) {
        let asked = self.asked_for().and_then(|properties| properties.request_problem_information);
        let explains = properties.is_some_and(|said| said.reason_string.is_some() || !said.user.is_empty());
        assert!(asked != Some(false) || !explains, "[MQTT-3.1.2-29]");
    }
}

/// The packet id of a delivery (docs/architecture.md, "QoS 2 out").
fn id_of(tag: u64) -> u16 {
    ((tag - 1) % 65_535 + 1) as u16
}
