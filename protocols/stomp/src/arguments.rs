//! Headers to what a queue is declared with: RabbitMQ's queue arguments.

use model::durability::Durability;
use model::key::RoutingKey;
use model::name::{ExchangeName, QueueName};
use model::queue::{DeadLetter, Named, Overflow, QueueArguments, QueueDeclaration, QueueOptions};
use model::stream::{self, Start};

use crate::header_error::HeaderError;
use crate::headers::Headers;

/// Whether a header is about the queue that SEND or SUBSCRIBE may make, and so is no part of a message or a binding.
pub(crate) fn is_about_a_queue(name: &str) -> bool {
    match name.strip_prefix("x-") {
        Some(rest) => ARGUMENTS.contains(&rest) || UNSUPPORTED.contains(&name) || name == Start::HEADER,
        None => matches!(name, "durable" | "auto-delete" | "exclusive" | "selector"),
    }
}

/// Refuses what would otherwise be ignored in silence.
///
/// # Errors
///
/// One of those headers is there.
pub(crate) fn refuse_unsupported(headers: &Headers) -> Result<(), HeaderError> {
    if let Some(kind) = headers.get("x-queue-type") {
        is_stream(kind)?;
    }
    let asked = UNSUPPORTED.into_iter().find(|name| headers.get(name).is_some());
    asked.map_or(Ok(()), |name| Err(HeaderError::Unsupported(name)))
}

fn is_stream(kind: &str) -> Result<bool, HeaderError> {
    match kind {
        "classic" => Ok(false),
        "stream" => Ok(true),
        other => {
            let expected = "classic or stream: this broker has no quorum queues";
            Err(HeaderError::value("x-queue-type", other, expected))
        }
    }
}

/// From where on SUBSCRIBE reads a stream, if it says so.
///
/// # Errors
///
/// The header has a value that means nothing.
pub(crate) fn start(headers: &Headers) -> Result<Option<Start>, HeaderError> {
    let Some(text) = headers.get(Start::HEADER) else { return Ok(None) };
    let start = Start::parse(text);
    start.map(Some).ok_or_else(|| HeaderError::value(Start::HEADER, text, Start::EXPECTED))
}

/// The queue of that name that SUBSCRIBE to `/queue/…` makes: durable and shared, unless its headers say
/// otherwise. As in RabbitMQ, one that is not durable is the connection's own and goes with it.
///
/// # Errors
///
/// A header has a value that means nothing.
pub(crate) fn shared_queue(name: QueueName, headers: &Headers) -> Result<QueueDeclaration, HeaderError> {
    Ok(Asked::read(headers)?.shared(name))
}

/// The same of SEND, whose level of durability is the message's own: the first message does not choose for those after it.
///
/// # Errors
///
/// A header has a value that means nothing.
pub(crate) fn sent_queue(name: QueueName, headers: &Headers) -> Result<QueueDeclaration, HeaderError> {
    let mut asked = Asked::read(headers)?;
    asked.arguments.durability = None;
    Ok(asked.shared(name))
}

/// A queue behind a subscription to keys: gone with it, unless its headers say otherwise.
///
/// # Errors
///
/// A header has a value that means nothing.
pub(crate) fn subscription_queue(
    name: QueueName,
    headers: &Headers,
) -> Result<QueueDeclaration, HeaderError> {
    let mut asked = Asked::read(headers)?;
    let (exclusive, auto_delete) = (asked.exclusive, asked.auto_delete);
    // Of streams, nothing else can be.
    let stream = asked.arguments.stream;
    let durable = is_durable(headers) || (stream && asked.durable.is_none());
    let auto_delete = auto_delete.or(stream.then_some(false));
    Ok(asked.declaration(name, durable, exclusive.unwrap_or(false), auto_delete.unwrap_or(true)))
}

