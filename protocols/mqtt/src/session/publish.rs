//! PUBLISH in, to its last ack.

use std::collections::VecDeque;

use bytestring::ByteString;
use model::event::Submitted;
use model::key::RoutingKey;
use model::name::ExchangeName;
use model::outbox::Outbox;
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{Operation, Publish as Message, Release, Request, Submit, Ticket};
use smallvec::SmallVec;

use crate::alias::AliasesIn;
use crate::convert;
use crate::dedup::{Dedup, Entry};
use crate::limits::{Limits, Options};
use crate::packet::{Ack, Guarantee, Packet, PacketId, Publish};
use crate::reason::{Fault, Place, Reason};
use crate::session::reply;
use crate::session::ticket::{QUIET, Tickets};
use crate::topic::TopicName;

/// What the client publishes, as far as it is not finished.
#[derive(Debug)]
pub(crate) struct Incoming {
    aliases: AliasesIn,
    dedup: Dedup,
    /// What is to be acknowledged once the broker answers; answers come in this order, so acknowledgements leave in the
    /// order the messages came [MQTT-4.6.0-2], [MQTT-4.6.0-3].
    waiting: VecDeque<Waiting>,
    /// How many QoS 1 and QoS 2 messages count against our Receive Maximum now.
    counted: u16,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    id: PacketId,
    ack: Due,
}

/// What is due when the broker has answered.
#[derive(Debug)]
enum Due {
    Puback,
    /// For a message that carried its id into `dedup`.
    Pubrec,
    /// For a repetition of the message that this submit carried; `None`: in an earlier connection.
    PubrecAgain(Option<Ticket>),
    /// Refused by us already; what is waited for is only its turn.
    Refused(Qos, Reason, Option<Box<str>>),
}

impl Incoming {
    /// `unreleased`: the ids that the session brought along.
    pub(crate) fn new(limits: &Limits, unreleased: &[u16]) -> Self {
        Self {
            aliases: AliasesIn::new(limits.aliases_in),
            dedup: Dedup::resume(unreleased),
            waiting: VecDeque::new(),
            counted: 0,
        }
    }

    /// Whether so much is unanswered that reading on would only make it more.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// A PUBLISH came in.
    ///
    /// # Errors
    ///
    /// What ends the connection: aliases, the Receive Maximum, in 3.x a topic beyond our limits.
    pub(crate) fn publish(
        &mut self,
        mut packet: Publish,
        limits: &Limits,
        options: &Options,
        tickets: &mut Tickets,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let alias = packet.properties.as_ref().and_then(|properties| properties.topic_alias);
        let topic = self.aliases.resolve(packet.topic.take(), alias)?;
        let delivery = packet.delivery;
        let message = message(packet, topic, options);
        if let (Err(Refused { reason: Reason::TopicNameInvalid, why }), None) =
            (&message, limits.receive_maximum)
        {
            let text = why.clone().unwrap_or_default().into_string().into();
            return Err(Fault { reason: Reason::TopicNameInvalid, text });
        }
        let Some(id) = delivery.id() else {
            // A refused one is silently dropped: there is no packet to say so (3.3.5 of 3.1.1, 4.13.2).
            if let Ok(message) = message {
                out.requests.push(submit(QUIET, false, message));
            }
            return Ok(());
        };
        let is_exactly_once = delivery.qos() == Qos::ExactlyOnce;
        let ticket = tickets.next();
        if is_exactly_once && let Some(entry) = self.dedup.get_mut(id) {
            // [MQTT-4.3.3-10]: not a second message, whatever its DUP says. PUBREC waits until the first one may have it.
            let ack = Due::PubrecAgain(entry.submit);
            if !std::mem::replace(&mut entry.is_counted, true) {
                self.count(limits)?;
            }
            self.await_turn(Waiting { ticket, id, ack }, out);
            return Ok(());
        }
        self.count(limits)?;
        match message {
            Err(refused) => {
                let ack = Due::Refused(delivery.qos(), refused.reason, refused.why);
                self.await_turn(Waiting { ticket, id, ack }, out);
            }
            Ok(message) => {
                let ack = if is_exactly_once { Due::Pubrec } else { Due::Puback };
                if is_exactly_once {
                    self.dedup.insert(id, Entry { submit: Some(ticket), is_counted: true });
                }
                self.waiting.push_back(Waiting { ticket, id, ack });
                out.requests.push(submit(ticket, true, message));
            }
        }
        Ok(())
    }

