//! Deliveries out, to settled.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use model::delivery::{Delivery, DeliveryTag, Outcome, Stage as Reached};
use model::event::Submitted;
use model::name::ExchangeName;
use model::outbox::{Outbox, Wire};
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{Operation, Request, Settle, Submit, Ticket};
use model::wire_cache::Dialect;
use smallvec::smallvec;

use crate::alias::{Alias, AliasesOut};
use crate::codec::publish::{Outgoing as Form, Shared};
use crate::convert;
use crate::inflight::{Answer, Inflight, Lent, Stage, Step};
use crate::limits::Limits;
use crate::packet::{Ack, Guarantee, Packet, PacketId};
use crate::reason::{Fault, Place, Reason};
use crate::session::reply;
use crate::session::streams::Streams;
use crate::session::ticket::{QUIET, Tickets};
use crate::version::Version;

/// What goes to the client, as far as it is not settled.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The exchange of plain topics.
    plain: ExchangeName,
    aliases: AliasesOut,
    inflight: Inflight,
    /// In a box: few clients get anything at QoS 2, or so much that ids are busy.
    seldom: Option<Box<Seldom>>,
    /// The id of the last delivery from a stream: those are found as they are needed.
    last_id: u16,
}

/// What most clients never have.
#[derive(Debug, Default)]
struct Seldom {
    /// Deliveries whose packet id is still busy, and all behind them: order comes first [MQTT-4.6.0-6].
    held: VecDeque<Delivery>,
    /// PUBRECs on their way to the disk, in order; PUBREL follows.
    receiving: VecDeque<(Ticket, PacketId)>,
}

impl Outgoing {
    pub(crate) fn new(limits: &Limits, plain: ExchangeName) -> Self {
        Self {
            plain,
            aliases: AliasesOut::new(limits.aliases_out),
            inflight: Inflight::default(),
            seldom: None,
            last_id: 0,
        }
    }

    /// How many more may be delivered: the client's Receive Maximum counts what it has not settled [MQTT-3.3.4-9].
    pub(crate) fn window(&self, limits: &Limits) -> usize {
        if !self.holds_back() { limits.inflight_max.saturating_sub(self.inflight.len()) } else { 0 }
    }

    /// Whether something waits for its packet id.
    fn holds_back(&self) -> bool {
        self.seldom.as_ref().is_some_and(|seldom| !seldom.held.is_empty())
    }

    fn hold(&mut self, delivery: Delivery) {
        self.seldom.get_or_insert_default().held.push_back(delivery);
    }

    /// Sends all of `deliveries`, or keeps them until their packet id is free.
    pub(crate) fn deliver(
        &mut self,
        deliveries: &mut Vec<Delivery>,
        streams: Option<&Streams>,
        limits: &Limits,
        out: &mut Outbox,
    ) {
        for mut delivery in deliveries.drain(..) {
            let is_wanted =
                |delivery: &mut Delivery| streams.is_some_and(|streams| streams.prepare(delivery));
            if delivery.offset.is_some() && !is_wanted(&mut delivery) {
                continue;
            }
            if self.holds_back() {
                self.hold(delivery);
            } else {
                self.send_or_hold(delivery, limits, out);
            }
        }
    }

    fn send_or_hold(&mut self, delivery: Delivery, limits: &Limits, out: &mut Outbox) {
        if delivery.qos == Qos::AtMostOnce {
            // One that cannot be sent is gone.
            self.write(&delivery, Guarantee::AtMostOnce, limits, &mut out.wire);
            if delivery.tag != NOTHING_TO_SETTLE {
                settle(lent(&delivery), Outcome::Accepted, out);
            }
            return;
        }
        let id = self.id_for(&delivery);
        if self.inflight.is_busy(id) {
            self.hold(delivery);
            return;
        }
        if delivery.qos == Qos::ExactlyOnce && delivery.stage == Reached::Received {
            // [MQTT-4.3.3-6]: PUBLISH never again, PUBREL always.
            self.inflight.start(id, lent(&delivery), Stage::Pubcomp);
            reply::send(limits, Packet::Pubrel(Ack::success(id)), &mut out.wire);
            return;
        }
        if self.write(&delivery, Guarantee::new(delivery.qos, id), limits, &mut out.wire) {
            let stage = if delivery.qos == Qos::ExactlyOnce { Stage::Pubrec } else { Stage::Puback };
            self.inflight.start(id, lent(&delivery), stage);
        } else {
            // [MQTT-3.1.2-25]: as if it had been sent and acknowledged.
            settle(lent(&delivery), Outcome::Accepted, out);
        }
    }

