//! What a hook answers. It is read as strictly as what a client says: what is not understood is no answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use model::hook::Attributes;
use model::key::{KeyPattern, RoutingKey};
use model::name::{ExchangeName, QueueName};
use model::properties::Properties;
use model::qos::Qos;
use model::refusal::Refusal;
use model::request::{Publish, Source, Subscription, Target};
use serde::Deserialize;

use super::place;

/// Yes, perhaps with changes; or no.
#[derive(Debug)]
pub(super) enum Answer {
    Allow(Box<Changes>),
    Deny(Refusal),
}

/// What a hook changes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Changes {
    attributes: Option<BTreeMap<String, String>>,
    message: Option<Message>,
    subscription: Option<Wanted>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    destination: Option<String>,
    text: Option<String>,
    base64: Option<String>,
    content_type: Option<String>,
    headers: Option<Vec<(String, String)>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    filter: Option<String>,
    qos: Option<u8>,
}

#[derive(Deserialize)]
#[serde(tag = "result", rename_all = "lowercase", deny_unknown_fields)]
enum Said {
    Allow {
        attributes: Option<BTreeMap<String, String>>,
        message: Option<Message>,
        subscription: Option<Wanted>,
    },
    Deny {
        code: Option<u8>,
        text: Option<String>,
    },
}

