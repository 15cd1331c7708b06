//! Topics, properties and refusals: ours and theirs.

use std::borrow::Cow;
use std::num::NonZeroU16;

use bytestring::ByteString;
use model::delivery::Delivery;
use model::durability::Durability;
use model::key::{KeyPattern, Level, RoutingKey};
use model::message::Message;
use model::name::{ExchangeName, PublicationId};
use model::personal;
use model::properties::{Properties, ReplyTo};
use model::queue::{HeaderMatch, MatchMode};
use model::refusal::Refusal;
use model::request::Publish;
use model::stream::Start;

use crate::codec::wire::FIELD_BYTES_MAX;
use crate::packet::{self, SubscriptionId};
use crate::reason::{Place, Reason};
use crate::topic::{TopicFilter, TopicName, check_name};

/// Where a message for this topic goes, `plain` being the exchange of plain topics; `None` for topics that start with `$` and are not ours to give away (4.7.2).
pub(crate) fn place(topic: TopicName, plain: &ExchangeName) -> Option<(ExchangeName, RoutingKey)> {
    let text = topic.into_byte_string();
    if !text.starts_with('$') {
        return Some((plain.clone(), RoutingKey::new(text)));
    }
    if let Some(rest) = text.strip_prefix(EXCHANGE) {
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        return is_exchange(name).then(|| (exchange(name), RoutingKey::new(text.slice_ref(key))));
    }
    if let Some(rest) = text.strip_prefix(USER) {
        let (name, words) = rest.split_once('/').filter(|(_, words)| !words.is_empty())?;
        let level = personal::read_level(name)?;
        let key = if *level == *name { text.slice_ref(rest) } else { format!("{level}/{words}").into() };
        return Some((ExchangeName::USER, RoutingKey::new(key)));
    }
    if let Some(rest) = text.strip_prefix(SESSION) {
        let (name, words) = personal::split(rest);
        // Without a session's name first, the broker adds the publisher's own.
        let is_whole = if personal::is_session(name) { !words.is_empty() } else { !rest.is_empty() };
        return is_whole.then(|| (ExchangeName::SESSION, RoutingKey::new(text.slice_ref(rest))));
    }
    let queue = text.strip_prefix(QUEUE).filter(|queue| !queue.is_empty())?;
    Some((ExchangeName::DEFAULT, RoutingKey::new(text.slice_ref(queue))))
}

/// How long a message for this topic waits, in milliseconds, and the topic that it is for then: `$delayed/SECONDS/TOPIC`, as in
/// EMQX. `None`: the topic says nothing of that.
///
/// # Errors
///
/// It begins like that, and goes on in another way.
pub(crate) fn delayed(topic: TopicName) -> Result<(Option<u64>, TopicName), &'static str> {
    let Some(rest) = topic.as_str().strip_prefix(DELAYED) else { return Ok((None, topic)) };
    let (seconds, then) = rest.split_once('/').ok_or(NO_DELAY)?;
    let delay_ms = Publish::delay_ms_of_seconds(seconds).ok_or(NO_DELAY)?;
    if then.starts_with(DELAYED) {
        return Err("a topic is delayed once: $delayed/SECONDS/TOPIC, where TOPIC is not another such");
    }
    let then = topic.as_byte_string().slice_ref(then);
    TopicName::parse(then).map(|then| (Some(delay_ms), then)).map_err(|_| NO_DELAY)
}

/// How long a message waits, by its topic or by a user property, which goes no further; STOMP's header of that name is the same.
///
/// # Errors
///
/// It is no such number, or both say it.
pub(crate) fn delay(
    by_topic_ms: Option<u64>,
    properties: &mut Option<Box<Properties>>,
) -> Result<u64, &'static str> {
    let said = properties.as_deref().and_then(|properties| properties.header(Publish::DELAY_HEADER));
    let Some(said) = said else { return Ok(by_topic_ms.unwrap_or(0)) };
    let delay_ms = Publish::delay_ms_of(said)
        .ok_or("the user property x-delay must be a number of milliseconds, 0 to 4294967295000")?;
    if by_topic_ms.is_some() {
        return Err("the delay is said twice: by the topic and by the user property x-delay");
    }
    if let Some(own) = properties {
        own.headers.retain(|(name, _)| name != Publish::DELAY_HEADER);
        if **own == Properties::default() {
            *properties = None;
        }
    }
    Ok(delay_ms)
}

