//! auto, client, client-individual: which message an ACK means.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use model::delivery::DeliveryTag;
use model::name::ConsumerId;

use crate::destination::ShownBy;
use crate::encode::header;
use crate::escape::Escapes;

/// How a subscription acknowledges (STOMP 1.2, "SUBSCRIBE ack Header").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckMode {
    /// Sent is acknowledged.
    Auto,
    /// An ACK means its message and all before it, of the same subscription.
    Client,
    /// An ACK means its message.
    ClientIndividual,
}

impl AckMode {
    /// Reads the header; `None` for a value that is not defined.
    pub(crate) fn parse(value: Option<&str>) -> Option<Self> {
        match value {
            None | Some("auto") => Some(Self::Auto),
            Some("client") => Some(Self::Client),
            Some("client-individual") => Some(Self::ClientIndividual),
            Some(_) => None,
        }
    }
}

/// What a client calls a subscription: by its id, or, if it has none, by its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// `id`.
    Id(&'a str),
    /// `destination`.
    Destination(&'a str),
}

impl Name<'_> {
    /// As ids of messages start: the two kinds of name never look alike.
    fn label(self) -> ByteString {
        match self {
            Self::Id(id) => format!("T_{id}"),
            Self::Destination(destination) => format!("Q_{destination}"),
        }
        .into()
    }
}

/// What is particular to one subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// How the broker knows it.
    pub(crate) consumer: ConsumerId,
    /// How it acknowledges.
    pub(crate) mode: AckMode,
    /// The rest of what it asked for.
    pub(crate) shape: Shape,
    /// How each MESSAGE starts: command and `subscription`.
    pub(crate) start: Bytes,
    /// How the ids of its messages start.
    label: ByteString,
    /// The number of the first message that can be its own: earlier ones belonged to another of the same name.
    first: u64,
    /// What waits for its ACK, by number, in the order it was sent.
    unsettled: VecDeque<(u64, DeliveryTag)>,
}

/// What a subscription asked for, beside its name and its acknowledgements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// How destinations are shown to it.
    pub(crate) shown_by: Option<ShownBy>,
    /// Whether its queue stays when it ends.
    pub(crate) durable: bool,
    /// Whether each message says its number.
    pub(crate) numbers: bool,
    /// Whether it hears what is refused to the client.
    pub(crate) errors: bool,
}

/// A message that waits for its ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsettled {
    /// Of which subscription.
    pub(crate) consumer: ConsumerId,
    /// Counts up over the connection.
    pub(crate) number: u64,
    /// How the broker knows it.
    pub(crate) tag: DeliveryTag,
}

/// The subscriptions of a connection.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// Those that go on, by label.
    by_label: HashMap<ByteString, ConsumerId>,
    /// Those too that are ending: what was on its way to them is still sent.
    by_consumer: HashMap<ConsumerId, Subscription>,
    last_consumer: u32,
    /// The one that hears what is refused, among those that go on.
    errors: Option<ConsumerId>,
    /// The number of the last message.
    sent: u64,
}

impl Subscriptions {
    /// How many there are, those that are ending included.
    pub(crate) fn len(&self) -> usize {
        self.by_consumer.len()
    }

    /// Starts one; `None` if one of that name goes on already.
    pub(crate) fn open(
        &mut self,
        name: Name<'_>,
        mode: AckMode,
        shape: Shape,
        escapes: Escapes,
    ) -> Option<ConsumerId> {
        let label = name.label();
        if self.by_label.contains_key(&label) {
            return None;
        }
        // Zero is the consumer of a session's own queue, which a connection of STOMP does not have.
        self.last_consumer += 1;
        let consumer = ConsumerId(self.last_consumer);
        let mut start = BytesMut::from(&b"MESSAGE\n"[..]);
        if let Name::Id(id) = name {
            header(&mut start, escapes, "subscription", id);
        }
        let subscription = Subscription {
            consumer,
            mode,
            shape,
            start: start.freeze(),
            label: label.clone(),
            first: self.sent + 1,
            unsettled: VecDeque::new(),
        };
        self.by_label.insert(label, consumer);
        if shape.errors {
            self.errors = self.errors.or(Some(consumer));
        }
        self.by_consumer.insert(consumer, subscription);
        Some(consumer)
    }