/// A queue of a subscription alone: `None` if nothing is asked of it that needs saying.
///
/// # Errors
///
/// A header has a value that means nothing.
pub(crate) fn private_queue(
    name: impl FnOnce() -> QueueName,
    headers: &Headers,
) -> Result<Option<QueueDeclaration>, HeaderError> {
    let mut asked = Asked::read(headers)?;
    let asks = asked.ready_max.is_some()
        || asked.ready_bytes_max.is_some()
        || asked.arguments != QueueArguments::default();
    Ok(asks.then(|| asked.declaration(name(), false, true, true)))
}

/// Whether a subscription is to outlive its connection; `persistent` is RabbitMQ's other name for it.
pub(crate) fn is_durable(headers: &Headers) -> bool {
    headers.is_true("durable") || headers.is_true("persistent")
}

/// What headers say of a queue.
#[derive(Default)]
struct Asked {
    durable: Option<bool>,
    exclusive: Option<bool>,
    auto_delete: Option<bool>,
    single_active: Option<bool>,
    stream: Option<bool>,
    ready_max: Option<u64>,
    ready_bytes_max: Option<u64>,
    arguments: QueueArguments,
    dead_letter_key: Option<String>,
}

impl Asked {
    fn read(headers: &Headers) -> Result<Self, HeaderError> {
        let mut asked = Self::default();
        if !headers.iter().any(|(name, _)| is_about_a_queue(name)) {
            return Ok(asked);
        }
        refuse_unsupported(headers)?;
        // From the back: of a repeated header the first counts.
        for (name, value) in headers.iter().rev() {
            asked.header(name, value)?;
        }
        asked.finish()
    }

    fn header(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let arguments = &mut self.arguments;
        match name {
            "durable" => self.durable = Some(flag("durable", value)?),
            "exclusive" => self.exclusive = Some(flag("exclusive", value)?),
            "auto-delete" => self.auto_delete = Some(flag("auto-delete", value)?),
            "x-single-active-consumer" => {
                arguments.single_active = flag("x-single-active-consumer", value)?;
                self.single_active = Some(arguments.single_active);
            }
            "x-max-length" => self.ready_max = Some(bounded("x-max-length", value, 0..=u64::MAX)?),
            "x-max-length-bytes" => {
                self.ready_bytes_max = Some(bounded("x-max-length-bytes", value, 0..=u64::MAX)?);
            }
            "x-message-ttl" => {
                arguments.message_ttl_ms = Some(bounded("x-message-ttl", value, 0..=MS_MAX)?);
            }
            "x-expires" => arguments.expires_ms = Some(bounded("x-expires", value, 1..=MS_MAX)?),
            "x-overflow" => arguments.overflow = Some(overflow(value)?),
            "x-dead-letter-exchange" => {
                check_name("x-dead-letter-exchange", value)?;
                arguments.dead_letter = Some(DeadLetter { exchange: ExchangeName::new(value), key: None });
            }
            "x-dead-letter-routing-key" => {
                check_name("x-dead-letter-routing-key", value)?;
                self.dead_letter_key = Some(value.to_owned());
            }
            "x-max-priority" => {
                let max = u8::try_from(bounded("x-max-priority", value, 0..=255)?);
                arguments.priority_max = max.ok().filter(|max| *max > 0);
            }
            "x-queue-type" => {
                arguments.stream = is_stream(value)?;
                self.stream = Some(arguments.stream);
            }
            "x-max-age" => {
                let age = stream::parse_age(value);
                let age = age.ok_or_else(|| HeaderError::value("x-max-age", value, stream::AGE_EXPECTED))?;
                arguments.age_max_ms = Some(age);
            }
            Durability::HEADER => arguments.durability = Some(durability(value)?),
            "x-delivery-limit" => {
                let limit = bounded("x-delivery-limit", value, 0..=u32::MAX.into())?;
                arguments.delivery_limit = Some(u32::try_from(limit).unwrap_or(u32::MAX));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Self, HeaderError> {
        let Some(key) = self.dead_letter_key.take() else { return Ok(self) };
        let Some(letter) = &mut self.arguments.dead_letter else {
            let expected = "absent, or x-dead-letter-exchange beside it";
            return Err(HeaderError::value("x-dead-letter-routing-key", &key, expected));
        };
        let key = RoutingKey::from(key.as_str());
        let is_queue = letter.exchange == ExchangeName::DEFAULT;
        letter.key = Some(if is_queue { key } else { key.dotted() });
        Ok(self)
    }

    fn shared(&mut self, name: QueueName) -> QueueDeclaration {
        let durable = self.durable.unwrap_or(true);
        let (exclusive, auto_delete) = (self.exclusive, self.auto_delete);
        self.declaration(name, durable, exclusive.unwrap_or(!durable), auto_delete.unwrap_or(!durable))
    }

    fn declaration(
        &mut self,
        name: QueueName,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
    ) -> QueueDeclaration {
        let options = QueueOptions {
            name,
            durable,
            exclusive,
            auto_delete,
            ready_max: self.ready_max,
            ready_bytes_max: self.ready_bytes_max,
            arguments: None,
        };
        let named = Named {
            durable: self.durable.is_some(),
            exclusive: self.exclusive.is_some(),
            auto_delete: self.auto_delete.is_some(),
            single_active: self.single_active.is_some(),
            stream: self.stream.is_some(),
        };
        let arguments = std::mem::take(&mut self.arguments);
        QueueDeclaration { options: options.with(|all| *all = arguments), named }
    }
}

fn flag(name: &'static str, value: &str) -> Result<bool, HeaderError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(HeaderError::value(name, other, "true or false")),
    }
}

fn bounded(
    name: &'static str,
    value: &str,
    bounds: std::ops::RangeInclusive<u64>,
) -> Result<u64, HeaderError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| value.parse().ok()).flatten().filter(|number| bounds.contains(number));
    number.ok_or_else(|| {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        HeaderError::value(name, value, expected)
    })
}

