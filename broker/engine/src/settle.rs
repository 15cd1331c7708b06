//! Accept, receive, requeue, reject.

use model::change::Change;
use model::delivery::Outcome;
use model::request::Settle;
use routing::{Dead, Settled, Wakes};

use crate::attached::Attached;
use crate::expiry;
use crate::parts::Parts;

/// Settles one delivery in memory, and adds to `changes` what must last of it. What is to go elsewhere is returned: its
/// removal belongs to the same commit as what becomes of it.
#[must_use]
pub(crate) fn settle(
    parts: &Parts,
    consumer: &Attached,
    settle: Settle,
    changes: &mut impl Extend<Change>,
    wakes: &mut Wakes,
) -> Option<Dead> {
    match consumer.queue.settle(consumer.key, settle.tag, settle.outcome, wakes) {
        // Settled before, or taken over: saying it again changes nothing.
        Settled::Unknown => {}
        Settled::Received { durable } => changes.extend(durable.map(Change::Receive)),
        Settled::Requeued => {
            parts.metrics.messages_redelivered.increment();
            expiry::watch(parts, &consumer.queue);
        }
        Settled::Dead(dead) => return Some(dead),
        Settled::Read => parts.metrics.messages_acked.increment(),
        Settled::Removed { durable, message: _ } => {
            match settle.outcome {
                Outcome::Accepted | Outcome::Received => parts.metrics.messages_acked.increment(),
                Outcome::Rejected | Outcome::Requeued => parts.metrics.messages_dropped.increment(),
            }
            changes.extend(durable.map(Change::Remove));
        }
    }
    None
}