    /// The one of that name, if it goes on.
    pub(crate) fn find(&self, name: Name<'_>) -> Option<&Subscription> {
        self.by_consumer.get(self.by_label.get(&name.label())?)
    }

    /// The one the broker knows by that number, also if it is ending.
    pub(crate) fn of_consumer(&self, consumer: ConsumerId) -> Option<&Subscription> {
        self.by_consumer.get(&consumer)
    }

    /// The client wants no more of it; its name is free again. What was not acknowledged cannot be any more.
    pub(crate) fn end(&mut self, consumer: ConsumerId) {
        if let Some(subscription) = self.by_consumer.get_mut(&consumer) {
            subscription.unsettled = VecDeque::new();
            if self.by_label.get(&subscription.label) == Some(&consumer) {
                self.by_label.remove(&subscription.label);
            }
        }
        if self.errors == Some(consumer) {
            // There may be another one.
            let others = self.by_consumer.values().filter(|one| one.shape.errors).map(|one| one.consumer);
            self.errors = others.filter(|one| self.goes_on(*one)).min();
        }
    }

    /// The one that hears what is refused to the client.
    pub(crate) fn hears_errors(&self) -> Option<ConsumerId> {
        self.errors
    }

    /// A message of ours is sent to it, which needs no settling.
    pub(crate) fn deliver_ours(&mut self, consumer: ConsumerId) -> Option<(MessageNumber, &Subscription)> {
        self.deliver(consumer, NOTHING_TO_SETTLE)
    }

    /// The broker has ended it too.
    pub(crate) fn forget(&mut self, consumer: ConsumerId) {
        self.end(consumer);
        self.by_consumer.remove(&consumer);
    }

    /// Whether its messages can be settled: it did not end.
    pub(crate) fn goes_on(&self, consumer: ConsumerId) -> bool {
        let subscription = self.by_consumer.get(&consumer);
        subscription.is_some_and(|one| self.by_label.get(&one.label) == Some(&consumer))
    }

    /// A message is sent to it: its number and what its id is made of. `None` if there is no such subscription.
    pub(crate) fn deliver(
        &mut self,
        consumer: ConsumerId,
        tag: DeliveryTag,
    ) -> Option<(MessageNumber, &Subscription)> {
        let goes_on = self.goes_on(consumer);
        let subscription = self.by_consumer.get_mut(&consumer)?;
        self.sent += 1;
        let settles = subscription.mode != AckMode::Auto && tag != NOTHING_TO_SETTLE;
        if settles && goes_on {
            subscription.unsettled.push_back((self.sent, tag));
        }
        let number = MessageNumber { number: self.sent, settles };
        Some((number, subscription))
    }