/// Reads the header that is a level of durability.
///
/// # Errors
///
/// It is none of three words.
pub(crate) fn durability(value: &str) -> Result<Durability, HeaderError> {
    Durability::named(value)
        .ok_or_else(|| HeaderError::value(Durability::HEADER, value, Durability::EXPECTED))
}

fn overflow(value: &str) -> Result<Overflow, HeaderError> {
    let all = [Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDlx];
    let named = all.into_iter().find(|overflow| overflow.as_str() == value);
    let expected = "drop-head, reject-publish or reject-publish-dlx";
    named.ok_or_else(|| HeaderError::value("x-overflow", value, expected))
}

fn check_name(name: &'static str, value: &str) -> Result<(), HeaderError> {
    let fits = value.len() <= NAME_BYTES_MAX && !value.chars().any(char::is_control);
    let expected = "a name of at most 255 bytes, without control characters";
    if fits { Ok(()) } else { Err(HeaderError::value(name, value, expected)) }
}

/// What can be asked of a queue, without the `x-`.
const ARGUMENTS: [&str; 13] = [
    "message-ttl",
    "expires",
    "max-length",
    "max-length-bytes",
    "overflow",
    "dead-letter-exchange",
    "dead-letter-routing-key",
    "max-priority",
    "delivery-limit",
    "single-active-consumer",
    "durability",
    "queue-type",
    "max-age",
];

/// What RabbitMQ does for a queue or a subscription, and we do not.
const UNSUPPORTED: [&str; 7] = [
    "x-queue-mode",
    "selector",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
    "x-queue-leader-locator",
    "x-stream-filter",
    "x-stream-match-unfiltered",
];

/// The longest time, in milliseconds: RabbitMQ's.
const MS_MAX: u64 = u32::MAX as u64;

/// Of an exchange, or of a key, in bytes.
const NAME_BYTES_MAX: usize = 255;
