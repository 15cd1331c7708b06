//! SUBSCRIBE and UNSUBSCRIBE.

use std::borrow::Cow;

use bytestring::ByteString;
use model::durability::Durability;
use model::grant::Grant;
use model::name::{ConsumerId, ShareName};
use model::outbox::Outbox;
use model::qos::Qos;
use model::queue::HeaderMatch;
use model::refusal::Refusal;
use model::request::{
    Replay, Request, Source, Subscribe as Ask, Subscription, Target, Ticket, Unsubscribe as AskNot,
    Unsubscription,
};
use model::stream::Start;
use smallvec::SmallVec;

use crate::convert;
use crate::limits::{Limits, Options};
use crate::packet::{Filter, Packet, PacketId, Properties, RetainHandling, Suback, Subscribe, Unsubscribe};
use crate::reason::{Fault, Place, Reason};
use crate::session::reply;
use crate::session::streams::{self, Streams, Wanted};
use crate::session::ticket::Tickets;
use crate::topic::{FilterError, TopicFilter};
use crate::version::Version;

/// The requests that the broker has not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    waiting: Vec<Waiting>,
    /// In a box: few clients read any.
    streams: Option<Box<Streams>>,
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
    /// The same of a stream, by who reads it, and with the QoS that is granted.
    Reads(ConsumerId, Qos),
    /// Refused by us.
    Refused(Reason),
}

impl Subscriptions {
    /// Whether so many requests are unanswered that reading on would only make it more.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// What the client reads of streams.
    pub(crate) fn streams(&self) -> Option<&Streams> {
        self.streams.as_deref()
    }

    fn forget(&mut self, consumer: ConsumerId) {
        if let Some(streams) = &mut self.streams {
            streams.forget(consumer);
        }
    }

