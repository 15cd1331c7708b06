//! Changeset: all that must last, as the only form of a durable effect.
//!
//! A changeset is self-contained: recovery, and one day a new owner of a shard, applies it without asking anyone.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::author::Author;
use crate::ban::{Ban, Subject};
use crate::key::{KeyPattern, RoutingKey};
use crate::message::Message;
use crate::name::{
    ClientId, ExchangeName, Incarnation, PolicyName, PublicationId, PublisherName, QueueId, QueueName,
    ShareName,
};
use crate::policy::Policy;
use crate::principal::Principal;
use crate::qos::Qos;
use crate::queue::{Binding, ExchangeBinding, ExchangeOptions, HeaderMatch, QueueOptions};
use crate::time::WallMs;

/// Changes that become durable together or not at all, in this order.
#[derive(Debug, Clone, Default)]
pub struct Changeset {
    /// What changes.
    pub changes: SmallVec<[Change; 2]>,
}

impl Changeset {
    /// Whether there is nothing to write. Committing it still waits its turn.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// One durable effect.
#[derive(Debug, Clone)]
pub enum Change {
    /// A message takes its places in queues: the body once, an entry for each.
    Enqueue {
        /// The body.
        message: Arc<Message>,
        /// Its places.
        entries: SmallVec<[Entry; 1]>,
    },
    /// The client has the message at this place, but not yet let go of its id (PUBREC).
    Receive(Place),
    /// The entry at this place is gone.
    Remove(Place),
    /// A QoS 2 id of a client came in; until it is forgotten, it is not routed again.
    Remember {
        /// Whose.
        client: ClientId,
        /// The packet id.
        id: u16,
    },
    /// The id may be used again.
    Forget {
        /// Whose.
        client: ClientId,
        /// The packet id.
        id: u16,
    },
    /// A publisher's message came in under that id; until it is forgotten, another one under it is not routed.
    RememberPublication {
        /// Whose.
        publisher: PublisherName,
        /// What he called it.
        id: PublicationId,
        /// When it came in.
        at: WallMs,
    },
    /// The id may be used again.
    ForgetPublication {
        /// Whose.
        publisher: PublisherName,
        /// What he called it.
        id: PublicationId,
    },
    /// The last message of its key.
    Retain {
        /// The message.
        message: Arc<Message>,
        /// Who had it retained; `None`: the broker itself, or it was written before that was kept.
        author: Option<Arc<Author>>,
    },
    /// No message is kept for that key any more.
    Unretain {
        /// The exchange.
        exchange: ExchangeName,
        /// The key.
        key: RoutingKey,
    },
    /// A session as it is now.
    PutSession(Box<SessionRecord>),
    /// A session ended; its QoS 2 ids go with it (its queue by [`Change::DeleteQueue`]).
    DropSession(ClientId),
    /// Somebody stays out.
    PutBan(Box<Ban>),
    /// He may come in again.
    DropBan(Box<Subject>),
    /// What holds by name; it replaces the policy of that name.
    PutPolicy(Box<Policy>),
    /// The policy holds no more.
    DropPolicy(PolicyName),
    /// An exchange, declared.
    DeclareExchange(Box<ExchangeOptions>),
    /// An exchange is gone; the bindings from it and to it go with it.
    DeleteExchange(ExchangeName),
    /// A queue, declared.
    DeclareQueue(Box<QueueRecord>),
    /// A queue is gone; its entries and its bindings go with it.
    DeleteQueue(QueueId),
    /// A binding to the queue of that id; it replaces one that differs only in its grant.
    Bind {
        /// The queue.
        queue: QueueId,
        /// The binding.
        binding: Box<Binding>,
    },
    /// A binding is gone.
    Unbind(Box<BindingKey>),
    /// A binding from one exchange to another.
    BindExchange(Box<ExchangeBinding>),
    /// Such a binding is gone.
    UnbindExchange(Box<ExchangeBinding>),
}

/// A message's place in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub place: Place,
    /// With which QoS it is to be delivered.
    pub qos: Qos,
    /// With which RETAIN flag.
    pub retain: bool,
    /// For which subscriptions.
    pub subscription_ids: SmallVec<[u32; 1]>,
    /// Whose message it is, if that is to be asked when it goes on from here.
    pub author: Option<Arc<Author>>,
}

/// A queue and a number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The queue.
    pub queue: QueueId,
    /// Counts up from 1 in each queue, and is never used again.
    pub sequence: u64,
}

/// A queue with the number that the journal knows it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRecord {
    /// The number.
    pub id: QueueId,
    /// As it was declared.
    pub options: QueueOptions,
    /// How far it had come when the broker stopped in order.
    pub rested: Option<Rested>,
}

/// How far a queue had come when a life of the broker ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rested {
    /// Of that life; it says nothing about later ones.
    pub life: Incarnation,
    /// Nothing above this number was ever sent to anybody.
    pub sent_through: u64,
}

/// What makes a binding this one and no other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BindingKey {
    /// From.
    pub exchange: ExchangeName,
    /// For.
    pub pattern: KeyPattern,
    /// And for.
    pub arguments: HeaderMatch,
    /// As a member of.
    pub share: Option<ShareName>,
    /// To.
    pub queue: QueueName,
    /// To, by number.
    pub queue_id: QueueId,
}

/// A session that outlives its connection.
#[derive(Debug, Clone)]
pub struct SessionRecord {
    /// Whose.
    pub client: ClientId,
    /// As whom he made it; `None`: it was written before that was kept.
    pub owner: Option<Principal>,
    /// Its own queue.
    pub queue: QueueId,
    /// How long it outlives its connection, in seconds; `u32::MAX`: for ever.
    pub expiry_s: u32,
    /// Since when it has no connection; `None` while it has one.
    pub disconnected_at: Option<WallMs>,
    /// While it has no connection: nothing above this number of its queue was ever sent. `None`: nobody knows.
    pub sent_through: Option<u64>,
    /// To be published if the client is lost.
    pub will: Option<Box<WillRecord>>,
}

/// A will that waits.
#[derive(Debug, Clone)]
pub struct WillRecord {
    /// What to publish; its expiry starts when it is published.
    pub message: Arc<Message>,
    /// Its expiry, in milliseconds from then on.
    pub expiry_ms: Option<u64>,
    /// How long to wait first, in seconds.
    pub delay_s: u32,
    /// How long it waits from when it is published until anybody gets it, in milliseconds; 0: not at all.
    pub waits_ms: u64,
}
