//! What a hook is asked or told, as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::hook::{Caller, News};
use model::principal::Handshake;
use model::properties::ReplyTo;
use model::qos::Qos;
use model::request::{Publish, Subscription, Target};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::options::{HookOptions, Payload};
use super::place;

/// One question, or one piece of news.
#[derive(Serialize)]
pub(super) struct Question<'a> {
    /// Names it: if a connection broke, it may come twice.
    pub(super) id: &'a str,
    pub(super) event: &'static str,
    /// Milliseconds since 1970.
    pub(super) at_ms: u64,
    client: Client<'a>,
    #[serde(flatten)]
    subject: Subject<'a>,
}

/// What it is about.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Subject<'a> {
    Handshake(Option<Shown<'a>>),
    Message(Message<'a>),
    Subscription(Wanted),
    Orderly(bool),
}

#[derive(Serialize)]
struct Client<'a> {
    connection: &'a str,
    id: Option<&'a str>,
    user: Option<&'a str>,
    protocol: &'a str,
    transport: &'a str,
    version: &'a str,
    listener: &'a str,
    vhost: &'a str,
    address: Option<String>,
    attributes: Attributes<'a>,
}

/// As an object: a name is there once.
struct Attributes<'a>(&'a Caller);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.attributes.len()))?;
        for (name, value) in &self.0.attributes {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A handshake, as far as the hook is shown it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    headers: Vec<(&'a str, String)>,
}

#[derive(Serialize)]
pub(super) struct Message<'a> {
    destination: String,
    qos: u8,
    retain: bool,
    /// In bytes.
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    headers: Vec<(&'a str, &'a str)>,
}

#[derive(Serialize)]
pub(super) struct Wanted {
    filter: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    qos: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<String>,
}

impl<'a> Question<'a> {
    pub(super) fn new(
        id: &'a str,
        event: &'static str,
        at_ms: u64,
        caller: &'a Caller,
        subject: Subject<'a>,
    ) -> Self {
        let (protocol, transport) = caller.protocol.split_once('-').unwrap_or((caller.protocol, "tcp"));
        let client = Client {
            connection: &caller.connection,
            id: caller.client.as_ref().map(|client| client.as_str()),
            user: caller.user.as_ref().map(|user| user.as_str()),
            protocol,
            transport,
            version: caller.version,
            listener: &caller.listener,
            vhost: caller.vhost.as_str(),
            address: caller.address.map(|address| address.to_string()),
            attributes: Attributes(caller),
        };
        Self { id, event, at_ms, client, subject }
    }
}

impl<'a> Subject<'a> {
    pub(super) fn handshake(handshake: Option<&'a Handshake>, options: &HookOptions) -> Self {
        Self::Handshake(handshake.map(|handshake| {
            let headers = handshake.headers.iter();
            let headers = headers.filter(|(name, _)| options.headers.iter().any(|shown| *shown == **name));
            Shown {
                path: &handshake.path,
                query: handshake.query.as_deref().filter(|_| options.query),
                headers: headers
                    .map(|(name, value)| (&**name, String::from_utf8_lossy(value).into_owned()))
                    .collect(),
            }
        }))
    }

    pub(super) fn message(publish: &'a Publish, payload: Payload) -> Self {
        let text = match payload {
            Payload::Text => std::str::from_utf8(&publish.payload).ok(),
            Payload::Base64 | Payload::None => None,
        };
        let is_encoded = text.is_none() && payload != Payload::None;
        let properties = publish.properties.as_deref();
        Self::Message(Message {
            destination: place::write(&publish.exchange, publish.key.as_str()),
            qos: number(publish.qos),
            retain: publish.retain,
            size: publish.payload.len(),
            text,
            base64: is_encoded.then(|| STANDARD.encode(&publish.payload)),
            content_type: properties.and_then(|properties| properties.content_type.as_deref()),
            reply_to: properties.and_then(|properties| properties.reply_to.as_ref()).map(|to| match to {
                ReplyTo::Address { exchange, key } => place::write(exchange, key.as_str()),
                ReplyTo::Text(text) => text.to_string(),
            }),
            correlation: properties
                .and_then(|properties| properties.correlation.as_ref())
                .map(|bytes| STANDARD.encode(bytes)),
            expiry_ms: publish.expiry_ms,
            delay_ms: Some(publish.delay_ms).filter(|ms| *ms > 0),
            headers: properties
                .iter()
                .flat_map(|properties| &properties.headers)
                .map(|(name, value)| (&**name, &**value))
                .collect(),
        })
    }

    pub(super) fn subscription(subscription: &Subscription) -> Self {
        let (filter, source) = match (&subscription.source, &subscription.queue) {
            (Some(source), _) => (place::write(&source.exchange, &source.pattern.to_string()), Some(source)),
            (None, queue) => (place::write(&model::name::ExchangeName::DEFAULT, queue_name(queue)), None),
        };
        // STOMP has no levels of QoS.
        let source = source.filter(|_| subscription.consumer.is_none());
        Self::Subscription(Wanted {
            filter,
            qos: source.map(|source| number(source.grant.qos)),
            share: source.and_then(|source| Some(source.share.as_ref()?.to_string())),
        })
    }

    pub(super) fn news(news: &News) -> (&'static str, Self) {
        match news {
            News::Unsubscribed { exchange, pattern } => {
                let filter = place::write(exchange, &pattern.to_string());
                ("unsubscribe", Self::Subscription(Wanted { filter, qos: None, share: None }))
            }
            News::Left { orderly } => ("disconnect", Self::Orderly(*orderly)),
        }
    }
}

/// The name of a queue that is subscribed to; empty where the client does not name one.
pub(super) fn queue_name(queue: &Target) -> &str {
    match queue {
        Target::Declare(declaration) => declaration.options.name.as_str(),
        Target::Existing(name) | Target::Replies(name) => name.as_str(),
        Target::Session | Target::Private => "",
    }
}

const fn number(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}
