//! Numbers that are never given twice: messages, queues, links.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use model::name::{Incarnation, MessageId, NodeId, QueueId};

/// Where numbers come from. Each start of the broker has an incarnation of its own, so counting may begin at 1 again.
#[derive(Debug)]
pub(crate) struct Numbers {
    node: NodeId,
    incarnation: Incarnation,
    messages: AtomicU64,
    queues: AtomicU64,
    links: AtomicU64,
}

impl Numbers {
    pub(crate) const fn new(node: NodeId, incarnation: Incarnation) -> Self {
        Self {
            node,
            incarnation,
            messages: AtomicU64::new(1),
            queues: AtomicU64::new(1),
            links: AtomicU64::new(1),
        }
    }

    /// Of this life of the broker.
    pub(crate) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(crate) fn queue(&self) -> QueueId {
        let count = self.queues.fetch_add(1, Ordering::Relaxed);
        QueueId((u64::from(self.incarnation.0) << 32) | (count & 0xffff_ffff))
    }

    pub(crate) fn link(&self) -> u64 {
        self.links.fetch_add(1, Ordering::Relaxed)
    }

    /// What a link is called among all links of all lives of the broker.
    pub(crate) const fn link_name(&self, link: u64) -> SessionName {
        SessionName::OfLink(self.incarnation, link)
    }
}

/// What a session is called (see `model::personal`). Every client has one and hardly anybody asks for it: the text is made when
/// it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionName {
    /// One that goes with its link.
    OfLink(Incarnation, u64),
    /// One that has a queue, as long as there is that queue: over connections and restarts.
    OfQueue(QueueId),
    /// One that is not there yet, in what is foreseen of it.
    Supposed,
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfLink(life, link) => write!(f, "session-{}-{link}", life.0),
            Self::OfQueue(queue) => write!(f, "session-{}-q{}", queue.0 >> 32, queue.0 & 0xffff_ffff),
            Self::Supposed => f.write_str("SESSION"),
        }
    }
}

/// A run of message numbers taken at once, so that publishers do not meet at one counter for every message.
#[derive(Debug, Default)]
pub(crate) struct MessageIds {
    next: u64,
    end: u64,
}

impl MessageIds {
    pub(crate) fn next(&mut self, numbers: &Numbers) -> MessageId {
        if self.next == self.end {
            self.next = numbers.messages.fetch_add(RUN, Ordering::Relaxed);
            self.end = self.next + RUN;
        }
        let number = self.next;
        self.next += 1;
        MessageId { node: numbers.node, incarnation: numbers.incarnation, number }
    }
}

const RUN: u64 = 256;
