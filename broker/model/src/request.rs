//! What a session asks of the broker.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::delivery::{DeliveryTag, Outcome};
use crate::grant::Grant;
use crate::key::{KeyPattern, RoutingKey};
use crate::message::Message;
use crate::name::{ClientId, ConsumerId, ExchangeName, PublicationId, QueueName, ShareName};
use crate::principal::Credentials;
use crate::properties::Properties;
use crate::qos::Qos;
use crate::queue::{Binding, HeaderMatch, QueueDeclaration};
use crate::stream::Start;
use crate::time::WallMs;

/// Pairs an answer with its question. Chosen by the session; the broker only hands it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// One thing that a session asks. Requests are taken in order.
#[derive(Debug)]
pub enum Request {
    /// Let this client in. First, and once. Answered by [`crate::event::Event::Opened`] or `Refused`; before that by
    /// `Challenged`, where the client has to say more.
    Open(Box<Open>),
    /// The next step of an exchange. Answered as the request that began it was.
    Proceed(Proceed),
    /// Shows anew who the client is, once it is in (MQTT 5.0, 4.12.1); there is a [`crate::principal::Proof`] or a token in it.
    /// Answered by [`crate::event::Event::Challenged`], `Reauthenticated` or `Refused`. Until then all stays as it was.
    Reauthenticate(Box<Credentials>),
    /// Publish and settle, together or not at all. Answered by [`crate::event::Event::Submitted`].
    Submit(Submit),
    /// Answered by [`crate::event::Event::Subscribed`].
    Subscribe(Box<Subscribe>),
    /// Answered by [`crate::event::Event::Unsubscribed`].
    Unsubscribe(Box<Unsubscribe>),
    /// A QoS 2 id is free again (PUBREL). Answered by [`crate::event::Event::Released`], once that is durable.
    Release(Release),
    /// The client is leaving, in an orderly way. Nothing follows. Without it, the connection was lost.
    Close(Close),
}

/// CONNECT, in either protocol.
#[derive(Debug)]
pub struct Open {
    /// What the client showed.
    pub credentials: Credentials,
    /// The version of its protocol: `5.0`, `1.2`.
    pub version: &'static str,
    /// How the client and its session are named.
    pub identity: Identity,
    /// The namespace it asked for: STOMP's `host`. `None`, or a name that stands for the default one, is the default.
    pub vhost: Option<String>,
    /// To be published if the client is lost (MQTT 5.0, 3.1.2.5).
    pub will: Option<Box<Will>>,
}

/// What a client answered to [`crate::event::Event::Challenged`]. It never appears in a log.
pub struct Proceed {
    /// Its answer.
    pub data: Option<Bytes>,
}

impl std::fmt::Debug for Proceed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proceed")
    }
}

/// What outlives the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A session with a queue of its own (MQTT). The broker makes up an id where there is none.
    Session {
        /// The client id; `None`: to be assigned.
        client: Option<ClientId>,
        /// Forget what was (Clean Start, Clean Session).
        clean_start: bool,
        /// How long the session outlives its connection, in seconds; 0: not at all, `u32::MAX`: for ever.
        expiry_s: u32,
    },
    /// Nothing (STOMP): queues are named by subscriptions.
    Connection,
}

/// A message to be published when a client is lost.
#[derive(Debug)]
pub struct Will {
    /// What to publish.
    pub publish: Publish,
    /// How long to wait first, in seconds (MQTT 5.0, 3.1.3.2.2).
    pub delay_s: u32,
}

/// Operations that take effect together or not at all: a plain publish is a list of one, a transaction a list of many, a
/// list of none waits for all that was asked before.
#[derive(Debug)]
pub struct Submit {
    /// Answers to submits come in the order of the submits. A refusal is always answered.
    pub ticket: Ticket,
    /// Whether success is to be answered too.
    pub answer: bool,
    /// What to do.
    pub operations: SmallVec<[Operation; 1]>,
}

/// One step of a [`Submit`].
#[derive(Debug)]
pub enum Operation {
    /// A message for an exchange.
    Publish(Publish),
    /// A delivery, settled.
    Settle(Settle),
}