/// The topic that a message is delivered with; `None` if MQTT has no way to write it. What is for the receiver alone has
/// the topic that the receiver subscribes to, which does not say whose it is.
pub(crate) fn topic_of<'m>(message: &'m Message, plain: &ExchangeName) -> Option<Cow<'m, str>> {
    let own = match message.exchange.as_str() {
        "$user" => USER,
        "$session" => SESSION,
        _ => return topic(&message.exchange, &message.key, plain),
    };
    let topic = format!("{own}{}", personal::split(message.key.as_str()).1);
    check_name(&topic).ok().map(|()| Cow::Owned(topic))
}

fn topic<'a>(exchange: &ExchangeName, key: &'a RoutingKey, plain: &ExchangeName) -> Option<Cow<'a, str>> {
    // What the broker itself says under `$SYS` and the like stays in `amq.topic`.
    let home = if key.is_reserved() { &ExchangeName::TOPIC } else { plain };
    let key = key.as_str();
    let topic = match exchange.as_str() {
        _ if exchange == home => Cow::Borrowed(key),
        "" => Cow::Owned(format!("{QUEUE}{key}")),
        "$user" => Cow::Owned(format!("{USER}{key}")),
        "$session" => Cow::Owned(format!("{SESSION}{key}")),
        name => Cow::Owned(format!("{EXCHANGE}{name}/{key}")),
    };
    check_name(&topic).ok().map(|()| topic)
}

/// What a filter binds, `plain` being the exchange of plain topics; `None` if it asks for something that cannot be bound.
pub(crate) fn source(filter: TopicFilter<'_>, plain: &ExchangeName) -> Option<(ExchangeName, KeyPattern)> {
    let is = |level: &Level, text: &str| matches!(level, Level::Literal(literal) if **literal == *text);
    match filter.levels() {
        [first, name, rest @ ..] if is(first, EXCHANGE_LEVEL) => match name {
            Level::Literal(name) if is_exchange(name) => {
                Some((exchange(name), KeyPattern::new(rest.to_vec())))
            }
            Level::Literal(_) | Level::One | Level::Many => None,
        },
        // One's own: the broker knows who asks.
        [first, rest @ ..] if is(first, USER_LEVEL) || is(first, SESSION_LEVEL) => {
            let exchange = if is(first, USER_LEVEL) { ExchangeName::USER } else { ExchangeName::SESSION };
            (!rest.is_empty()).then(|| (exchange, KeyPattern::new(rest.to_vec())))
        }
        // Queues are consumed by name through another door, and streams are read; the default exchange has no bindings. What was
        // delayed comes under the topic that it was for.
        [first, ..] if OWN_LEVELS.iter().any(|own| is(first, own)) => None,
        [Level::Literal(first), ..] if first.starts_with('$') => {
            Some((ExchangeName::TOPIC, KeyPattern::new(filter.into_levels())))
        }
        _ => Some((plain.clone(), KeyPattern::new(filter.into_levels()))),
    }
}

/// What user properties of SUBSCRIBE ask of the headers of messages: `x-match`, and each other name with its value. One
/// without a value asks only that the header is there; of several with one name the first counts.
///
/// # Errors
///
/// `x-match` has none of its four values.
pub(crate) fn arguments(user: &[(ByteString, ByteString)]) -> Result<HeaderMatch, &'static str> {
    let mode = user.iter().find(|(name, _)| &**name == X_MATCH).map(|(_, value)| &**value);
    let mode = MatchMode::named(mode)
        .ok_or("the user property x-match must be all, any, all-with-x or any-with-x")?;
    let mut wanted: Vec<(ByteString, Option<ByteString>)> = Vec::new();
    for (name, value) in user {
        let is_ours = [X_MATCH, Durability::HEADER, Start::HEADER].contains(&&**name);
        if !is_ours && !wanted.iter().any(|(known, _)| known == name) {
            // On their own, not on the read buffer.
            let copy = |text: &ByteString| ByteString::from(&**text);
            wanted.push((copy(name), (!value.is_empty()).then(|| copy(value))));
        }
    }
    Ok(HeaderMatch { mode, wanted })
}

