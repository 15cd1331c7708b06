//! What nobody took before its time was up is taken away: it must not fill a queue, or count as retained, for ever.

use std::sync::{Arc, Weak};
use std::time::Duration;

use model::change::{Change, Changeset};
use routing::Taken;

use crate::clock;
use crate::core::Core;
use crate::parts::Parts;

/// Looks at all queues and all retained messages every few seconds, until the broker is gone.
pub(crate) async fn sweep(core: Weak<Core>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(parts) = core.upgrade().map(|core| Arc::clone(&core.parts)) else { return };
        for queues in parts.vhost.router.queues().chunks(QUEUES_AT_ONCE) {
            let mut taken = Taken::default();
            for queue in queues {
                queue.expire(clock::wall_now(), &mut taken);
            }
            let changes = taken.removed.into_iter().map(Change::Remove).collect();
            parts.durable.commit_soon(Changeset { changes });
            parts.metrics.messages_expired.add(taken.expired as u64);
            tokio::task::yield_now().await;
        }
        forget_retained(&parts);
    }
}

fn forget_retained(parts: &Parts) {
    // Or one that is published meanwhile might be forgotten in the journal.
    let _retaining = parts.vhost.retaining();
    let mut changeset = Changeset::default();
    for (exchange, retained) in parts.vhost.all_retained() {
        for message in retained.expire(clock::wall_now()) {
            parts.metrics.retained.decrement();
            let key = message.key.clone();
            changeset.changes.push(Change::Unretain { exchange: exchange.clone(), key });
        }
    }
    parts.durable.commit_soon(changeset);
}

const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// After so many, others on the same worker have their turn.
const QUEUES_AT_ONCE: usize = 256;