/// A message for an exchange.
#[derive(Debug)]
pub struct Publish {
    /// Where to.
    pub exchange: ExchangeName,
    /// With which key.
    pub key: RoutingKey,
    /// The body.
    pub payload: Bytes,
    /// How hard to deliver it. At QoS 0 it does not wait its turn behind messages that are on their way to the disk.
    pub qos: Qos,
    /// To be kept as the last one of its key; an empty payload deletes the kept one (MQTT 5.0, 3.3.1.3).
    pub retain: bool,
    /// To outlive the broker, in queues that do.
    pub persistent: bool,
    /// How long it is worth delivering, in milliseconds; `None`: for ever.
    pub expiry_ms: Option<u64>,
    /// How long it waits before it is published, in milliseconds; what it is worth counts from then on. 0: not at all.
    pub delay_ms: u64,
    /// What it says of itself.
    pub properties: Option<Box<Properties>>,
    /// The QoS 2 id to remember together with the message, for a session that outlives its connection.
    pub remember: Option<u16>,
    /// What its publisher calls it: under an id that he used before, within the window, it is answered like a new message
    /// and not routed. Means nothing in a will.
    pub publication: Option<PublicationId>,
    /// The queue to make first, if it does not exist (STOMP's SEND to `/queue/…`). Whoever asks for the same again shares what
    /// he asked with, so that it need not be looked at again.
    pub declare: Option<Arc<QueueDeclaration>>,
}

impl Publish {
    /// A message that was published before, as it is published again: by itself, at once, and worth delivering for as long as is
    /// left of it.
    pub fn again(message: &Message, now: WallMs) -> Self {
        let Message { exchange, key, payload, qos, retain, persistent, properties, expires_at, .. } = message;
        let left = expires_at.map(|end| end.since(now).as_millis());
        Self {
            exchange: exchange.clone(),
            key: key.clone(),
            payload: payload.clone(),
            qos: *qos,
            retain: *retain,
            persistent: *persistent,
            expiry_ms: left.map(|left| u64::try_from(left).unwrap_or(u64::MAX)),
            delay_ms: 0,
            properties: properties.clone(),
            remember: None,
            publication: None,
            declare: None,
        }
    }

    /// The header of STOMP, and the user property of MQTT 5.0, that says how long a message is to wait, in milliseconds.
    pub const DELAY_HEADER: &str = "x-delay";

    /// The longest delay, in seconds: as much as MQTT has four bytes for, about 136 years.
    pub const DELAY_S_MAX: u64 = u32::MAX as u64;

    /// What is wrong with a text that [`Self::delay_ms_of`] does not take.
    pub const DELAY_EXPECTED: &str = "a number of milliseconds, 0 to 4294967295000";

    /// Reads a delay: digits and nothing else, in milliseconds, [`Self::DELAY_S_MAX`] at most.
    pub fn delay_ms_of(text: &str) -> Option<u64> {
        digits(text).filter(|ms| *ms <= Self::DELAY_S_MAX * 1000)
    }

    /// The same of a text that counts seconds; the answer is in milliseconds.
    pub fn delay_ms_of_seconds(text: &str) -> Option<u64> {
        digits(text).filter(|seconds| *seconds <= Self::DELAY_S_MAX).map(|seconds| seconds * 1000)
    }
}

fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// A delivery, settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// Whose.
    pub consumer: ConsumerId,
    /// Which.
    pub tag: DeliveryTag,
    /// How.
    pub outcome: Outcome,
}

/// SUBSCRIBE, in either protocol.
#[derive(Debug)]
pub struct Subscribe {
    /// Pairs the answer.
    pub ticket: Ticket,
    /// In order; each is answered by itself.
    pub subscriptions: Vec<Subscription>,
}

/// One filter of an MQTT SUBSCRIBE, or one STOMP SUBSCRIBE.
#[derive(Debug)]
pub struct Subscription {
    /// What is bound to the queue; `None` to consume a queue as it is.
    pub source: Option<Source>,
    /// The queue.
    pub queue: Target,
    /// The consumer to make; `None`: the session's own.
    pub consumer: Option<Consumer>,
    /// Whether retained messages are wanted first (MQTT 5.0, 3.8.3.1).
    pub retained: Replay,
}

