//! Rest: how far each queue was sent, noted when the broker stops in order.

use model::change::{Change, QueueRecord, Rested};
use routing::Owner;

use crate::parts::Parts;

/// Notes of every lasting queue in which something waits how far it was sent, so that at the next start nothing counts as
/// sent before that was not. To be called when nobody takes any more. A session's own queue needs no note: its record says
/// so, as soon as its client is gone.
pub(crate) fn note(parts: &Parts) {
    // No queue is deleted between the look and the note, which would bring it back.
    let _order = parts.vhost.order();
    let life = parts.numbers.incarnation();
    for queue in parts.vhost.router.queues() {
        let lasts = queue.options().durable && *queue.owner() == Owner::Nobody;
        if !lasts || queue.is_stream() || queue.stats().ready == 0 {
            continue;
        }
        let rested = Some(Rested { life, sent_through: queue.sent_through() });
        let record = QueueRecord { id: queue.id(), options: queue.options().clone(), rested };
        parts.durable.record(Change::DeclareQueue(Box::new(record)));
    }
}
