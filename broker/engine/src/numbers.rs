//! Numbers that are never given twice: messages, queues, links.

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

    /// A text that names a link among all links of all lives of the broker (see `model::personal`).
    pub(crate) fn link_name(&self, link: u64) -> String {
        format!("session-{}-{link}", self.incarnation.0)
    }
}

/// A text that names the session with that queue, as long as there is that queue: over connections and restarts.
pub(crate) fn session_name(queue: QueueId) -> String {
    format!("session-{}-q{}", queue.0 >> 32, queue.0 & 0xffff_ffff)
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
