//! Headers to properties and back.

use std::borrow::Cow;
use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use model::durability::Durability;
use model::message::Message;
use model::name::{ExchangeName, PublicationId, QueueName};
use model::properties::{Properties, ReplyTo};
use model::qos::Qos;
use model::queue::{HeaderMatch, MatchMode};
use model::request::Publish;
use model::stream::Start;

use crate::arguments::{durability, is_about_a_queue};
use crate::destination::{Address, DestinationError, Destinations, TEMPORARY_PREFIX};
use crate::encode::{header, number_header, own_header};
use crate::escape::Escapes;
use crate::header_error::HeaderError;
use crate::headers::{Headers, is_secret};

/// What SEND says of a message, beside where it goes and what is in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// `qos`; at least once where it is not said.
    pub(crate) qos: Qos,
    /// `retain`.
    pub(crate) retain: bool,
    /// `persistent`.
    pub(crate) persistent: bool,
    /// `expiration`, in milliseconds.
    pub(crate) expiry_ms: Option<u64>,
    /// `x-delay`, in milliseconds.
    pub(crate) delay_ms: u64,
    /// `mandatory`: if no queue takes it, its sender wants to hear of that.
    pub(crate) mandatory: bool,
    /// `x-dedup-id`.
    pub(crate) publication: Option<PublicationId>,
    /// The temporary queue that `reply-to` names: what takes its place is not known yet.
    pub(crate) replies_at: Option<ByteString>,
    /// All that is handed on as it is.
    pub(crate) properties: Option<Box<Properties>>,
}

impl Sent {
    /// Of a SEND without headers.
    const NOTHING: Self = Self {
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: false,
        expiry_ms: None,
        delay_ms: 0,
        mandatory: false,
        publication: None,
        replies_at: None,
        properties: None,
    };

    /// Where it was sent, for whoever serves many destinations from one queue. Nobody else may say so.
    pub(crate) fn tell_destination(&mut self, destination: &ByteString) {
        let properties = self.properties.get_or_insert_default();
        properties.headers.retain(|(name, _)| name != SENT_TO);
        properties.headers.push((SENT_TO.into(), destination.clone()));
    }
}

/// Reads the headers of SEND. Of a repeated header the first counts, the rest vanish.
///
/// # Errors
///
/// A header that means something to the broker has a value that means nothing.
pub(crate) fn sent(headers: &Headers, destinations: &Destinations) -> Result<Sent, HeaderError> {
    let mut sent = Sent::NOTHING;
    let mut properties = Properties::default();
    let mut seen = Seen::default();
    for (name, value) in headers {
        match &**name {
            "persistent" => seen.first(Known::Persistent, || sent.persistent = value == "true"),
            "retain" => seen.first(Known::Retain, || sent.retain = value == "true"),
            "mandatory" => seen.first(Known::Mandatory, || sent.mandatory = value == "true"),
            "content-type" => {
                seen.first(Known::ContentType, || properties.content_type = Some(value.clone()))
            }
            "correlation-id" => {
                seen.first(Known::Correlation, || properties.correlation = Some(correlation(value)))
            }
            "qos" => {
                let qos = qos(value)?;
                seen.first(Known::Qos, || sent.qos = qos);
            }
            "expiration" => {
                let expiry_ms = number("expiration", value)?;
                seen.first(Known::Expiration, || sent.expiry_ms = Some(expiry_ms));
            }
            Publish::DELAY_HEADER | SCHEDULED_DELAY => {
                let delay_ms = delay(name, value)?;
                seen.first(Known::Delay, || sent.delay_ms = delay_ms);
            }
            "priority" => {
                let priority = priority(value)?;
                seen.first(Known::Priority, || properties.priority = Some(priority));
            }
            "reply-to" => match reply_to(value, destinations)? {
                Some(to) => seen.first(Known::ReplyTo, || properties.reply_to = Some(to)),
                None => seen.first(Known::ReplyTo, || sent.replies_at = Some(value.clone())),
            },
            "message-id" => return Err(HeaderError::NotAllowed("message-id")),
            "AMQ_SCHEDULED_PERIOD" | "AMQ_SCHEDULED_REPEAT" | "AMQ_SCHEDULED_CRON" => return Err(REPEATED),
            other if is_ours(other) || is_secret(other) => {}
            other if properties.headers.iter().any(|(name, _)| name == other) => {}
            PublicationId::HEADER => {
                let id = PublicationId::parse(value).ok_or_else(|| {
                    HeaderError::value(PublicationId::HEADER, value, PublicationId::EXPECTED)
                })?;
                sent.publication = Some(id);
                // Whoever receives the message may want to know it, too.
                properties.headers.push((name.clone(), value.clone()));
            }
            Durability::HEADER => {
                durability(value)?;
                // It goes along: whoever hands the message on, within the broker too, is to know it.
                properties.headers.push((name.clone(), value.clone()));
            }
            other if other == "login" || is_about_a_queue(other) => {}
            _ => properties.headers.push((name.clone(), value.clone())),
        }
    }
    if !properties.is_empty() {
        sent.properties = Some(Box::new(properties));
    }
    Ok(sent)
}

