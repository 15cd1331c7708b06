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

    /// Lets go of the read buffer: what is kept of it is copied.
    pub fn detach(&mut self) {
        let copy = |text: &mut ByteString| *text = ByteString::from(&**text);
        let Self { content_type, payload_is_text: _, reply_to, correlation, priority: _, headers } = self;
        if let Some(text) = content_type {
            match usual_content_type(text) {
                Some(usual) => *text = ByteString::from_static(usual),
                None => copy(text),
            }
        }
        match reply_to {
            Some(ReplyTo::Address { exchange: _, key }) => *key = key.detached(),
            Some(ReplyTo::Text(text)) => copy(text),
            None => {}
        }
        if let Some(data) = correlation {
            *data = Bytes::copy_from_slice(data);
        }
        for (name, value) in headers.iter_mut() {
            copy(name);
            copy(value);
        }
        headers.shrink_to_fit();
    }
}

/// The program has the types that nearly all messages have: none of these needs a copy of its own.
fn usual_content_type(text: &str) -> Option<&'static str> {
    USUAL_CONTENT_TYPES.iter().copied().find(|usual| *usual == text)
}

const USUAL_CONTENT_TYPES: [&str; 6] = [
    "text/plain",
    "application/json",
    "application/octet-stream",
    "text/plain;charset=UTF-8",
    "application/json;charset=UTF-8",
    "application/xml",
];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_detached_says_the_same_and_holds_on_to_no_read_buffer() {
        for content_type in ["text/plain", "image/x-odd"] {
            let read = ByteString::from(format!("{content_type} name value id where"));
            let part = |text: &str| {
                let at = read.find(text).unwrap();
                read.slice_ref(&read[at..at + text.len()])
            };
            let said = Properties {
                content_type: Some(part(content_type)),
                payload_is_text: Some(true),
                reply_to: Some(ReplyTo::Text(part("where"))),
                correlation: Some(part("id").into_bytes()),
                priority: Some(4),
                headers: vec![(part("name"), part("value"))],
            };
            let mut kept = said.clone();
            kept.detach();
            assert_eq!(kept, said);
            drop(said);
            assert!(read.into_bytes().is_unique(), "{content_type}");
        }
    }
}
