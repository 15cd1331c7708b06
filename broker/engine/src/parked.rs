//! Parked: what a client published while publishers are held, in its order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::durability::Durability;
use model::request::{Operation, Publish, Request, Submit};

use crate::inquiry::{detach, size_bytes};
use crate::levels::{Levels, Wanted};

/// What waits of one link. There is none where nothing is held.
#[derive(Default)]
pub(crate) struct Parked {
    waiting: VecDeque<(Instant, Request)>,
    bytes: usize,
}

impl Parked {
    /// Puts it behind those that wait.
    pub(crate) fn push(&mut self, mut request: Request, now: Instant) {
        detach(&mut request);
        self.bytes += size_bytes(&request);
        self.waiting.push_back((now, request));
    }

    /// The one that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<Request> {
        let (_, request) = self.waiting.pop_front()?;
        self.bytes -= size_bytes(&request);
        Some(request)
    }

    /// Whether the first has waited for as long as that.
    pub(crate) fn is_due(&self, now: Instant, after: Duration) -> bool {
        self.waiting.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= after)
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether `times` as much waits as a client may have waiting before it is no longer read.
    pub(crate) fn holds(&self, times: usize) -> bool {
        self.waiting.len() >= WAITING_MAX * times || self.bytes >= WAITING_BYTES_MAX * times
    }
}

/// Whether a request must wait, of a link of which others wait or do not. What settles never does: a client that both
/// publishes and consumes must be able to drain what holds it up.
pub(crate) fn must_wait(
    submit: &Submit,
    levels: &Levels,
    hold_lasting: bool,
    hold_all: bool,
    others_wait: bool,
) -> bool {
    let is_held = |one: &Operation| match one {
        Operation::Publish(publish) => {
            hold_all || others_wait || (hold_lasting && is_written(publish, levels))
        }
        Operation::Settle(_) => false,
    };
    submit.operations.iter().any(is_held) || (others_wait && submit.operations.is_empty())
}

/// Whether something of it may have to be written, as far as can be said before it is known where it goes.
fn is_written(publish: &Publish, levels: &Levels) -> bool {
    let Publish { exchange, key, properties, .. } = publish;
    let asks = || Wanted::new(levels, exchange, key, properties.as_deref()).alone();
    publish.retain || (publish.persistent && asks() > Durability::Memory)
}

const WAITING_MAX: usize = 256;
const WAITING_BYTES_MAX: usize = 256 << 10;
