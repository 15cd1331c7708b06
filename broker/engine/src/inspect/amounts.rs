//! Amounts: how much there is of everything, for those who measure, beside what is counted as it happens

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use routing::{Owner, Queue, QueueStats};
use telemetry::{Metric, Value};

use crate::core::Core;

/// How much there is.
#[derive(Debug, Clone, Default)]
pub struct Amounts {
    /// What was counted since the start, by the names of [`telemetry::Metrics`].
    pub counted: Vec<Metric>,
    /// What the store did since the start; nothing without a store.
    pub stored: Vec<Metric>,
    /// Connections by protocol and by what carries them.
    pub connections: BTreeMap<(&'static str, &'static str), u64>,
    /// Sessions whose clients are there.
    pub sessions_connected: u64,
    /// Sessions whose clients are away.
    pub sessions_away: u64,
    /// Exchanges, the broker's own among them.
    pub exchanges: u64,
    /// Queues, those of sessions and subscriptions among them.
    pub queues: u64,
    /// Bindings.
    pub bindings: u64,
    /// Those that make a queue a member of a share.
    pub bindings_shared: u64,
    /// Retained messages.
    pub retained: u64,
    /// The same, in bytes of keys and payloads.
    pub retained_bytes: u64,
    /// All queues together.
    pub held: QueueStats,
    /// The queues that hold most.
    pub fullest: Vec<Held>,
}

/// What a queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub queue: String,
    /// How much.
    pub stats: QueueStats,
}

/// See [`super::Inspect::amounts`].
pub(super) fn amounts(core: &Core, queues_max: usize) -> Amounts {
    let parts = &core.parts;
    let vhost = &parts.vhost;
    let queues = vhost.router.queues();
    let mut amounts = Amounts {
        counted: parts.metrics.list(),
        stored: parts.durable.statistics().map(stored).unwrap_or_default(),
        exchanges: vhost.router.exchanges().len() as u64,
        queues: queues.len() as u64,
        ..Amounts::default()
    };
    let bindings = vhost.router.binding_counts();
    (amounts.bindings, amounts.bindings_shared) = (bindings.all as u64, bindings.shared as u64);
    (amounts.retained, amounts.retained_bytes) = vhost.retained_size();
    for client in core.links().values() {
        *amounts.connections.entry(client.protocol()).or_default() += 1;
    }
    let connected = parts.metrics.clients.value();
    amounts.sessions_connected = connected.saturating_sub(parts.metrics.clients_without_session.value());
    amounts.sessions_away = parts.metrics.sessions.value().saturating_sub(amounts.sessions_connected);
    let looked = |queue: Arc<Queue>| {
        let stats = queue.stats();
        (queue, stats)
    };
    let held: Vec<(Arc<Queue>, QueueStats)> = queues.into_iter().map(looked).collect();
    for (_, stats) in &held {
        amounts.held.ready += stats.ready;
        amounts.held.unacked += stats.unacked;
        amounts.held.ready_bytes += stats.ready_bytes;
        amounts.held.consumers += stats.consumers;
    }
    amounts.fullest = fullest(held, queues_max);
    amounts
}

fn fullest(mut held: Vec<(Arc<Queue>, QueueStats)>, max: usize) -> Vec<Held> {
    let order = |(a, holds_a): &(Arc<Queue>, QueueStats), (b, holds_b): &(Arc<Queue>, QueueStats)| {
        let messages = |stats: &QueueStats| Reverse(stats.ready + stats.unacked);
        let is_own = |queue: &Queue| *queue.owner() != Owner::Nobody;
        (messages(holds_a), is_own(a), &a.options().name).cmp(&(
            messages(holds_b),
            is_own(b),
            &b.options().name,
        ))
    };
    if max < held.len() {
        held.select_nth_unstable_by(max, order);
        held.truncate(max);
    }
    held.sort_unstable_by(order);
    held.into_iter().map(|(queue, stats)| Held { queue: queue.options().name.to_string(), stats }).collect()
}

fn stored(statistics: &storage::Statistics) -> Vec<Metric> {
    let count =
        |name, about: &str, value| Metric { name, about: about.to_owned(), value: Value::Count(value) };
    vec![
        count("storage_changesets", "Changesets handed to the store.", statistics.commits.value()),
        count("storage_records", "Records written to the journal.", statistics.records.value()),
        count("storage_groups", "Writes to the journal.", statistics.groups.value()),
        count("storage_written_bytes", "Bytes written to the journal.", statistics.bytes.value()),
        count("storage_segments_removed", "Journal files given up.", statistics.trimmed.value()),
        count(
            "storage_moved_bytes",
            "Bytes that were alive in journal files given up, and moved on.",
            statistics.moved_bytes.value(),
        ),
        count(
            "storage_state_failures",
            "Times that sled failed; each time it is filled again from the journal.",
            statistics.state_failures.value(),
        ),
        count(
            "storage_follow_failures",
            "Times that sled could not be brought after the journal, or journal files not be given up; it is tried again.",
            statistics.follow_failures.value(),
        ),
        Metric {
            name: "storage_sync_us",
            about: "How long an fdatasync of the journal took.".to_owned(),
            value: Value::Spread(statistics.sync_us.snapshot()),
        },
    ]
}