/// What a subscription binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// From this exchange.
    pub exchange: ExchangeName,
    /// Keys like these.
    pub pattern: KeyPattern,
    /// Headers like these.
    pub arguments: HeaderMatch,
    /// As a member of this share.
    pub share: Option<ShareName>,
    /// With these options.
    pub grant: Grant,
}

impl Source {
    /// The binding to `queue` that this source asks for.
    pub fn to_binding(&self, queue: QueueName) -> Binding {
        Binding {
            exchange: self.exchange.clone(),
            pattern: self.pattern.clone(),
            arguments: self.arguments.clone(),
            queue,
            share: self.share.clone(),
            grant: self.grant.clone(),
        }
    }
}

/// Which queue a subscription is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The session's own (MQTT).
    Session,
    /// One for this subscription alone, named by the broker, gone with it.
    Private,
    /// The same, for replies to what this connection asks: of this name, under which others send to it. It begins with
    /// [`QueueName::FOR_REPLIES`], and nobody can guess it.
    Replies(QueueName),
    /// One of this name, made like this if it does not exist.
    Declare(Box<QueueDeclaration>),
    /// One of this name, which must exist.
    Existing(QueueName),
}

/// Who takes messages from a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its name on this link.
    pub id: ConsumerId,
    /// Whether deliveries wait to be settled; otherwise they are settled by being sent.
    pub acknowledges: bool,
    /// The most deliveries that may be unsettled; `None`: no limit of its own. Means nothing without acknowledgements.
    pub prefetch: Option<u32>,
    /// From where on it reads a stream; `None`: what is usual, which is what comes from now on.
    pub start: Option<Start>,
}

/// Whether a new subscription wants the retained messages that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replay {
    /// Always (Retain Handling 0).
    Always,
    /// Only if the subscription is new (Retain Handling 1).
    IfNew,
    /// Never (Retain Handling 2, and STOMP).
    Never,
}

/// UNSUBSCRIBE, in either protocol.
#[derive(Debug)]
pub struct Unsubscribe {
    /// Pairs the answer.
    pub ticket: Ticket,
    /// In order; each is answered by itself.
    pub subscriptions: Vec<Unsubscription>,
}

/// One subscription that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsubscription {
    /// A binding of the session's own queue (MQTT).
    Binding {
        /// The exchange it comes from.
        exchange: ExchangeName,
        /// Its pattern.
        pattern: KeyPattern,
        /// Its share.
        share: Option<ShareName>,
    },
    /// A consumer (STOMP). What it had not settled returns to the queue; a private queue goes.
    Consumer {
        /// Which one.
        id: ConsumerId,
        /// Whether its queue is to be deleted too (a durable topic subscription that ends for good).
        delete_queue: bool,
    },
}

/// A QoS 2 id that may be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Pairs the answer.
    pub ticket: Ticket,
    /// The id of PUBREL.
    pub id: u16,
}

/// The client's good-bye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// Whether the will is forgotten (MQTT 5.0, 3.14.4) or published.
    pub discard_will: bool,
    /// A new session expiry in seconds, where the client gave one (MQTT 5.0, 3.14.2.2.2).
    pub expiry_s: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_digits_within_its_bounds() {
        for (text, ms) in [("0", 0), ("5000", 5000), ("4294967295000", 4_294_967_295_000), ("007", 7)] {
            assert_eq!(Publish::delay_ms_of(text), Some(ms), "{text}");
        }
        for text in ["", "-1", "+1", "1.5", " 1", "1s", "4294967295001", "99999999999999999999999"] {
            assert_eq!(Publish::delay_ms_of(text), None, "{text:?}");
        }
        assert_eq!(Publish::delay_ms_of_seconds("4294967295"), Some(4_294_967_295_000));
        assert_eq!(Publish::delay_ms_of_seconds("4294967296"), None);
    }
}