    /// What an ACK or NACK of the message with that id settles; empty if it means a subscription that ended, or a message
    /// that needs no settling.
    ///
    /// # Errors
    ///
    /// No such message was sent, or it was settled before.
    pub(crate) fn take(&mut self, id: &str, connection: &str) -> Result<Vec<Unsettled>, AckError> {
        let (rest, number) = id.rsplit_once(SEPARATOR).ok_or(AckError::Unknown)?;
        let (label, of_connection) = rest.rsplit_once(SEPARATOR).ok_or(AckError::Unknown)?;
        let number = MessageNumber::parse(number).ok_or(AckError::Unknown)?;
        if of_connection != connection || number.number == 0 || number.number > self.sent {
            return Err(AckError::Unknown);
        }
        let consumer = self.by_label.get(label).copied();
        let Some(subscription) = consumer.and_then(|consumer| self.by_consumer.get_mut(&consumer)) else {
            return Ok(Vec::new());
        };
        if number.number < subscription.first {
            return Ok(Vec::new());
        }
        let waiting = &mut subscription.unsettled;
        let found = waiting.binary_search_by_key(&number.number, |(number, _)| *number);
        let consumer = subscription.consumer;
        let unsettled = |(number, tag)| Unsettled { consumer, number, tag };
        Ok(match (subscription.mode, found) {
            (AckMode::Auto, _) => return Err(AckError::Auto),
            (AckMode::Client | AckMode::ClientIndividual, Err(_)) if number.settles => {
                return Err(AckError::Unknown);
            }
            (AckMode::Client, Ok(at)) => waiting.drain(..=at).map(unsettled).collect(),
            (AckMode::Client, Err(at)) => waiting.drain(..at).map(unsettled).collect(),
            (AckMode::ClientIndividual, Ok(at)) => waiting.remove(at).map(unsettled).into_iter().collect(),
            (AckMode::ClientIndividual, Err(_)) => Vec::new(),
        })
    }

    /// What a transaction had taken waits again.
    pub(crate) fn put_back(&mut self, unsettled: Unsettled) {
        let Unsettled { consumer, number, tag } = unsettled;
        if self.goes_on(consumer)
            && let Some(subscription) = self.by_consumer.get_mut(&consumer)
        {
            let waiting = &mut subscription.unsettled;
            let at = waiting.partition_point(|(other, _)| *other < number);
            waiting.insert(at, (number, tag));
        }
    }
}

impl Subscription {
    /// What the client calls it, if it has an id.
    pub(crate) fn id(&self) -> Option<&str> {
        self.label.strip_prefix("T_")
    }

    /// Writes a header with the id of one of its messages, as `message-id` or `ack`. `connection` needs no escapes.
    pub(crate) fn write_id(
        &self,
        name: &str,
        number: MessageNumber,
        connection: &str,
        escapes: Escapes,
        buf: &mut BytesMut,
    ) {
        buf.extend_from_slice(name.as_bytes());
        buf.extend_from_slice(b":");
        escapes.write(&self.label, buf);
        buf.extend_from_slice(SEPARATOR.as_bytes());
        buf.extend_from_slice(connection.as_bytes());
        buf.extend_from_slice(SEPARATOR.as_bytes());
        number.write(buf);
        buf.extend_from_slice(b"\n");
    }
}

/// The number of a message within its connection, and whether its ACK settles something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageNumber {
    number: u64,
    settles: bool,
}

impl MessageNumber {
    /// A message at QoS 0 has nothing to settle, but the client will ACK it. Its id says so, and nothing is remembered.
    fn write(self, buf: &mut BytesMut) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = self.number;
        for slot in digits.iter_mut().rev() {
            // The remainder is below ten.
            *slot = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            at -= 1;
            if rest == 0 {
                break;
            }
        }
        buf.extend_from_slice(digits.get(at..).unwrap_or_default());
        if !self.settles {
            buf.extend_from_slice(UNSETTLED_MARK.as_bytes());
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix(UNSETTLED_MARK);
        let number = digits.unwrap_or(text);
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Some(Self { number: number.parse().ok()?, settles: digits.is_none() })).flatten()
    }
}

/// Why an ACK means no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AckError {
    /// Never sent here, or settled before.
    #[error(
        "no message with this id waits for its acknowledgement: it was never sent here, or is settled already."
    )]
    Unknown,
    /// Sent was acknowledged.
    #[error(
        "its subscription has ack:auto, so the message is settled already; SUBSCRIBE with ack:client-individual."
    )]
    Auto,
}

const NOTHING_TO_SETTLE: DeliveryTag = DeliveryTag(0);
const SEPARATOR: &str = "@@";
const UNSETTLED_MARK: &str = "q";
