//! SUBSCRIBE and UNSUBSCRIBE.

use std::borrow::Cow;

use bytestring::ByteString;
use model::grant::Grant;
use model::name::ShareName;
use model::outbox::Outbox;
use model::qos::Qos;
use model::queue::HeaderMatch;
use model::refusal::Refusal;
use model::request::{
    Replay, Request, Source, Subscribe as Ask, Subscription, Target, Ticket, Unsubscribe as AskNot,
    Unsubscription,
};
use smallvec::SmallVec;

use crate::convert;
use crate::limits::{Limits, Options};
use crate::packet::{Filter, Packet, PacketId, Properties, RetainHandling, Suback, Subscribe, Unsubscribe};
use crate::reason::{Fault, Place, Reason};
use crate::session::reply;
use crate::session::ticket::Tickets;
use crate::topic::{FilterError, TopicFilter};
use crate::version::Version;

/// The requests that the broker has not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    waiting: Vec<Waiting>,
}

/// A SUBACK or an UNSUBACK in the making: one slot per filter, in the order of the filters [MQTT-3.9.3-1],
/// [MQTT-3.11.3-1].
#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    id: PacketId,
    slots: Vec<Slot>,
    /// What the client is told of a refusal of ours.
    why: Option<Cow<'static, str>>,
}

/// What is known of one filter.
#[derive(Debug, Clone, Copy)]
enum Slot {
    /// The broker will say; the QoS that was asked for.
    Asked(Qos),
    /// Refused by us.
    Refused(Reason),
}

impl Subscriptions {
    /// Whether so many requests are unanswered that reading on would only make it more.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// A SUBSCRIBE came in.
    ///
    /// # Errors
    ///
    /// What cannot be answered filter by filter: in 3.x a filter that is none.
    pub(crate) fn subscribe(
        &mut self,
        packet: &Subscribe,
        limits: &Limits,
        options: &Options,
        tickets: &mut Tickets,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let is_too_much = packet.filters.len() > options.subscriptions_per_packet;
        let mut slots = Vec::with_capacity(packet.filters.len());
        let mut subscriptions = Vec::new();
        let user = packet.properties.as_deref().map_or(&[][..], |properties| &properties.user);
        let arguments = convert::arguments(user);
        let durability = convert::durability(user);
        let mut why = None;
        for filter in &packet.filters {
            let source = if is_too_much {
                Err(Reason::QuotaExceeded)
            } else {
                parse(&filter.text, limits, options)?
                    .and_then(|parsed| source(parsed, filter, packet.properties.as_deref(), limits, options))
            };
            match source {
                Ok(mut source) => {
                    match durability {
                        Ok(level) => source.grant.durability = level,
                        Err(text) => {
                            why = Some(text.into());
                            slots.push(Slot::Refused(Reason::ImplementationSpecific));
                            continue;
                        }
                    }
                    if convert::has_arguments(&source.exchange, &options.exchange) {
                        match &arguments {
                            Ok(arguments) => source.arguments.clone_from(arguments),
                            Err(text) => {
                                why = Some((*text).into());
                                slots.push(Slot::Refused(Reason::ImplementationSpecific));
                                continue;
                            }
                        }
                    }
                    slots.push(Slot::Asked(filter.qos));
                    subscriptions.push(subscription(source, filter.retain_handling));
                }
                Err(reason) => {
                    if let Err(beyond) = options.check_bytes(filter.text.len()) {
                        why.get_or_insert_with(|| beyond.to_string().into());
                    }
                    slots.push(Slot::Refused(reason));
                }
            }
        }
        let ticket = tickets.next();
        self.waiting.push(Waiting { ticket, id: packet.id, slots, why });
        if subscriptions.is_empty() {
            return self.subscribed(ticket, Vec::new(), limits, out);
        }
        out.requests.push(Request::Subscribe(Box::new(Ask { ticket, subscriptions })));
        Ok(())
    }

