//! auto, client, client-individual: which message an ACK means.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use model::delivery::DeliveryTag;
use model::name::ConsumerId;

use crate::destination::ShownBy;
use crate::encode::{command, number, own_header};
use crate::escape::Escapes;
use crate::frame::Command;

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
    fn label(self) -> Arc<str> {
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
    /// What is the same in each MESSAGE, written once: how it starts, up to the destination, and what follows that, up to the
    /// number in `message-id`.
    written: Box<[u8]>,
    /// Where the latter begins.
    ids_at: usize,
    /// How the ids of its messages start.
    label: Arc<str>,
    /// Whether its messages can be settled: it did not end.
    goes_on: bool,
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
    /// Those that go on, in the order of their labels. Nearly every connection has one: a list holds no room for more, and is
    /// looked through faster than a table.
    by_label: Vec<(Arc<str>, ConsumerId)>,
    /// Those too that are ending: what was on its way to them is still sent. In the order of their numbers.
    #[expect(clippy::vec_box, reason = "one of thousands ends, and the others move up")]
    all: Vec<Box<Subscription>>,
    last_consumer: u32,
    /// The one that hears what is refused, among those that go on.
    errors: Option<ConsumerId>,
    /// The number of the last message.
    sent: u64,
}

impl Subscriptions {
    /// How many there are, those that are ending included.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Starts one; `None` if one of that name goes on already. The ids of its messages name the connection, which needs no
    /// escapes.
    pub(crate) fn open(
        &mut self,
        name: Name<'_>,
        mode: AckMode,
        shape: Shape,
        (connection, escapes): (&str, Escapes),
    ) -> Option<ConsumerId> {
        let label = name.label();
        let Err(place) = self.place_of_label(&label) else { return None };
        // Zero is the consumer of a session's own queue, which a connection of STOMP does not have.
        self.last_consumer += 1;
        let consumer = ConsumerId(self.last_consumer);
        let mut written = BytesMut::new();
        command(&mut written, Command::Message.as_str());
        if let Name::Id(id) = name {
            own_header(&mut written, escapes, "subscription", id);
        }
        written.extend_from_slice(b"destination:");
        let ids_at = written.len();
        written.extend_from_slice(MESSAGE_ID);
        escapes.write(&label, &mut written);
        for part in [SEPARATOR, connection, SEPARATOR] {
            written.extend_from_slice(part.as_bytes());
        }
        let subscription = Subscription {
            consumer,
            mode,
            shape,
            written: written[..].into(),
            ids_at,
            label: Arc::clone(&label),
            goes_on: true,
            first: self.sent + 1,
            unsettled: VecDeque::new(),
        };
        if self.all.is_empty() {
            self.all.reserve_exact(1);
            self.by_label.reserve_exact(1);
        }
        self.by_label.insert(place, (label, consumer));
        if shape.errors {
            self.errors = self.errors.or(Some(consumer));
        }
        self.all.push(Box::new(subscription));
        Some(consumer)
    }

    /// The one of that name, if it goes on.
    pub(crate) fn find(&self, name: Name<'_>) -> Option<&Subscription> {
        let (_, consumer) = self.by_label.get(self.place_of_label(&name.label()).ok()?)?;
        self.of_consumer(*consumer)
    }

    /// Where the one of that label is among those that go on, or where it would be.
    fn place_of_label(&self, label: &str) -> Result<usize, usize> {
        self.by_label.binary_search_by(|(other, _)| (**other).cmp(label))
    }

    fn place(&self, consumer: ConsumerId) -> Option<usize> {
        self.all.binary_search_by_key(&consumer, |one| one.consumer).ok()
    }

    fn get_mut(&mut self, consumer: ConsumerId) -> Option<&mut Subscription> {
        let at = self.place(consumer)?;
        self.all.get_mut(at).map(|one| &mut **one)
    }

    /// The one the broker knows by that number, also if it is ending.
    pub(crate) fn of_consumer(&self, consumer: ConsumerId) -> Option<&Subscription> {
        self.all.get(self.place(consumer)?).map(|one| &**one)
    }

    /// The client wants no more of it; its name is free again. What was not acknowledged cannot be any more.
    pub(crate) fn end(&mut self, consumer: ConsumerId) {
        if let Some(subscription) = self.get_mut(consumer) {
            subscription.unsettled = VecDeque::new();
            if std::mem::take(&mut subscription.goes_on) {
                let label = Arc::clone(&subscription.label);
                if let Ok(at) = self.place_of_label(&label) {
                    self.by_label.remove(at);
                }
            }
        }
        if self.errors == Some(consumer) {
            // There may be another one.
            self.errors = self.all.iter().find(|one| one.shape.errors && one.goes_on).map(|one| one.consumer);
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
        if let Some(at) = self.place(consumer) {
            self.all.remove(at);
        }
    }

    /// Whether its messages can be settled: it did not end.
    pub(crate) fn goes_on(&self, consumer: ConsumerId) -> bool {
        self.of_consumer(consumer).is_some_and(|one| one.goes_on)
    }

    /// A message is sent to it: its number and what its id is made of. `None` if there is no such subscription.
    pub(crate) fn deliver(
        &mut self,
        consumer: ConsumerId,
        tag: DeliveryTag,
    ) -> Option<(MessageNumber, &Subscription)> {
        let at = self.place(consumer)?;
        let subscription = self.all.get_mut(at)?;
        self.sent += 1;
        let settles = subscription.mode != AckMode::Auto && tag != NOTHING_TO_SETTLE;
        if settles && subscription.goes_on {
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
        let place = self.place_of_label(label).ok();
        let consumer = place.and_then(|at| self.by_label.get(at)).map(|(_, consumer)| *consumer);
        let Some(subscription) = consumer.and_then(|consumer| self.get_mut(consumer)) else {
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
            && let Some(subscription) = self.get_mut(consumer)
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

    /// How each MESSAGE starts: with all that stands before the destination.
    pub(crate) fn start(&self) -> &[u8] {
        self.written.get(..self.ids_at).unwrap_or_default()
    }

    /// Ends the line before, and writes `message-id` and, `for_ack`, `ack`. Their last line is left without its end.
    pub(crate) fn write_ids(&self, number: MessageNumber, for_ack: bool, buf: &mut BytesMut) {
        let ids = self.written.get(self.ids_at..).unwrap_or_default();
        buf.extend_from_slice(ids);
        number.write(buf);
        if for_ack {
            buf.extend_from_slice(b"\nack:");
            buf.extend_from_slice(ids.get(MESSAGE_ID.len()..).unwrap_or_default());
            number.write(buf);
        }
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
        number(buf, self.number);
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

/// What stands before the id of a message.
const MESSAGE_ID: &[u8] = b"\nmessage-id:";
const NOTHING_TO_SETTLE: DeliveryTag = DeliveryTag(0);
const SEPARATOR: &str = "@@";
const UNSETTLED_MARK: &str = "q";