    fn id_for(&mut self, delivery: &Delivery) -> PacketId {
        if delivery.offset.is_none() {
            return Inflight::id_of(delivery.tag);
        }
        let id = self.inflight.free_id(self.last_id);
        self.last_id = id.get();
        id
    }

    /// Sends what was held, as far as ids are free.
    fn resume(&mut self, limits: &Limits, out: &mut Outbox) {
        let is_free = |inflight: &Inflight, delivery: &Delivery| {
            let needs_none = delivery.qos == Qos::AtMostOnce || delivery.offset.is_some();
            needs_none || !inflight.is_busy(Inflight::id_of(delivery.tag))
        };
        while let Some(seldom) = &mut self.seldom
            && let Some(delivery) = seldom.held.pop_front_if(|delivery| is_free(&self.inflight, delivery))
        {
            self.send_or_hold(delivery, limits, out);
        }
    }

    /// Writes a PUBLISH. Whether that was possible: the topic must be one, and the client must take the size.
    fn write(&mut self, delivery: &Delivery, guarantee: Guarantee, limits: &Limits, to: &mut Wire) -> bool {
        // [MQTT-3.3.1-3]: DUP says that we sent it before, not that the publisher did.
        let dup = delivery.attempts > 0 && guarantee.qos() != Qos::AtMostOnce;
        if let Some(dialect) = self.shared_dialect(delivery, limits) {
            let whole = delivery
                .message
                .wire
                .get_or_encode(dialect, || encode_shared(delivery, limits.version, &self.plain));
            return Shared::of(whole)
                .filter(|shared| shared.packet_bytes(guarantee) <= limits.packet_bytes_max)
                .map(|shared| {
                    shared.write(dup, delivery.retain, guarantee, to);
                    to.count_packet();
                })
                .is_some();
        }
        let Some(topic) = convert::topic_of(&delivery.message, &self.plain) else {
            return false;
        };
        let alias = if self.aliases.is_empty() { None } else { self.aliases.find(&topic) };
        let properties = match (limits.version, alias) {
            (Version::V31 | Version::V311, _) => None,
            (Version::V5, None) => convert::properties_out(delivery, None, &self.plain),
            (Version::V5, Some(Alias::Known(alias) | Alias::New(alias))) => {
                convert::properties_out(delivery, Some(alias), &self.plain)
            }
        };
        let form = Form {
            version: limits.version,
            dup,
            retain: delivery.retain,
            delivery: guarantee,
            topic: if matches!(alias, Some(Alias::Known(_))) { "" } else { &topic },
            properties: properties.as_ref(),
            payload: &delivery.message.payload,
        };
        if !form.write(limits.packet_bytes_max, to) {
            return false;
        }
        to.count_packet();
        if let Some(Alias::New(alias)) = alias {
            self.aliases.define(&topic, alias);
        }
        true
    }

    /// The slot for a message that goes to many, if nothing in it is this receiver's own.
    fn shared_dialect(&self, delivery: &Delivery, limits: &Limits) -> Option<Dialect> {
        // The queue and the delivery hold one each; whatever is beyond that are other receivers.
        if Arc::strong_count(&delivery.message) <= 2 {
            return None;
        }
        match limits.version {
            Version::V31 | Version::V311 => Some(Dialect::Mqtt3),
            Version::V5 => {
                let is_own = !self.aliases.is_empty()
                    || !delivery.subscription_ids.is_empty()
                    || delivery.expires_in_ms.is_some()
                    || delivery.offset.is_some();
                (!is_own).then_some(Dialect::Mqtt5)
            }
        }
    }

