//! Messages that no queue took: the last of them, with the reason, for whoever asks where his went

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::message::Message;
use model::name::{ExchangeName, UserName};
use model::properties::Properties;
use model::wire_cache::WireCache;
use routing::Router;
use serde::Serialize;

/// The last messages that no queue took, the newest at the end. Bounded in number and in bytes; with none to keep it costs a
/// comparison, and while every message finds a queue nothing at all.
pub(crate) struct Unroutable {
    count_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The number of the newest one.
    last: u64,
    bytes: usize,
    messages: VecDeque<One>,
}

struct One {
    number: u64,
    /// What it takes in memory, roughly.
    bytes: usize,
    /// How long its payload was before it was cut.
    payload_bytes: usize,
    is_cut: bool,
    user: Option<UserName>,
    cause: Cause,
    message: Arc<Message>,
}

/// Why no queue took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    NoQueue,
    NoBinding,
    NoMatch,
    NobodyThere,
}

impl Unroutable {
    pub(crate) fn new(count_max: usize) -> Self {
        Self { count_max, kept: Mutex::default() }
    }

    /// Keeps a message that was resolved to no queue just now.
    pub(crate) fn keep(&self, message: &Arc<Message>, user: Option<&UserName>, router: &Router) {
        if self.count_max == 0 {
            return;
        }
        let cause = Cause::of(&message.exchange, router);
        let payload_bytes = message.payload.len();
        let (message, is_cut) = cut(message);
        let properties = message.properties.as_deref().map_or(0, bytes_of);
        let bytes = message.size_bytes() + properties + size_of::<Message>() + size_of::<One>();
        let one = One { number: 0, bytes, payload_bytes, is_cut, user: user.cloned(), cause, message };
        // Freed when the lock is gone.
        let _gone = self.lock().push(one, self.count_max);
    }