/// Whether messages of that exchange can be chosen by headers, as far as its name says.
pub(crate) fn has_arguments(exchange: &ExchangeName, plain: &ExchangeName) -> bool {
    let others = [
        ExchangeName::TOPIC,
        ExchangeName::DIRECT,
        ExchangeName::FANOUT,
        ExchangeName::USER,
        ExchangeName::SESSION,
    ];
    exchange != plain && !others.contains(exchange)
}

/// Whether a topic may name such an exchange. Those with `$` are the broker's own and have topics of their own.
fn is_exchange(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('$')
}

fn exchange(name: &str) -> ExchangeName {
    if name == AMQ_TOPIC { ExchangeName::TOPIC } else { ExchangeName::new(name) }
}

/// Whether a payload that is announced as UTF-8 is (3.3.2.3.2); one that nothing is said of is what it is.
pub(crate) fn is_as_announced(properties: Option<&packet::Properties>, payload: &[u8]) -> bool {
    let is_text = properties.is_some_and(|properties| properties.payload_is_text == Some(true));
    !is_text || std::str::from_utf8(payload).is_ok()
}

/// What a PUBLISH or a will says of its message; `None` if that is nothing.
pub(crate) fn properties_in(from: &mut packet::Properties, plain: &ExchangeName) -> Option<Box<Properties>> {
    let properties = Properties {
        content_type: from.content_type.take(),
        payload_is_text: from.payload_is_text,
        reply_to: from.response_topic.take().map(|topic| reply_to(topic, plain)),
        correlation: from.correlation_data.take(),
        priority: None,
        headers: std::mem::take(&mut from.user),
    };
    (!properties.is_empty()).then(|| Box::new(properties))
}

/// What the publisher calls the message, by a user property; STOMP's header of that name is the same.
///
/// # Errors
///
/// It is no such id.
pub(crate) fn publication(properties: &Properties) -> Result<Option<PublicationId>, &'static str> {
    let Some(id) = properties.header(PublicationId::HEADER) else { return Ok(None) };
    PublicationId::parse(id).map(Some).ok_or("the user property x-dedup-id must have 1 to 256 bytes")
}

/// What is to outlive what, at most, by a user property of SUBSCRIBE or PUBLISH; STOMP's header of that name is the same.
///
/// # Errors
///
/// It is no such level.
pub(crate) fn durability(user: &[(ByteString, ByteString)]) -> Result<Durability, &'static str> {
    let said = user.iter().find(|(name, _)| &**name == Durability::HEADER);
    said.map_or(Some(Durability::Disk), |(_, level)| Durability::named(level))
        .ok_or("the user property x-durability must be disk, os or memory")
}

/// An address where both doors can name the place, and where it comes back as the same topic [MQTT-3.3.2-15].
fn reply_to(response_topic: TopicName, plain: &ExchangeName) -> ReplyTo {
    if let Some((exchange, key)) = place(response_topic.clone(), plain)
        && topic(&exchange, &key, plain).is_some_and(|topic| topic == response_topic.as_str())
    {
        return ReplyTo::Address { exchange, key };
    }
    ReplyTo::Text(response_topic.into_byte_string())
}