    /// What that one got is denied by now.
    pub(crate) fn revoked(&mut self, consumer: ConsumerId) {
        self.forget(consumer);
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
        let mut asking = Asking::new(packet, limits, options);
        for filter in &packet.filters {
            let slot = if is_too_much {
                Err(Reason::QuotaExceeded)
            } else {
                match parse(&filter.text, limits, options)? {
                    Ok(parsed) => asking.ask(parsed, filter, &mut self.streams),
                    Err(reason) => Err(reason),
                }
            };
            slots.push(slot.unwrap_or_else(|reason| {
                if let Err(beyond) = options.check_bytes(filter.text.len()) {
                    asking.why.get_or_insert_with(|| beyond.to_string().into());
                }
                Slot::Refused(reason)
            }));
        }
        let Asking { subscriptions, over, why, .. } = asking;
        if !over.is_empty() {
            // Nobody waits for the answer: what begins in its place is answered.
            let ticket = tickets.next();
            out.requests.push(Request::Unsubscribe(Box::new(AskNot { ticket, subscriptions: over })));
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
                Slot::Reads(consumer, qos) => match results.next() {
                    Some(Ok(_)) => granted(qos),
                    Some(Err(refusal)) => {
                        self.forget(consumer);
                        let reason = refused(&refusal, qos, limits)?;
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
            let stream = Wanted::of(text).filter(|_| parsed.is_ok());
            let stop = |wanted| self.streams.as_mut()?.stop(&wanted);
            let ending = stream.map(|wanted| match wanted.map(stop) {
                Ok(Some(ending)) => Ok(ending),
                Ok(None) => Err(Reason::NoSubscriptionExisted),
                Err(_) => Err(Reason::TopicFilterInvalid),
            });
            let binding = || {
                parsed.and_then(|parsed| {
                    let share = parsed.share().map(ShareName::new);
                    let (exchange, pattern) =
                        convert::source(parsed, &options.exchange).ok_or(Reason::TopicFilterInvalid)?;
                    Ok(Unsubscription::Binding { exchange, pattern, share })
                })
            };
            match ending.unwrap_or_else(binding) {
                Ok(ending) => {
                    slots.push(Slot::Asked(Qos::AtMostOnce));
                    subscriptions.push(ending);
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
            Slot::Asked(_) | Slot::Reads(..) => {
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

/// What the filters of a SUBSCRIBE ask the broker for, one after the other.
struct Asking<'a> {
    properties: Option<&'a Properties>,
    limits: &'a Limits,
    options: &'a Options,
    arguments: Result<HeaderMatch, &'static str>,
    durability: Result<Durability, &'static str>,
    start: Result<Option<Start>, Cow<'static, str>>,
    /// What is to begin.
    subscriptions: Vec<Subscription>,
    /// What ends before.
    over: Vec<Unsubscription>,
    /// Why something is refused.
    why: Option<Cow<'static, str>>,
}

impl<'a> Asking<'a> {
    fn new(packet: &'a Subscribe, limits: &'a Limits, options: &'a Options) -> Self {
        let properties = packet.properties.as_deref();
        let user = properties.map_or(&[][..], |properties| &properties.user);
        Self {
            properties,
            limits,
            options,
            arguments: convert::arguments(user),
            durability: convert::durability(user),
            start: streams::start(user),
            subscriptions: Vec::new(),
            over: Vec::new(),
            why: None,
        }
    }

    /// Asks for one; or the reason why not.
    fn ask(
        &mut self,
        parsed: TopicFilter<'_>,
        filter: &Filter,
        streams: &mut Option<Box<Streams>>,
    ) -> Result<Slot, Reason> {
        if let Some(wanted) = Wanted::of(&filter.text) {
            return self.read(wanted, filter, streams);
        }
        let mut source = source(parsed, filter, self.properties, self.limits, self.options)?;
        source.grant.durability = match self.durability {
            Ok(level) => level,
            Err(text) => return Err(self.refuse(Reason::ImplementationSpecific, text)),
        };
        if convert::has_arguments(&source.exchange, &self.options.exchange) {
            match &self.arguments {
                Ok(arguments) => source.arguments.clone_from(arguments),
                Err(text) => {
                    let text = *text;
                    return Err(self.refuse(Reason::ImplementationSpecific, text));
                }
            }
        }
        self.subscriptions.push(subscription(source, filter.retain_handling));
        Ok(Slot::Asked(filter.qos))
    }

    fn read(
        &mut self,
        wanted: Result<Wanted<'_>, &'static str>,
        filter: &Filter,
        streams: &mut Option<Box<Streams>>,
    ) -> Result<Slot, Reason> {
        let wanted = wanted.map_err(|text| self.refuse(Reason::TopicFilterInvalid, text))?;
        let start = match &self.start {
            Ok(start) => *start,
            Err(text) => {
                let text = text.clone();
                return Err(self.refuse(Reason::ImplementationSpecific, text));
            }
        };
        let ids = subscription_ids(self.properties);
        let (consumer, subscription, over) =
            streams.get_or_insert_default().read(&wanted, start, filter.qos, ids, self.limits);
        self.subscriptions.push(subscription);
        self.over.extend(over);
        Ok(Slot::Reads(consumer, streams::granted(filter.qos)))
    }

    fn refuse(&mut self, reason: Reason, text: impl Into<Cow<'static, str>>) -> Reason {
        self.why = Some(text.into());
        reason
    }
}

/// What a SUBSCRIBE to this filter asks the broker to bind, and which queue it would get messages from, for whoever wants to know
/// before.
///
/// # Errors
///
/// Why it would be refused before the broker is asked.
pub fn foresee(filter: &str, options: &Options) -> Result<(Option<Source>, Target), String> {
    options.check_bytes(filter.len()).map_err(|beyond| beyond.to_string())?;
    let parsed = TopicFilter::parse(filter, options.topic_levels_max).map_err(|error| error.to_string())?;
    if let Some(wanted) = Wanted::of(filter) {
        return Ok((None, Target::Existing(wanted?.queue())));
    }
    let share = parsed.share().map(ShareName::new);
    let (exchange, pattern) = convert::source(parsed, &options.exchange).ok_or_else(|| {
        format!("{filter:?} cannot be bound: queues are consumed over STOMP, and $exchange/NAME/… names one exchange")
    })?;
    let source =
        Source { exchange, pattern, arguments: HeaderMatch::default(), share, grant: Grant::default() };
    Ok((Some(source), Target::Session))
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
    let grant = Grant {
        qos: filter.qos,
        subscription_ids: subscription_ids(properties),
        // A share has no publisher of its own to leave out [MQTT-3.8.3-4].
        no_local: filter.no_local || (limits.is_bridge && share.is_none()),
        retain_as_published: filter.retain_as_published || limits.is_bridge,
        ..Grant::default()
    };
    Ok(Source { exchange, pattern, arguments: HeaderMatch::default(), share, grant })
}

fn subscription_ids(properties: Option<&Properties>) -> SmallVec<[u32; 1]> {
    let all = properties.into_iter().flat_map(|properties| &properties.subscription_ids);
    all.map(|id| id.get()).collect()
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