/// Which of the known headers were there already: a bit each.
#[derive(Default)]
struct Seen(u16);

#[derive(Clone, Copy)]
enum Known {
    Persistent,
    Retain,
    ContentType,
    Correlation,
    Qos,
    Expiration,
    Priority,
    ReplyTo,
    Mandatory,
    Delay,
}

impl Seen {
    fn first(&mut self, header: Known, then: impl FnOnce()) {
        let bit = 1 << header as u16;
        if self.0 & bit == 0 {
            self.0 |= bit;
            then();
        }
    }
}

/// Reads a header `qos`.
///
/// # Errors
///
/// It is none of three digits.
pub(crate) fn qos(value: &str) -> Result<Qos, HeaderError> {
    let qos = match value {
        "0" => Qos::AtMostOnce,
        "1" => Qos::AtLeastOnce,
        "2" => Qos::ExactlyOnce,
        _ => return Err(HeaderError::value("qos", value, "0, 1 or 2")),
    };
    Ok(qos)
}

/// Reads how long a message is to wait, in RabbitMQ's word for it or in ActiveMQ's.
fn delay(name: &str, value: &str) -> Result<u64, HeaderError> {
    let name = if name == SCHEDULED_DELAY { SCHEDULED_DELAY } else { Publish::DELAY_HEADER };
    Publish::delay_ms_of(value).ok_or_else(|| HeaderError::value(name, value, Publish::DELAY_EXPECTED))
}

/// Reads a header `priority`.
fn priority(value: &str) -> Result<u8, HeaderError> {
    u8::try_from(number("priority", value)?).map_err(|_| HeaderError::value("priority", value, "0 to 255"))
}

/// An address where both protocols can name it; what only clients understand stays text. `None`: a temporary queue of this
/// connection.
fn reply_to(value: &ByteString, destinations: &Destinations) -> Result<Option<ReplyTo>, HeaderError> {
    let text = || Some(ReplyTo::Text(value.clone()));
    if !value.starts_with('/') {
        return Ok(text());
    }
    match destinations.address(value) {
        // The queue behind it would lose what is asked of the application.
        Ok(address) if address.hides_destination => Ok(text()),
        // `/amq/queue/…`: as an address it would come back as `/queue/…`, which makes a queue.
        Ok(Address { exchange, key, declares: None, .. })
            if exchange == ExchangeName::DEFAULT && !QueueName::is_for_replies(key.as_str()) =>
        {
            Ok(text())
        }
        Ok(address) => Ok(Some(ReplyTo::Address { exchange: address.exchange, key: address.key })),
        Err(DestinationError::Temporary(_)) => Ok(None),
        Err(error) if value.starts_with(TEMPORARY_PREFIX) => Err(HeaderError::ReplyTo(error)),
        Err(_) => Ok(text()),
    }
}

/// MQTT's correlation data are any bytes (MQTT 5.0, 3.3.2.3.6). What is no text goes out as `hex:…` and must come back as
/// what it was; so does a text that would be taken for that. Any other `hex:…` was never ours, and stays as it is.
fn correlation(value: &ByteString) -> Bytes {
    unhex(value).map_or_else(|| value.as_bytes().clone(), Bytes::from)
}

/// Whether these data cannot be written as they are.
fn needs_hex(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).map_or(true, |text| text.contains('\0') || unhex(text).is_some())
}

/// Correlation data as a header says them.
fn correlation_text(data: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(data) {
        Ok(text) if !needs_hex(data) => Cow::from(text),
        Ok(_) | Err(_) => {
            let mut text = String::from(HEX);
            for byte in data {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
            Cow::from(text)
        }
    }
}

/// What `hex:…` of ours stands for. Each step is less than half as long, so there are few.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let pairs = text.strip_prefix(HEX)?.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    });
    let bytes: Vec<u8> = pairs.collect::<Option<_>>()?;
    needs_hex(&bytes).then_some(bytes)
}

const HEX: &str = "hex:";

/// Writes what every receiver of `message` gets alike: the headers that come from its properties, `content-length`, and
/// the blank line.
pub(crate) fn write_common(
    message: &Message,
    destinations: &Destinations,
    escapes: Escapes,
    buf: &mut BytesMut,
) {
    if message.persistent {
        buf.extend_from_slice(b"persistent:true\n");
    }
    if let Some(properties) = &message.properties {
        write_properties(properties, destinations, escapes, buf);
    }
    if !message.payload.is_empty() {
        number_header(buf, "content-length", message.payload.len() as u64);
    }
    buf.extend_from_slice(b"\n");
}

