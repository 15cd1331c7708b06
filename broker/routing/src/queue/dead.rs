//! What a queue gives up, and why.

use std::sync::Arc;

use model::change::Place;
use model::message::Message;
use model::name::QueueName;
use model::queue::DeadLetter;

/// A message that a queue gave up and that is to go elsewhere. The queue has forgotten it; nothing of that is written yet.
#[derive(Debug, Clone)]
pub struct Dead {
    /// Which queue, and where to.
    pub from: Arc<DeadLetters>,
    /// Its place, if its removal is to be journalled: together with what becomes of it.
    pub place: Option<Place>,
    /// What it was.
    pub message: Arc<Message>,
    /// Why.
    pub cause: Cause,
}

/// A queue that does not drop what it gives up.
#[derive(Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// The queue.
    pub queue: QueueName,
    /// Where to.
    pub to: DeadLetter,
}

/// Why a queue gives a message up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its time was up: its own, or the queue's `x-message-ttl`.
    Expired,
    /// There were too many.
    TooMany,
    /// A consumer did not want it.
    Rejected,
    /// It came back too often.
    DeliveryLimit,
}

impl Cause {
    /// RabbitMQ's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::TooMany => "maxlen",
            Self::Rejected => "rejected",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}