    /// The broker answered: SUBACK.
    ///
    /// # Errors
    ///
    /// In 3.1 a refusal that cannot be told.
    pub(crate) fn subscribed(
        &mut self,
        ticket: Ticket,
        results: Vec<Result<Qos, Refusal>>,
        limits: &Limits,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let Some(waiting) = self.take(ticket) else {
            return Ok(());
        };
        let mut results = results.into_iter();
        let mut why = waiting.why.map(Cow::into_owned);
        let mut reasons = Vec::with_capacity(waiting.slots.len());
        for slot in waiting.slots {
            reasons.push(match slot {
                Slot::Refused(reason) if limits.version == Version::V31 => return Err(untold(reason)),
                Slot::Refused(reason) => reason,
                Slot::Asked(asked) => match results.next() {
                    Some(Ok(qos)) => granted(qos),
                    Some(Err(refusal)) => {
                        let reason = refused(&refusal, asked, limits)?;
                        why.get_or_insert_with(|| refusal.to_string());
                        reason
                    }
                    None => Reason::UnspecifiedError,
                },
            });
        }
        let properties = why.filter(|_| limits.may_explain).map(reply::explained);
        send(Packet::Suback(Suback { id: waiting.id, reasons, properties }), limits, out)
    }

    /// An UNSUBSCRIBE came in.
    ///
    /// # Errors
    ///
    /// In 3.x a filter that is none.
    pub(crate) fn unsubscribe(
        &mut self,
        packet: &Unsubscribe,
        limits: &Limits,
        options: &Options,
        tickets: &mut Tickets,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let mut slots = Vec::with_capacity(packet.filters.len());
        let mut subscriptions = Vec::new();
        for text in &packet.filters {
            let parsed = parse(text, limits, options)?;
            let binding = parsed.and_then(|parsed| {
                let share = parsed.share().map(ShareName::new);
                let (exchange, pattern) =
                    convert::source(parsed, &options.exchange).ok_or(Reason::TopicFilterInvalid)?;
                Ok(Unsubscription::Binding { exchange, pattern, share })
            });
            match binding {
                Ok(binding) => {
                    slots.push(Slot::Asked(Qos::AtMostOnce));
                    subscriptions.push(binding);
                }
                Err(reason) => slots.push(Slot::Refused(reason)),
            }
        }
        let ticket = tickets.next();
        self.waiting.push(Waiting { ticket, id: packet.id, slots, why: None });
        if subscriptions.is_empty() {
            return self.unsubscribed(ticket, Vec::new(), limits, out);
        }
        out.requests.push(Request::Unsubscribe(Box::new(AskNot { ticket, subscriptions })));
        Ok(())
    }

    /// The broker answered: UNSUBACK [MQTT-3.10.4-5].
    ///
    /// # Errors
    ///
    /// The client takes no packet as large as the answer.
    pub(crate) fn unsubscribed(
        &mut self,
        ticket: Ticket,
        existed: Vec<bool>,
        limits: &Limits,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let Some(waiting) = self.take(ticket) else {
            return Ok(());
        };
        let mut existed = existed.into_iter();
        let reasons = waiting.slots.into_iter().map(|slot| match slot {
            Slot::Refused(reason) => reason,
            Slot::Asked(_) => {
                if existed.next().unwrap_or(false) {
                    Reason::Success
                } else {
                    Reason::NoSubscriptionExisted
                }
            }
        });
        let suback = Suback { id: waiting.id, reasons: reasons.collect(), properties: None };
        send(Packet::Unsuback(suback), limits, out)
    }

    fn take(&mut self, ticket: Ticket) -> Option<Waiting> {
        let at = self.waiting.iter().position(|waiting| waiting.ticket == ticket)?;
        let waiting = self.waiting.remove(at);
        if self.waiting.is_empty() {
            // Clients subscribe when they come, and then hardly ever: what that took is given back.
            self.waiting = Vec::new();
        }
        Some(waiting)
    }
}

/// What a SUBSCRIBE to this filter asks the broker to bind to the session's queue, for whoever wants to know before.
///
/// # Errors
///
/// Why it would be refused before the broker is asked.
pub fn foresee(filter: &str, options: &Options) -> Result<Source, String> {
    options.check_bytes(filter.len()).map_err(|beyond| beyond.to_string())?;
    let parsed = TopicFilter::parse(filter, options.topic_levels_max).map_err(|error| error.to_string())?;
    let share = parsed.share().map(ShareName::new);
    let (exchange, pattern) = convert::source(parsed, &options.exchange).ok_or_else(|| {
        format!("{filter:?} cannot be bound: queues are consumed over STOMP, and $exchange/NAME/… names one exchange")
    })?;
    Ok(Source { exchange, pattern, arguments: HeaderMatch::default(), share, grant: Grant::default() })
}

