//! What the broker tells a session.

use std::time::Instant;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use crate::name::{ClientId, ConsumerId, UserName};
use crate::qos::Qos;
use crate::refusal::Refusal;
use crate::request::Ticket;
use crate::time::WallMs;

/// An answer to a request, or news.
#[derive(Debug)]
pub enum Event {
    /// The client is in. What its session had not settled comes again by `deliver`, in its old order.
    Opened(Box<Opened>),
    /// The client is not let in, or could not show anew who it is. The session says so and closes.
    Refused(Refusal),
    /// The client has to say more to show who it is; this is what it is told. Answered by
    /// [`crate::request::Request::Proceed`].
    Challenged(Bytes),
    /// The client has shown anew who it is, and is told this.
    Reauthenticated(Option<Bytes>),
    /// What the client may do ends then, unless it shows something newer. Follows `Opened` and `Reauthenticated`, where there
    /// is an end.
    Expires(Ending),
    /// A submit took effect and, where it had to, is on disk; or nothing of it did.
    Submitted {
        /// Which.
        ticket: Ticket,
        /// What became of it.
        result: Result<Submitted, Refusal>,
    },
    /// Each subscription in its order; what was granted is durable where the session is.
    Subscribed {
        /// Which request.
        ticket: Ticket,
        /// What was granted, or why not.
        results: Vec<Result<Qos, Refusal>>,
    },
    /// Each subscription in its order: whether there was one.
    Unsubscribed {
        /// Which request.
        ticket: Ticket,
        /// Whether it existed.
        existed: Vec<bool>,
    },
    /// The id is free again, and that is durable where the session is.
    Released {
        /// Which request.
        ticket: Ticket,
        /// The id.
        id: u16,
        /// Whether it was known.
        known: bool,
    },
    /// A consumer lost its queue: somebody deleted it.
    ConsumerCancelled(ConsumerId),
    /// A consumer is no more, since what it took is denied by now.
    Revoked {
        /// Which one.
        consumer: ConsumerId,
        /// By which rule.
        refusal: Refusal,
    },
    /// The broker ends this connection. The session says good-bye in its protocol's words and closes.
    Closing(Farewell),
}

/// The end of what a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// When what it showed ends, as that says itself.
    pub at: WallMs,
    /// From when on it is refused.
    pub until: Instant,
}

/// What a client gets when it is let in.
#[derive(Debug)]
pub struct Opened {
    /// The client id that holds from now on: the client's own, or one made up; `None` for STOMP.
    pub client: Option<ClientId>,
    /// Whether a session was there before (MQTT 5.0, 3.2.2.1.1).
    pub session_present: bool,
    /// The QoS 2 ids that the client has not released yet.
    pub unreleased: Vec<u16>,
    /// Names this session, as text without blanks: STOMP's `session` header, and the first level of what is for this session
    /// alone ([`crate::personal`]). A client without an id has a session as long as its connection lasts.
    pub connection: String,
    /// Who the client turned out to be; `None` for an anonymous one.
    pub user: Option<UserName>,
    /// What the client is told at the end of an exchange.
    pub proof: Option<Bytes>,
}

/// What became of a submit that took effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Submitted {
    /// Which of its messages no queue took: their places among its operations, counted from 0.
    pub unrouted: SmallVec<[u32; 2]>,
}

impl Submitted {
    /// Of one operation alone; `routed`: a queue took it.
    pub fn one(routed: bool) -> Self {
        Self { unrouted: if routed { SmallVec::new() } else { smallvec![0] } }
    }

    /// Whether at least one queue took every message of it.
    pub fn is_routed(&self) -> bool {
        self.unrouted.is_empty()
    }
}

/// Why the broker ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Farewell {
    /// Another connection took the session over (MQTT 5.0, 3.1.4).
    TakenOver,
    /// The broker is stopping.
    ShuttingDown,
    /// Somebody in charge ended it.
    Kicked,
    /// The client would not be let in any more.
    Revoked,
}