/// The properties of a PUBLISH to a 5.0 client; `None` if there are none. What MQTT cannot write is left out.
pub(crate) fn properties_out(
    delivery: &Delivery,
    alias: Option<NonZeroU16>,
    plain: &ExchangeName,
) -> Option<packet::Properties> {
    let from = delivery.message.properties.as_deref();
    let has_none = from.is_none()
        && alias.is_none()
        && delivery.subscription_ids.is_empty()
        && delivery.expires_in_ms.is_none()
        && delivery.offset.is_none();
    if has_none {
        return None;
    }
    let mut properties = packet::Properties {
        message_expiry_s: delivery.expires_in_ms.map(seconds),
        subscription_ids: delivery
            .subscription_ids
            .iter()
            .filter_map(|id| SubscriptionId::new(*id))
            .collect(),
        topic_alias: alias,
        ..packet::Properties::default()
    };
    if let Some(from) = from {
        properties.payload_is_text = from.payload_is_text;
        properties.content_type = from.content_type.clone().filter(|text| is_field(text));
        properties.response_topic = from.reply_to.as_ref().and_then(|to| response_topic(to, plain));
        properties.correlation_data = from.correlation.clone().filter(|bytes| bytes.len() <= FIELD_BYTES_MAX);
        let fits = |header: &&(ByteString, ByteString)| is_field(&header.0) && is_field(&header.1);
        // Whoever reads a stream gets the offset that it stands at, not one that it had somewhere else.
        let is_own =
            |header: &&(ByteString, ByteString)| delivery.offset.is_none() || &*header.0 != Start::HEADER;
        properties.user = from.headers.iter().filter(fits).filter(is_own).cloned().collect();
    }
    let offset = delivery.offset.map(|offset| (Start::HEADER.into(), offset.to_string().into()));
    properties.user.extend(offset);
    Some(properties)
}

/// The remaining time is rounded up: a message that may still be delivered has at least a second (3.3.2.3.3).
fn seconds(expires_in_ms: u64) -> u32 {
    u32::try_from(expires_in_ms.div_ceil(1000)).unwrap_or(u32::MAX)
}

fn response_topic(reply_to: &ReplyTo, plain: &ExchangeName) -> Option<TopicName> {
    let text = match reply_to {
        ReplyTo::Address { exchange, key } => ByteString::from(topic(exchange, key, plain)?.as_ref()),
        ReplyTo::Text(text) => text.clone(),
    };
    TopicName::parse(text).ok()
}

/// Whether a text that may come from elsewhere can be a string of MQTT (1.5.4).
fn is_field(text: &str) -> bool {
    text.len() <= FIELD_BYTES_MAX && !text.as_bytes().contains(&0)
}

/// The code for a refusal by the broker, of those that may stand there.
pub(crate) fn reason(refusal: &Refusal, place: Place) -> Reason {
    let wanted = match refusal {
        Refusal::BadCredentials(_) | Refusal::BadToken(_) if place == Place::Connack => {
            Reason::BadUserNameOrPassword
        }
        Refusal::Banned { .. } if place == Place::Connack => Reason::Banned,
        Refusal::BadCredentials(_)
        | Refusal::Banned { .. }
        | Refusal::NotProven(_)
        | Refusal::BadToken(_)
        | Refusal::Expired { .. }
        | Refusal::Denied { .. }
        | Refusal::NoVhost(_)
        | Refusal::Internal(_)
        | Refusal::Exclusive(_) => Reason::NotAuthorized,
        Refusal::Forbidden { code, .. } | Refusal::Vetoed { code, .. } => {
            Reason::read(*code, place).unwrap_or(Reason::NotAuthorized)
        }
        Refusal::NoMethod { .. } => Reason::BadAuthenticationMethod,
        Refusal::NoExchange(_) | Refusal::NoQueue(_) | Refusal::NoBinding(_) if place == Place::Suback => {
            Reason::TopicFilterInvalid
        }
        Refusal::NoExchange(_) | Refusal::NoQueue(_) | Refusal::NoBinding(_) => Reason::TopicNameInvalid,
        Refusal::LimitReached(_) => Reason::QuotaExceeded,
        Refusal::Busy(_) => Reason::ServerBusy,
        Refusal::ShuttingDown if place == Place::Connack => Reason::ServerUnavailable,
        Refusal::ShuttingDown => Reason::ServerShuttingDown,
        Refusal::Inequivalent { .. }
        | Refusal::AtOdds { .. }
        | Refusal::NoStream(_)
        | Refusal::InUse { .. }
        | Refusal::Invalid(_) => Reason::ImplementationSpecific,
    };
    if wanted.may_stand_in(place) { wanted } else { Reason::UnspecifiedError }
}