    /// At most `limit` of what `keep` wants, the newest first, behind the number `after`; and behind what the next ones begin.
    pub(crate) fn list(
        &self,
        after: Option<&str>,
        limit: usize,
        mut keep: impl FnMut(&UnroutableView) -> bool,
    ) -> (Vec<UnroutableView>, Option<String>) {
        let mut before: u64 = after.map_or(u64::MAX, |after| after.parse().unwrap_or(0));
        let mut items: Vec<UnroutableView> = Vec::new();
        // Copied out some at a time: whoever publishes does not wait until all is written as JSON.
        loop {
            let some: Vec<UnroutableView> = {
                let kept = self.lock();
                let end = kept.messages.partition_point(|one| one.number < before);
                kept.messages.range(..end).rev().take(AT_ONCE).map(One::view).collect()
            };
            let Some(last) = some.last() else { return (items, None) };
            before = last.number;
            for view in some {
                if items.len() >= limit {
                    let next = items.last().map(|last| last.number.to_string());
                    return (items, next);
                }
                if keep(&view) {
                    items.push(view);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Adds one; returns those that made room for it. A single one is never too large: it was cut.
    fn push(&mut self, mut one: One, count_max: usize) -> Vec<One> {
        self.last += 1;
        one.number = self.last;
        self.bytes += one.bytes;
        self.messages.push_back(one);
        let mut gone = Vec::new();
        while self.messages.len() > count_max || self.bytes > BYTES_MAX {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes -= oldest.bytes;
            gone.push(oldest);
        }
        gone
    }
}

impl One {
    fn view(&self) -> UnroutableView {
        let message = &self.message;
        let text = std::str::from_utf8(&message.payload).ok();
        let properties = message.properties.as_deref();
        let headers = properties.map_or(&[][..], |properties| &properties.headers);
        UnroutableView {
            number: self.number,
            at_ms: message.published_at.0,
            exchange: message.exchange.to_string(),
            key: message.key.as_str().to_owned(),
            cause: self.cause.text(),
            client: message.publisher.as_ref().map(ToString::to_string),
            user: self.user.as_ref().map(ToString::to_string),
            qos: message.qos as u8,
            retain: message.retain,
            content_type: properties
                .and_then(|properties| properties.content_type.as_deref())
                .map(str::to_owned),
            headers: headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            payload: text.map(str::to_owned),
            payload_base64: text.is_none().then(|| STANDARD.encode(&message.payload)),
            payload_bytes: self.payload_bytes,
            cut: self.is_cut,
        }
    }
}

impl Cause {
    fn of(exchange: &ExchangeName, router: &Router) -> Self {
        if *exchange == ExchangeName::DEFAULT {
            Self::NoQueue
        } else if *exchange == ExchangeName::USER || *exchange == ExchangeName::SESSION {
            Self::NobodyThere
        } else if router.is_bound(exchange) {
            Self::NoMatch
        } else {
            Self::NoBinding
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NoQueue => "there is no queue of that name",
            Self::NoBinding => "nothing is bound to the exchange",
            Self::NoMatch => "no binding of the exchange matches",
            Self::NobodyThere => "nobody of that name has subscribed to it",
        }
    }
}

/// A message that no queue took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UnroutableView {
    /// Counts up since the broker started; the newest has the highest.
    pub number: u64,
    /// When it was published, in milliseconds since 1970.
    pub at_ms: u64,
    /// The exchange it was published to; empty: the default one.
    pub exchange: String,
    /// The key.
    pub key: String,
    /// Why no queue took it.
    pub cause: &'static str,
    /// The client id of its publisher; `None` in STOMP.
    pub client: Option<String>,
    /// The user who published it; `None`: an anonymous one, or the broker for a will.
    pub user: Option<String>,
    /// The QoS it was published with.
    pub qos: u8,
    /// Whether it was kept all the same, as the retained message of its key.
    pub retain: bool,
    /// MIME type.
    pub content_type: Option<String>,
    /// User properties, or STOMP's own headers, in their order.
    pub headers: Vec<(String, String)>,
    /// The payload, if it is text.
    pub payload: Option<String>,
    /// The payload in Base64, if it is none.
    pub payload_base64: Option<String>,
    /// How long the payload was.
    pub payload_bytes: usize,
    /// Whether only the beginning of its payload or headers is kept.
    pub cut: bool,
}

/// The message as it is kept, and whether that is less than it was.
fn cut(message: &Arc<Message>) -> (Arc<Message>, bool) {
    let properties = message.properties.as_deref();
    let is_long = properties.is_some_and(|properties| bytes_of(properties) > PROPERTIES_BYTES_MAX);
    if message.payload.len() <= PAYLOAD_BYTES_MAX && !is_long {
        return (Arc::clone(message), false);
    }
    let start = message.payload.get(..PAYLOAD_BYTES_MAX).unwrap_or(&message.payload);
    // Half a character at the end would make the text none.
    let end = match std::str::from_utf8(start) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Ok(_) | Err(_) => start.len(),
    };
    let mut left = PROPERTIES_BYTES_MAX;
    let mut fits = |(name, value): &&(_, _)| {
        let bytes = pair_bytes(name, value);
        let fits = bytes <= left;
        left = if fits { left - bytes } else { 0 };
        fits
    };
    let properties = properties.map(|whole| {
        let headers = whole.headers.iter().take_while(|pair| fits(pair)).cloned().collect();
        let content_type = whole.content_type.clone().filter(|text| text.len() <= PROPERTIES_BYTES_MAX);
        Box::new(Properties { content_type, headers, ..Properties::default() })
    });
    let cut = Message {
        id: message.id,
        exchange: message.exchange.clone(),
        key: message.key.detached(),
        payload: bytes::Bytes::copy_from_slice(start.get(..end).unwrap_or(start)),
        qos: message.qos,
        retain: message.retain,
        persistent: message.persistent,
        publisher: message.publisher.clone(),
        published_at: message.published_at,
        expires_at: message.expires_at,
        properties,
        wire: WireCache::default(),
    };
    (Arc::new(cut), true)
}

fn bytes_of(properties: &Properties) -> usize {
    let headers: usize = properties.headers.iter().map(|(name, value)| pair_bytes(name, value)).sum();
    let content_type = properties.content_type.as_ref().map_or(0, |text| text.len());
    let correlation = properties.correlation.as_ref().map_or(0, bytes::Bytes::len);
    size_of::<Properties>() + content_type + correlation + headers
}

fn pair_bytes(name: &bytestring::ByteString, value: &bytestring::ByteString) -> usize {
    name.len() + value.len() + 2 * size_of::<bytestring::ByteString>()
}

/// So much of a payload is kept.
const PAYLOAD_BYTES_MAX: usize = 4096;
/// So much of its properties.
const PROPERTIES_BYTES_MAX: usize = 4096;
/// So much of all of them, whatever their number.
const BYTES_MAX: usize = 16 << 20;
/// So many are looked at under the lock.
const AT_ONCE: usize = 64;