    /// PUBACK, PUBREC or PUBCOMP came in.
    ///
    /// # Errors
    ///
    /// The acknowledgement belongs to another QoS than the message.
    pub(crate) fn answered(
        &mut self,
        id: PacketId,
        answer: Answer,
        limits: &Limits,
        tickets: &mut Tickets,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        match self.inflight.answered(id, answer) {
            Step::Accept(lent) => {
                settle(lent, Outcome::Accepted, out);
                self.resume(limits, out);
            }
            Step::Receive(lent) => {
                // [MQTT-4.3.3-6] holds over a restart too: PUBREL waits until this is durable.
                let ticket = tickets.next();
                self.seldom.get_or_insert_default().receiving.push_back((ticket, id));
                out.requests.push(submit(ticket, true, lent, Outcome::Received));
            }
            Step::Pubrel => reply::ack(limits, Packet::Pubrel, id, Reason::Success, None, &mut out.wire),
            // 4.3.3: the client is told to let go of an id that we do not know; in 3.x without saying why.
            Step::Unknown if answer == Answer::Pubrec => {
                let reason = Reason::PacketIdentifierNotFound;
                reply::ack(limits, Packet::Pubrel, id, reason, None, &mut out.wire);
            }
            Step::Unknown | Step::Ignore => {}
            Step::Violation => return Err(WRONG_ACK),
        }
        Ok(())
    }

    /// The broker answered a submit. Whether it was one of these.
    ///
    /// # Errors
    ///
    /// What the client has cannot be written down.
    pub(crate) fn submitted(
        &mut self,
        ticket: Ticket,
        result: &Result<Submitted, Refusal>,
        limits: &Limits,
        out: &mut Outbox,
    ) -> Result<bool, Fault> {
        let Some(seldom) = &mut self.seldom else { return Ok(false) };
        let Some((_, id)) = seldom.receiving.pop_front_if(|(receiving, _)| *receiving == ticket) else {
            return Ok(false);
        };
        if let Err(refusal) = result {
            let reason = convert::reason(refusal, Place::DisconnectByServer);
            return Err(Fault { reason, text: refusal.to_string().into() });
        }
        if self.inflight.received(id) {
            reply::ack(limits, Packet::Pubrel, id, Reason::Success, None, &mut out.wire);
        }
        Ok(true)
    }
}

/// The form that all receivers of this version share; nothing, if MQTT cannot write the message.
fn encode_shared(delivery: &Delivery, version: Version, plain: &ExchangeName) -> Bytes {
    let Some(topic) = convert::topic_of(&delivery.message, plain) else {
        return Bytes::new();
    };
    let properties =
        if version.has_properties() { convert::properties_out(delivery, None, plain) } else { None };
    let form = Form {
        version,
        dup: false,
        retain: false,
        delivery: Guarantee::AtMostOnce,
        topic: &topic,
        properties: properties.as_ref(),
        payload: &delivery.message.payload,
    };
    form.to_shared()
}

const fn lent(delivery: &Delivery) -> Lent {
    Lent { consumer: delivery.consumer, tag: delivery.tag }
}

fn settle(lent: Lent, outcome: Outcome, out: &mut Outbox) {
    out.requests.push(submit(QUIET, false, lent, outcome));
}

fn submit(ticket: Ticket, answer: bool, lent: Lent, outcome: Outcome) -> Request {
    let Lent { consumer, tag } = lent;
    let settle = Settle { consumer, tag, outcome };
    Request::Submit(Submit { ticket, answer, operations: smallvec![Operation::Settle(settle)] })
}

const NOTHING_TO_SETTLE: DeliveryTag = DeliveryTag(0);
const WRONG_ACK: Fault =
    Fault::new(Reason::ProtocolError, "4.3: an acknowledgement that belongs to another QoS than the message");