const X_MATCH: &str = "x-match";
const AMQ_TOPIC: &str = "amq.topic";
const EXCHANGE_LEVEL: &str = "$exchange";
const EXCHANGE: &str = "$exchange/";
const USER_LEVEL: &str = "$user";
const USER: &str = "$user/";
const SESSION_LEVEL: &str = "$session";
const SESSION: &str = "$session/";
const QUEUE_LEVEL: &str = "$queue";
const QUEUE: &str = "$queue/";
const STREAM_LEVEL: &str = "$stream";
/// What the filters begin with that name a stream.
pub(crate) const STREAM: &str = "$stream/";
const DELAYED_LEVEL: &str = "$delayed";
const DELAYED: &str = "$delayed/";
const OWN_LEVELS: [&str; 4] = [EXCHANGE_LEVEL, QUEUE_LEVEL, STREAM_LEVEL, DELAYED_LEVEL];
const NO_DELAY: &str = "a delayed message is for $delayed/SECONDS/TOPIC, with 0 to 4294967295 seconds";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_an_exchange_and_a_key() {
        check("a/b", Some(("amq.topic", "a/b")));
        check("/", Some(("amq.topic", "/")));
        check("$exchange/x/a/b", Some(("x", "a/b")));
        check("$exchange/x/", Some(("x", "")));
        check("$exchange/x", Some(("x", "")));
        check("$exchange//a", None);
        check("$queue/jobs", Some(("", "jobs")));
        check("$queue/", None);
        check("$user/kim/queue/x", Some(("$user", "kim/queue/x")));
        check("$user/a%2fb/x", Some(("$user", "a%2Fb/x")));
        check("$session/x", Some(("$session", "x")));
        check("$session/session-1-5/x", Some(("$session", "session-1-5/x")));
        for nobody in ["$user/kim", "$user/kim/", "$user//x", "$session/", "$session/session-1-5", "$user"] {
            check(nobody, None);
        }
        check("$exchange/$user/kim/x", None);
        // 4.7.2
        check("$SYS/x", None);
        check("$share/g/a", None);
    }

    #[test]
    fn a_topic_says_how_long_its_message_waits() {
        let delayed = |text: &str| {
            delayed(TopicName::parse(text.into()).unwrap())
                .map(|(delay_ms, topic)| (delay_ms, topic.as_str().to_owned()))
        };
        for (text, delay_ms, topic) in [
            ("$delayed/5/a/b", Some(5000), "a/b"),
            ("$delayed/0/a", Some(0), "a"),
            ("$delayed/4294967295//", Some(4_294_967_295_000), "/"),
            ("$delayed/1/$queue/jobs", Some(1000), "$queue/jobs"),
            ("a/$delayed/5/b", None, "a/$delayed/5/b"),
        ] {
            assert_eq!(delayed(text), Ok((delay_ms, topic.to_owned())), "{text}");
        }
        for text in ["$delayed/", "$delayed/5", "$delayed/5/", "$delayed/x/a", "$delayed/-1/a"] {
            assert_eq!(delayed(text), Err(NO_DELAY), "{text}");
        }
        assert!(delayed("$delayed/4294967296/a").is_err() && delayed("$delayed/1/$delayed/1/a").is_err());
        // Nothing is published under the word alone.
        check("$delayed", None);
    }

    #[test]
    fn a_user_property_says_the_same_and_goes_no_further() {
        let with = |headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            Some(Box::new(Properties { headers, ..Properties::default() }))
        };
        let mut properties = with(&[("x-delay", "250"), ("b", "1"), ("x-delay", "9")]);
        assert_eq!(delay(None, &mut properties), Ok(250));
        assert_eq!(properties, with(&[("b", "1")]));
        let mut alone = with(&[("x-delay", "0")]);
        assert_eq!((delay(None, &mut alone), alone), (Ok(0), None));
        assert_eq!((delay(Some(7000), &mut None), delay(None, &mut None)), (Ok(7000), Ok(0)));
        assert!(delay(Some(7000), &mut with(&[("x-delay", "1")])).is_err());
        assert!(delay(None, &mut with(&[("x-delay", "soon")])).is_err());
    }

    #[test]
    fn a_message_is_delivered_under_the_topic_that_leads_back_to_it() {
        for text in [
            "a/b",
            "$exchange/x/a/b",
            "$exchange/x/",
            "$queue/jobs",
            "$user/kim/x",
            "$session/session-1-q5/x",
        ] {
            let (exchange, key) =
                place(TopicName::parse(text.into()).unwrap(), &ExchangeName::TOPIC).unwrap();
            assert_eq!(topic(&exchange, &key, &ExchangeName::TOPIC).as_deref(), Some(text));
        }
        assert_eq!(
            topic(&ExchangeName::TOPIC, &"$SYS/x".into(), &ExchangeName::TOPIC).as_deref(),
            Some("$SYS/x")
        );
        for illegal in ["", "a+", "#", "a\0"] {
            assert_eq!(
                topic(&ExchangeName::TOPIC, &illegal.into(), &ExchangeName::TOPIC),
                None,
                "{illegal:?}"
            );
        }
    }

    #[test]
    fn a_filter_binds_an_exchange() {
        let bound = |text: &str| {
            source(TopicFilter::parse(text, 128).unwrap(), &ExchangeName::TOPIC)
                .map(|(exchange, pattern)| format!("{exchange} {pattern}"))
        };
        assert_eq!(bound("a/+/#").as_deref(), Some("amq.topic a/+/#"));
        assert_eq!(bound("$SYS/#").as_deref(), Some("amq.topic $SYS/#"));
        assert_eq!(bound("$exchange/x/a/#").as_deref(), Some("x a/#"));
        assert_eq!(bound("$exchange/x").as_deref(), Some("x "));
        assert_eq!(bound("$share/g/$exchange/x/k").as_deref(), Some("x k"));
        assert_eq!(bound("$user/queue/+").as_deref(), Some("$user queue/+"));
        assert_eq!(bound("$session/#").as_deref(), Some("$session #"));
        for refused in [
            "$user",
            "$session",
            "$exchange/$user/kim/x",
            "$exchange",
            "$exchange/+/k",
            "$exchange/#",
            "$exchange//k",
            "$queue/jobs",
        ] {
            assert_eq!(bound(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_response_topic_comes_back_unaltered() {
        // [MQTT-3.3.2-15]
        for text in ["a/b", "$exchange/x/k", "$exchange/amq.topic/k", "$exchange/x", "$SYS/x", "$queue/q"] {
            let there = reply_to(TopicName::parse(text.into()).unwrap(), &ExchangeName::TOPIC);
            assert_eq!(response_topic(&there, &ExchangeName::TOPIC).unwrap().as_str(), text);
        }
    }

    #[test]
    fn plain_topics_live_in_the_exchange_that_is_theirs() {
        let plain = ExchangeName::new("mqtt");
        let topics = [
            ("a/b", "mqtt", "a/b"),
            ("$exchange/mqtt/$SYS/a", "mqtt", "$SYS/a"),
            ("$exchange/amq.topic/a", "amq.topic", "a"),
            ("$exchange/x/a", "x", "a"),
            ("$queue/a", "", "a"),
        ];
        for (text, exchange, key) in topics {
            let place = place(TopicName::parse(text.into()).unwrap(), &plain).unwrap();
            assert_eq!((place.0.as_str(), place.1.as_str()), (exchange, key), "{text}");
            assert_eq!(topic(&place.0, &place.1, &plain).as_deref(), Some(text));
        }
        // The broker says it where it always does.
        assert_eq!(topic(&ExchangeName::TOPIC, &"$SYS/x".into(), &plain).as_deref(), Some("$SYS/x"));
        let bound = |text: &str| source(TopicFilter::parse(text, 128).unwrap(), &plain).unwrap().0;
        for (filter, exchange) in [
            ("a/+", "mqtt"),
            ("#", "mqtt"),
            ("$share/g/a", "mqtt"),
            ("$SYS/#", "amq.topic"),
            ("$events/#", "amq.topic"),
            ("$exchange/amq.topic/#", "amq.topic"),
        ] {
            assert_eq!(bound(filter).as_str(), exchange, "{filter}");
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        let place = place(TopicName::parse(text.into()).unwrap(), &ExchangeName::TOPIC);
        let place = place.as_ref().map(|(exchange, key)| (exchange.as_str(), key.as_str()));
        assert_eq!(place, expected, "{text}");
    }
}
