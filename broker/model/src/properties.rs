//! What a message says of itself, beside its key and its payload.

use bytes::Bytes;
use bytestring::ByteString;

use crate::key::RoutingKey;
use crate::name::ExchangeName;

/// The properties that both protocols know, and the free headers. A message without any carries none of this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// MIME type: Content Type in MQTT 5.0 (3.3.2.3.9), `content-type` in STOMP.
    pub content_type: Option<ByteString>,
    /// Whether the payload was announced as UTF-8 (MQTT 5.0, 3.3.2.3.2); `None` where nothing was said.
    pub payload_is_text: Option<bool>,
    /// Where an answer is to go: Response Topic in MQTT 5.0 (3.3.2.3.5), `reply-to` in STOMP.
    pub reply_to: Option<ReplyTo>,
    /// What the answer is to carry (MQTT 5.0, 3.3.2.3.6); in STOMP `correlation-id`.
    pub correlation: Option<Bytes>,
    /// Urgency among waiting messages, 0 to 255; higher goes first where a queue has priorities.
    pub priority: Option<u8>,
    /// User properties of MQTT 5.0, or STOMP's own headers: in order, names may repeat.
    pub headers: Vec<(ByteString, ByteString)>,
}

impl Properties {
    /// The first header of that name: where a name repeats, the first counts (STOMP 1.2, "Repeated Header Entries").
    pub fn header(&self, name: &str) -> Option<&ByteString> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether nothing is said: then a message carries none of this.
    pub const fn is_empty(&self) -> bool {
        let Self { content_type, payload_is_text, reply_to, correlation, priority, headers } = self;
        content_type.is_none()
            && payload_is_text.is_none()
            && reply_to.is_none()
            && correlation.is_none()
            && priority.is_none()
            && headers.is_empty()
    }

    /// A copy that holds on to no read buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        let copy = |text: &ByteString| ByteString::from(&**text);
        Self {
            content_type: self.content_type.as_ref().map(copy),
            payload_is_text: self.payload_is_text,
            reply_to: self.reply_to.as_ref().map(|to| match to {
                ReplyTo::Address { exchange, key } => {
                    ReplyTo::Address { exchange: exchange.clone(), key: key.detached() }
                }
                ReplyTo::Text(text) => ReplyTo::Text(copy(text)),
            }),
            correlation: self.correlation.as_ref().map(|bytes| Bytes::copy_from_slice(bytes)),
            priority: self.priority,
            headers: self.headers.iter().map(|(name, value)| (copy(name), copy(value))).collect(),
        }
    }
}

/// Where an answer is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyTo {
    /// A place that both protocols can name.
    Address {
        /// The exchange; topics live in [`ExchangeName::TOPIC`].
        exchange: ExchangeName,
        /// The key there.
        key: RoutingKey,
    },
    /// Something that only clients understand; passed on as it is.
    Text(ByteString),
}