    /// Nothing is to be done; what is due is due behind what was asked before.
    fn await_turn(&mut self, waiting: Waiting, out: &mut Outbox) {
        let ticket = waiting.ticket;
        self.waiting.push_back(waiting);
        out.requests.push(Request::Submit(Submit { ticket, answer: true, operations: SmallVec::new() }));
    }

    /// [MQTT-3.3.4-7]: no more than we said may be under way.
    fn count(&mut self, limits: &Limits) -> Result<(), Fault> {
        match limits.receive_maximum {
            Some(maximum) if self.counted >= maximum => Err(TOO_MANY),
            Some(_) => {
                self.counted += 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn uncount(&mut self) {
        self.counted = self.counted.saturating_sub(1);
    }

    /// The broker answered a submit. Whether it was one of these.
    ///
    /// # Errors
    ///
    /// A refusal that the protocol has no acknowledgement for.
    pub(crate) fn submitted(
        &mut self,
        ticket: Ticket,
        result: &Result<Submitted, Refusal>,
        limits: &Limits,
        out: &mut Outbox,
    ) -> Result<bool, Fault> {
        let Some(waiting) = self.waiting.pop_front_if(|waiting| waiting.ticket == ticket) else {
            return Ok(false);
        };
        let id = waiting.id;
        let (kind, place): (fn(Ack) -> Packet, Place) = match waiting.ack {
            Due::Puback | Due::Refused(Qos::AtMostOnce | Qos::AtLeastOnce, ..) => {
                (Packet::Puback, Place::Puback)
            }
            Due::Pubrec | Due::PubrecAgain(_) | Due::Refused(Qos::ExactlyOnce, ..) => {
                (Packet::Pubrec, Place::Pubrec)
            }
        };
        let (reason, why) = match (&waiting.ack, result) {
            (Due::Refused(_, reason, why), Ok(_)) => (*reason, why.as_deref().map(str::to_owned)),
            (Due::PubrecAgain(first), Ok(_)) if !self.dedup.stands(id, *first) => {
                (Reason::UnspecifiedError, None)
            }
            (Due::Puback | Due::Pubrec | Due::PubrecAgain(_), Ok(submitted)) => {
                (if submitted.is_routed() { Reason::Success } else { Reason::NoMatchingSubscribers }, None)
            }
            (_, Err(refusal)) => (acknowledged(refusal, limits, place)?, Some(refusal.to_string())),
        };
        self.settle(&waiting, ticket, reason);
        reply::ack(limits, kind, id, reason, why, &mut out.wire);
        Ok(true)
    }

    /// Frees what an acknowledgement frees: at QoS 1 always, at QoS 2 only if it is an error [MQTT-4.3.3-9].
    fn settle(&mut self, waiting: &Waiting, ticket: Ticket, reason: Reason) {
        match waiting.ack {
            Due::Puback | Due::Refused(..) => self.uncount(),
            Due::Pubrec if reason.is_error() => {
                if self.dedup.remove_submit(waiting.id, ticket).is_some() {
                    self.uncount();
                }
            }
            Due::Pubrec | Due::PubrecAgain(_) => {}
        }
    }

    /// PUBREL came in: the id is let go of, and the broker is asked even if we never heard of it.
    pub(crate) fn pubrel(&mut self, id: PacketId, tickets: &mut Tickets, out: &mut Outbox) {
        if self.dedup.remove(id).is_some_and(|entry| entry.is_counted) {
            self.uncount();
        }
        out.requests.push(Request::Release(Release { ticket: tickets.next(), id: id.get() }));
    }
}

/// The id is free, durably: PUBCOMP [MQTT-4.3.3-11], also if it was not known.
pub(crate) fn released(id: u16, is_known: bool, limits: &Limits, out: &mut Outbox) {
    let reason = if is_known { Reason::Success } else { Reason::PacketIdentifierNotFound };
    if let Some(id) = PacketId::new(id) {
        reply::ack(limits, Packet::Pubcomp, id, reason, None, &mut out.wire);
    }
}

/// A PUBLISH that we refuse ourselves.
struct Refused {
    reason: Reason,
    why: Option<Box<str>>,
}

/// The message of a PUBLISH, or the reason why it cannot be one.
fn message(packet: Publish, topic: TopicName, options: &Options) -> Result<Message, Refused> {
    let delivery = packet.delivery;
    let refused = |reason: Reason, why: &str| Refused { reason, why: Some(why.into()) };
    options.check(&topic).map_err(|beyond| refused(Reason::TopicNameInvalid, &beyond.to_string()))?;
    let (waits_ms, topic) = convert::delayed(topic).map_err(|why| refused(Reason::TopicNameInvalid, why))?;
    let (exchange, key) = convert::place(topic, &options.exchange)
        .ok_or(Refused { reason: Reason::NotAuthorized, why: None })?;
    if !convert::is_as_announced(packet.properties.as_deref(), &packet.payload) {
        return Err(refused(Reason::PayloadFormatInvalid, NO_TEXT));
    }
    let mut properties = packet.properties;
    let expiry_s = properties.as_ref().and_then(|properties| properties.message_expiry_s);
    let mut properties =
        properties.as_mut().and_then(|properties| convert::properties_in(properties, &options.exchange));
    let publication = properties
        .as_deref()
        .map_or(Ok(None), convert::publication)
        .map_err(|why| refused(Reason::ImplementationSpecific, why))?;
    let said = properties.as_deref().map_or(&[][..], |properties| &properties.headers);
    convert::durability(said).map_err(|why| refused(Reason::ImplementationSpecific, why))?;
    let delay_ms = convert::delay(waits_ms, &mut properties)
        .map_err(|why| refused(Reason::ImplementationSpecific, why))?;
    Ok(Message {
        exchange,
        key,
        payload: packet.payload,
        qos: delivery.qos(),
        retain: packet.retain,
        persistent: delivery.qos() != Qos::AtMostOnce,
        expiry_ms: expiry_s.map(|seconds| u64::from(seconds) * 1000),
        delay_ms,
        properties,
        publication,
        remember: match delivery {
            Guarantee::ExactlyOnce(id) => Some(id.get()),
            Guarantee::AtMostOnce | Guarantee::AtLeastOnce(_) => None,
        },
        declare: None,
    })
}

fn submit(ticket: Ticket, answer: bool, message: Message) -> Request {
    // In place: a message is large, and each step on its way would be a copy.
    let operations = SmallVec::from_buf([Operation::Publish(message)]);
    Request::Submit(Submit { ticket, answer, operations })
}

/// How a refusal is acknowledged. In 3.x there is no acknowledgement that says no: what was not allowed is acknowledged
/// all the same [MQTT-3.3.5-2 of 3.1.1], what was not possible ends the connection, so that the client tries again.
fn acknowledged(refusal: &Refusal, limits: &Limits, place: Place) -> Result<Reason, Fault> {
    let is_stopping = matches!(refusal, Refusal::ShuttingDown);
    if !is_stopping && limits.version.has_properties() {
        return Ok(convert::reason(refusal, place));
    }
    match refusal {
        Refusal::Denied { .. } | Refusal::Forbidden { .. } | Refusal::Vetoed { .. } => Ok(Reason::Success),
        Refusal::BadCredentials(_)
        | Refusal::NotProven(_)
        | Refusal::BadToken(_)
        | Refusal::Expired { .. }
        | Refusal::NoMethod { .. }
        | Refusal::NoExchange(_)
        | Refusal::Internal(_)
        | Refusal::NoQueue(_)
        | Refusal::NoBinding(_)
        | Refusal::InUse { .. }
        | Refusal::Exclusive(_)
        | Refusal::Inequivalent { .. }
        | Refusal::AtOdds { .. }
        | Refusal::NoStream(_)
        | Refusal::LimitReached(_)
        | Refusal::Busy(_)
        | Refusal::Banned { .. }
        | Refusal::NoVhost(_)
        | Refusal::Invalid(_)
        | Refusal::ShuttingDown => {
            let reason = convert::reason(refusal, Place::DisconnectByServer);
            Err(Fault { reason, text: refusal.to_string().into() })
        }
    }
}

/// Unanswered messages of one connection. In 5.0 the Receive Maximum is far below; in 3.x nothing else bounds them.
const WAITING_MAX: usize = 65_535;

const TOO_MANY: Fault = Fault::new(
    Reason::ReceiveMaximumExceeded,
    "[MQTT-3.3.4-7] more QoS 1 and QoS 2 messages under way than the Receive Maximum",
);
const NO_TEXT: &str = "3.3.2.3.2: the payload is announced as UTF-8, and is not";
/// Where a PUBLISH to this topic asks the broker to put its message, for whoever wants to know before.
///
/// # Errors
///
/// Why it would be refused before the broker is asked.
pub fn address(topic: &str, options: &Options) -> Result<(ExchangeName, RoutingKey), String> {
    let parsed = TopicName::parse(ByteString::from(topic)).map_err(|error| error.to_string())?;
    options.check(&parsed).map_err(|beyond| beyond.to_string())?;
    let (_, parsed) = convert::delayed(parsed)?;
    convert::place(parsed, &options.exchange).ok_or_else(|| {
        format!("{topic:?}: clients do not publish there; topics that begin with $ are the broker's own")
    })
}