/// A filter's parts; or the reason for its place in the answer; or, in 3.x, the end of the connection if it is none.
fn parse<'a>(
    text: &'a ByteString,
    limits: &Limits,
    options: &Options,
) -> Result<Result<TopicFilter<'a>, Reason>, Fault> {
    if options.check_bytes(text.len()).is_err() {
        return Ok(Err(Reason::TopicFilterInvalid));
    }
    match TopicFilter::parse(text, options.topic_levels_max) {
        Ok(filter) => Ok(Ok(filter)),
        // What no 3.x client can know to be special is not its fault.
        Err(FilterError::Share | FilterError::TooManyLevels) => Ok(Err(Reason::TopicFilterInvalid)),
        Err(FilterError::Empty | FilterError::LevelAfterHash | FilterError::MixedLevel)
            if limits.version.has_properties() =>
        {
            Ok(Err(Reason::TopicFilterInvalid))
        }
        Err(error @ (FilterError::Empty | FilterError::LevelAfterHash | FilterError::MixedLevel)) => {
            Err(Fault { reason: Reason::TopicFilterInvalid, text: error.to_string().into() })
        }
    }
}

fn source(
    parsed: TopicFilter<'_>,
    filter: &Filter,
    properties: Option<&Properties>,
    limits: &Limits,
    options: &Options,
) -> Result<Source, Reason> {
    let share = parsed.share().map(ShareName::new);
    let (exchange, pattern) = convert::source(parsed, &options.exchange).ok_or(Reason::TopicFilterInvalid)?;
    let subscription_ids: SmallVec<[u32; 1]> = properties
        .into_iter()
        .flat_map(|properties| &properties.subscription_ids)
        .map(|id| id.get())
        .collect();
    let grant = Grant {
        qos: filter.qos,
        subscription_ids,
        // A share has no publisher of its own to leave out [MQTT-3.8.3-4].
        no_local: filter.no_local || (limits.is_bridge && share.is_none()),
        retain_as_published: filter.retain_as_published || limits.is_bridge,
        ..Grant::default()
    };
    Ok(Source { exchange, pattern, arguments: HeaderMatch::default(), share, grant })
}

fn subscription(source: Source, retain_handling: RetainHandling) -> Subscription {
    let retained = match retain_handling {
        // 4.8.2: a shared subscription gets no retained messages.
        _ if source.share.is_some() => Replay::Never,
        RetainHandling::Always => Replay::Always,
        RetainHandling::IfNew => Replay::IfNew,
        RetainHandling::Never => Replay::Never,
    };
    Subscription { source: Some(source), queue: Target::Session, consumer: None, retained }
}

/// The reason of SUBACK that grants `qos` (3.9.3).
const fn granted(qos: Qos) -> Reason {
    match qos {
        Qos::AtMostOnce => Reason::Success,
        Qos::AtLeastOnce => Reason::GrantedQos1,
        Qos::ExactlyOnce => Reason::GrantedQos2,
    }
}

/// What a client is told of a refusal. 3.1 has no word for it: what is not allowed looks granted (3.1, 3.9), what is not
/// possible ends the connection.
fn refused(refusal: &Refusal, asked: Qos, limits: &Limits) -> Result<Reason, Fault> {
    let reason = convert::reason(refusal, Place::Suback);
    if limits.version.has_subscribe_failure() {
        return Ok(reason);
    }
    if matches!(refusal, Refusal::Denied { .. } | Refusal::Forbidden { .. } | Refusal::Vetoed { .. }) {
        return Ok(granted(asked));
    }
    Err(Fault { reason, text: refusal.to_string().into() })
}

const fn untold(reason: Reason) -> Fault {
    Fault::new(reason, "a subscription is refused, and MQTT 3.1 has no way to say so")
}

fn send(packet: Packet, limits: &Limits, out: &mut Outbox) -> Result<(), Fault> {
    if reply::send(limits, packet, &mut out.wire) { Ok(()) } else { Err(ANSWER_TOO_LARGE) }
}

/// Unanswered SUBSCRIBE and UNSUBSCRIBE of one connection.
const WAITING_MAX: usize = 64;

const ANSWER_TOO_LARGE: Fault = Fault::new(
    Reason::PacketTooLarge,
    "[MQTT-3.1.2-24] the answer to the request is larger than the client's maximum packet size",
);