/// Why what came is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// It is no JSON, or not the JSON that it should be.
    #[error("not an answer: {0}")]
    Json(#[from] serde_json::Error),
    /// The code says that all is well.
    #[error("the code of a denial is 0x80 or more, and {0} is not")]
    Code(u8),
    /// It changes something else than it was asked about.
    #[error("it was not asked about {0}")]
    Unasked(&'static str),
    /// A place that there cannot be.
    #[error("{0:?} is no place: {1}")]
    Place(String, &'static str),
    /// A payload in two forms, or in none.
    #[error("a payload is either text or Base64")]
    Payload,
    /// What cannot be sent to a client.
    #[error("{0}")]
    Bounds(&'static str),
}

impl Answer {
    /// Reads the body of an answer; an empty one is for [`Changes::default`].
    pub(super) fn read(body: &[u8]) -> Result<Self, AnswerError> {
        match serde_json::from_slice(body)? {
            Said::Allow { attributes, message, subscription } => {
                Ok(Self::Allow(Box::new(Changes { attributes, message, subscription })))
            }
            Said::Deny { code: Some(code @ ..0x80), .. } => Err(AnswerError::Code(code)),
            Said::Deny { code, text } => {
                let text = text.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(NO_REASON);
                Ok(Self::Deny(Refusal::Vetoed {
                    text: one_line(text).into(),
                    code: code.unwrap_or(NOT_AUTHORIZED),
                }))
            }
        }
    }
}

impl Changes {
    /// What is to be known of a client that comes in, beside what is known already.
    pub(super) fn into_attributes(self, known: &Attributes) -> Result<Attributes, AnswerError> {
        self.only(|changes| changes.attributes.is_some())?;
        let mut known = known.clone();
        for (name, value) in self.attributes.into_iter().flatten() {
            if name.len() > ATTRIBUTE_NAME_BYTES_MAX || value.len() > ATTRIBUTE_BYTES_MAX {
                return Err(AnswerError::Bounds(
                    "an attribute has a name of 64 bytes and 1,024 bytes at most",
                ));
            }
            known.retain(|(known, _)| **known != *name);
            known.push((name.into(), value.into()));
        }
        if known.len() > ATTRIBUTES_MAX {
            return Err(AnswerError::Bounds("a client has 32 attributes at most"));
        }
        Ok(known)
    }

    /// The message as it is to be published.
    pub(super) fn apply_to_message(self, publish: &mut Publish) -> Result<(), AnswerError> {
        self.only(|changes| changes.message.is_some())?;
        let Some(Message { destination, text, base64, content_type, headers }) = self.message else {
            return Ok(());
        };
        // Everything is read before anything is changed.
        let to = destination.map(|text| place::read_key(&text).map_err(|why| AnswerError::Place(text, why)));
        let to = to.transpose()?;
        let payload = match (text, base64) {
            (None, None) => None,
            (Some(text), None) => Some(Bytes::from(text)),
            (None, Some(text)) => Some(STANDARD.decode(text).map_err(|_| AnswerError::Payload)?.into()),
            (Some(_), Some(_)) => return Err(AnswerError::Payload),
        };
        let fields = headers.iter().flatten().flat_map(|(name, value)| [name, value]).chain(&content_type);
        for field in fields {
            if field.len() > FIELD_BYTES_MAX || field.contains('\0') {
                return Err(AnswerError::Bounds("a header has at most 65,535 bytes, none of them zero"));
            }
        }
        if headers.as_ref().is_some_and(|headers| headers.len() > HEADERS_MAX) {
            return Err(AnswerError::Bounds("a message has 128 headers at most"));
        }
        if let Some((exchange, key)) = to {
            go(publish, exchange, key);
        }
        if content_type.is_some() || headers.is_some() {
            let properties = publish.properties.get_or_insert_default();
            if content_type.is_some() {
                properties.content_type = content_type.map(ByteString::from);
            }
            if let Some(headers) = headers {
                let headers = headers.into_iter();
                properties.headers =
                    headers.map(|(name, value)| (ByteString::from(name), ByteString::from(value))).collect();
            }
        }
        if let Some(payload) = payload {
            put(publish, payload);
        }
        publish.properties = publish.properties.take().filter(|one| **one != Properties::default());
        Ok(())
    }

    /// The subscription as it is to be made.
    pub(super) fn apply_to_subscription(self, subscription: &mut Subscription) -> Result<(), AnswerError> {
        self.only(|changes| changes.subscription.is_some())?;
        let Some(Wanted { filter, qos }) = self.subscription else { return Ok(()) };
        let place = filter.map(|text| match place::read_pattern(&text) {
            Ok((exchange, pattern)) => Ok((exchange, pattern, text)),
            Err(why) => Err(AnswerError::Place(text, why)),
        });
        let place = place.transpose()?;
        let qos = qos.map(|qos| match qos {
            0 => Ok(Qos::AtMostOnce),
            1 => Ok(Qos::AtLeastOnce),
            2 => Ok(Qos::ExactlyOnce),
            _ => Err(AnswerError::Bounds("QoS is 0, 1 or 2")),
        });
        let qos = qos.transpose()?;
        let has_qos = subscription.source.is_some() && subscription.consumer.is_none();
        if qos.is_some() && !has_qos {
            return Err(AnswerError::Unasked("QoS: this subscription has none"));
        }
        if let Some((exchange, pattern, text)) = place {
            redirect(subscription, exchange, pattern, text)?;
        }
        if let (Some(qos), Some(source)) = (qos, &mut subscription.source) {
            // Nobody is granted more than he asked for.
            source.grant.qos = source.grant.qos.min(qos);
        }
        Ok(())
    }

    fn only(&self, is_asked: impl Fn(&Self) -> bool) -> Result<(), AnswerError> {
        let given = [
            (self.attributes.is_some(), "attributes"),
            (self.message.is_some(), "a message"),
            (self.subscription.is_some(), "a subscription"),
        ];
        let count = given.iter().filter(|(is_given, _)| *is_given).count();
        match given.into_iter().find(|(is_given, _)| *is_given) {
            Some((_, what)) if count > 1 || !is_asked(self) => Err(AnswerError::Unasked(what)),
            _ => Ok(()),
        }
    }
}

/// Sends a message elsewhere.
fn go(publish: &mut Publish, exchange: ExchangeName, key: RoutingKey) {
    if exchange == publish.exchange && key == publish.key {
        return;
    }
    // The queue that the client asked for is not needed; of another name, one like it is.
    publish.declare = publish.declare.take().filter(|_| exchange == ExchangeName::DEFAULT).map(|queue| {
        let mut queue = Arc::unwrap_or_clone(queue);
        queue.options.name = QueueName::new(key.as_str());
        Arc::new(queue)
    });
    publish.exchange = exchange;
    publish.key = key;
}

fn put(publish: &mut Publish, payload: Bytes) {
    if let Some(properties) = &mut publish.properties
        && properties.payload_is_text == Some(true)
        && std::str::from_utf8(&payload).is_err()
    {
        // What was announced as text is none any more.
        properties.payload_is_text = None;
    }
    publish.payload = payload;
}

/// A topic stays a topic, and a queue a queue.
fn redirect(
    subscription: &mut Subscription,
    exchange: ExchangeName,
    pattern: KeyPattern,
    text: String,
) -> Result<(), AnswerError> {
    match (&mut subscription.source, &mut subscription.queue) {
        (Some(_), _) if exchange == ExchangeName::DEFAULT => {
            Err(AnswerError::Place(text, "a subscription to topics cannot become one to a queue"))
        }
        (Some(source), _) => {
            *source = Source { exchange, pattern, ..source.clone() };
            Ok(())
        }
        (None, Target::Declare(declaration)) if exchange == ExchangeName::DEFAULT => {
            declaration.options.name = QueueName::new(pattern.to_key().as_str());
            Ok(())
        }
        (None, Target::Existing(name)) if exchange == ExchangeName::DEFAULT => {
            *name = QueueName::new(pattern.to_key().as_str());
            Ok(())
        }
        (None, _) => Err(AnswerError::Place(text, "a subscription to this queue cannot become another one")),
    }
}

/// A text for a client and for a line of the log.
fn one_line(text: &str) -> String {
    let text = text.trim().chars().take(TEXT_CHARS_MAX);
    text.map(|char| if char.is_control() { ' ' } else { char }).collect()
}

const NO_REASON: &str = "a hook denies it";
/// Not authorized (MQTT 5.0, 2.4).
const NOT_AUTHORIZED: u8 = 0x87;
const TEXT_CHARS_MAX: usize = 256;

const ATTRIBUTES_MAX: usize = 32;
const ATTRIBUTE_NAME_BYTES_MAX: usize = 64;
const ATTRIBUTE_BYTES_MAX: usize = 1024;
const HEADERS_MAX: usize = 128;
/// As long as MQTT can write a text.
const FIELD_BYTES_MAX: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_yes_or_no_in_so_many_words() {
        assert!(matches!(Answer::read(br#"{"result": "allow"}"#), Ok(Answer::Allow(_))));
        let said = |body: &str| match Answer::read(body.as_bytes()) {
            Ok(Answer::Deny(Refusal::Vetoed { text, code })) => format!("{code:#04x} {text}"),
            Ok(other) => panic!("{other:?}"),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(said(r#"{"result": "deny"}"#), "0x87 a hook denies it");
        assert_eq!(said(r#"{"result": "deny", "code": 151, "text": "not\nnow\u0000"}"#), "0x97 not now ");
        assert!(
            said(&format!(r#"{{"result": "deny", "text": "{}"}}"#, "안".repeat(1000))).chars().count() < 300
        );
        for wrong in [
            "",
            "{}",
            "null",
            "true",
            "[]",
            r#""allow""#,
            r#"{"result": "ALLOW"}"#,
            r#"{"result": "allow", "mesage": {}}"#,
            r#"{"result": "allow", "message": {"payload": "x"}}"#,
            r#"{"result": "deny", "code": 0}"#,
            r#"{"result": "deny", "code": 127}"#,
            r#"{"result": "deny", "code": 256}"#,
            r#"{"result": "allow"} {"result": "deny"}"#,
            "<html>",
        ] {
            assert!(said(wrong).starts_with("error: "), "{wrong}");
        }
    }

    #[test]
    fn a_message_is_changed_as_a_whole_or_not_at_all() {
        let change = |body: &str| {
            let mut publish = publish();
            let result = changes(body).apply_to_message(&mut publish);
            if let Err(error) = result {
                assert_eq!(format!("{publish:?}"), format!("{:?}", self::publish()), "{body}: {error}");
                return Err(error.to_string());
            }
            Ok(publish)
        };
        let got = change(
            r#"{"destination": "$queue/jobs", "base64": "/w==", "content_type": "a/b", "headers": [["n", "1"], ["n", "2"]]}"#,
        )
        .unwrap();
        assert_eq!((got.exchange.as_str(), got.key.as_str(), &got.payload[..]), ("", "jobs", &[0xff][..]));
        let properties = got.properties.unwrap();
        assert_eq!(properties.content_type.as_deref(), Some("a/b"));
        assert_eq!((properties.headers.len(), properties.payload_is_text), (2, None));
        assert_eq!(&change(r#"{"text": ""}"#).unwrap().payload[..], b"");
        assert_eq!(&change("{}").unwrap().payload[..], b"x");
        for wrong in [
            r#"{"destination": "a/#"}"#,
            r#"{"destination": "$SYS/a", "text": "y"}"#,
            r#"{"destination": "b", "text": "y", "base64": "eQ=="}"#,
            r#"{"destination": "b", "base64": "?"}"#,
            r#"{"destination": "b", "headers": [["a", "\u0000"]]}"#,
        ] {
            assert!(change(wrong).is_err(), "{wrong}");
        }
        let many = vec![r#"["a", "b"]"#; 129].join(",");
        assert!(change(&format!(r#"{{"headers": [{many}]}}"#)).is_err());
        let other = r#"{"result": "allow", "subscription": {}}"#;
        let Ok(Answer::Allow(other)) = Answer::read(other.as_bytes()) else { panic!("no changes") };
        assert!(other.apply_to_message(&mut publish()).is_err());
    }

    #[test]
    fn attributes_add_up_within_bounds() {
        let say = |body: &str, known: Attributes| {
            let body = format!(r#"{{"result": "allow", "attributes": {body}}}"#);
            let Ok(Answer::Allow(changes)) = Answer::read(body.as_bytes()) else { panic!("{body}") };
            changes.into_attributes(&known)
        };
        let first = say(r#"{"a": "1", "b": "2"}"#, Vec::new()).unwrap();
        let both = say(r#"{"a": "3"}"#, first).unwrap();
        assert_eq!(both, [("b".into(), "2".into()), ("a".into(), "3".into())]);
        assert!(say(&format!(r#"{{"{}": "x"}}"#, "a".repeat(65)), Vec::new()).is_err());
        assert!(say(&format!(r#"{{"a": "{}"}}"#, "x".repeat(1025)), Vec::new()).is_err());
        let many: Vec<_> = (0..33).map(|number| format!(r#""{number}": """#)).collect();
        assert!(say(&format!("{{{}}}", many.join(",")), Vec::new()).is_err());
    }

    fn changes(message: &str) -> Changes {
        let body = format!(r#"{{"result": "allow", "message": {message}}}"#);
        match Answer::read(body.as_bytes()) {
            Ok(Answer::Allow(changes)) => *changes,
            other => panic!("{body}: {other:?}"),
        }
    }

    fn publish() -> Publish {
        Publish {
            exchange: ExchangeName::TOPIC,
            key: RoutingKey::from("a"),
            payload: Bytes::from_static(b"x"),
            qos: Qos::AtLeastOnce,
            retain: false,
            persistent: false,
            expiry_ms: None,
            properties: Some(Box::new(Properties { payload_is_text: Some(true), ..Properties::default() })),
            delay_ms: 0,
            remember: None,
            publication: None,
            declare: None,
        }
    }
}