fn write_properties(
    properties: &Properties,
    destinations: &Destinations,
    escapes: Escapes,
    buf: &mut BytesMut,
) {
    if let Some(value) = &properties.content_type {
        own_header(buf, escapes, "content-type", value);
    }
    match &properties.reply_to {
        Some(ReplyTo::Text(text)) => own_header(buf, escapes, "reply-to", text),
        Some(ReplyTo::Address { exchange, key }) => {
            own_header(buf, escapes, "reply-to", &destinations.text(exchange, key));
        }
        None => {}
    }
    if let Some(data) = &properties.correlation {
        own_header(buf, escapes, "correlation-id", &correlation_text(data));
    }
    if let Some(priority) = properties.priority {
        number_header(buf, "priority", priority.into());
    }
    for (name, value) in &properties.headers {
        // MQTT clients may name a user property anything: it must not pose as a header of ours.
        if !name.is_empty() && !is_ours(name) && !OF_MESSAGE.contains(&&**name) {
            header(buf, escapes, name, value);
        }
    }
}

/// The headers by which frames are handled: never part of a message.
pub(crate) fn is_ours(name: &str) -> bool {
    OURS.contains(&name)
}

const OURS: [&str; 9] = [
    "destination",
    "content-length",
    "receipt",
    "transaction",
    "subscription",
    "message-id",
    "ack",
    "redelivered",
    "receipt-id",
];

/// ActiveMQ's word for `x-delay`.
const SCHEDULED_DELAY: &str = "AMQ_SCHEDULED_DELAY";

/// What ActiveMQ has beside it: here, a message is sent once.
const REPEATED: HeaderError =
    HeaderError::Unsupported("AMQ_SCHEDULED_PERIOD, AMQ_SCHEDULED_REPEAT or AMQ_SCHEDULED_CRON");

/// Where a message was sent that is for an application.
const SENT_TO: &str = "x-destination";

/// The headers of MESSAGE that we write from properties.
const OF_MESSAGE: [&str; 9] = [
    "content-type",
    "correlation-id",
    "reply-to",
    "persistent",
    "priority",
    "expiration",
    "retain",
    "x-delivery-count",
    Start::HEADER,
];

/// The headers of SUBSCRIBE that mean something by themselves: all others are arguments of the binding.
const OF_SUBSCRIBE: [&str; 9] = [
    "id",
    "login",
    "prefetch-count",
    "x-queue-name",
    "x-match",
    "persistent",
    "content-type",
    "qos",
    "retained",
];

/// What a subscription to an exchange asks of headers: `x-match`, and every header that has no other meaning. A header
/// without a value asks only that it is there.
///
/// # Errors
///
/// `x-match` has none of its four values.
pub(crate) fn arguments(headers: &Headers) -> Result<HeaderMatch, HeaderError> {
    let mode = headers.get("x-match").map(|value| &**value);
    let mode = MatchMode::named(mode).ok_or_else(|| {
        HeaderError::value("x-match", mode.unwrap_or_default(), "all, any, all-with-x or any-with-x")
    })?;
    let mut wanted: Vec<(ByteString, Option<ByteString>)> = Vec::new();
    for (name, value) in headers {
        let reserved = is_ours(name)
            || is_secret(name)
            || is_about_a_queue(name)
            || OF_SUBSCRIBE.contains(&&**name)
            || wanted.iter().any(|(known, _)| known == name);
        if !reserved {
            let copy = |text: &ByteString| ByteString::from(&**text);
            wanted.push((copy(name), (!value.is_empty()).then(|| copy(value))));
        }
    }
    Ok(HeaderMatch { mode, wanted })
}

/// Reads a header that is a number: digits and nothing else.
///
/// # Errors
///
/// It is none, or one of more than 64 bits.
pub(crate) fn number(name: &'static str, value: &str) -> Result<u64, HeaderError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| value.parse().ok()).flatten();
    number.ok_or_else(|| HeaderError::value(name, value, "a number"))
}

/// Whether messages of that exchange can be chosen by headers at all.
pub(crate) fn has_arguments(exchange: &ExchangeName) -> bool {
    let plain = [ExchangeName::TOPIC, ExchangeName::DIRECT, ExchangeName::FANOUT, ExchangeName::DEFAULT];
    !plain.contains(exchange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_data_come_back_as_they_were_and_headers_too() {
        // MQTT 5.0, 3.3.2.3.6
        let texts = ["", "c-7", "번호", "hex:", "hex:6869", "hex:FF", "hex:0", "hex:zz"];
        for text in texts {
            assert_eq!(correlation_text(text.as_bytes()), text, "as it is");
        }
        let ours = ["hex:00", "hex:ff", "hex:6865783a6666", "hex:6865783a36383635373833613636"];
        for text in texts.into_iter().chain(ours) {
            assert_eq!(correlation_text(&correlation(&text.into())), text, "from STOMP to STOMP");
        }
        let data =
            [&b"\xff\x00"[..], b"\0", b"hex:00", b"hex:ff", b"hex:FF", b"hex:6869", b"hex:6865783a6666"];
        for data in data.into_iter().chain(texts.map(str::as_bytes)) {
            let said = ByteString::from(correlation_text(data).as_ref());
            assert_eq!(correlation(&said), data, "from MQTT to MQTT by way of {said}");
        }
    }
}
