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
    /// Vhosts by name, and how many clients are in each.
    pub vhosts: Vec<(String, u64)>,
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
    /// Messages that wait for their time.
    pub delayed: u64,
    /// The same, in bytes of keys and payloads.
    pub delayed_bytes: u64,
    /// All queues together.
    pub held: QueueStats,
    /// The queues that hold most.
    pub fullest: Vec<Held>,
}

/// What a queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The vhost it is in.
    pub vhost: String,
    /// Its name.
    pub queue: String,
    /// How much.
    pub stats: QueueStats,
}

/// See [`super::Inspect::amounts`].
pub(super) fn amounts(cores: &[Arc<Core>], queues_max: usize) -> Amounts {
    let mut amounts = Amounts::default();
    let mut held = Vec::new();
    for core in cores {
        add(core, &mut amounts);
        let queues = core.parts.vhost.router.queues();
        held.extend(queues.into_iter().map(|queue| (core, queue.stats(), queue)));
    }
    for (_, stats, _) in &held {
        amounts.held.ready += stats.ready;
        amounts.held.unacked += stats.unacked;
        amounts.held.ready_bytes += stats.ready_bytes;
        amounts.held.consumers += stats.consumers;
    }
    amounts.queues = held.len() as u64;
    amounts.fullest = fullest(held, queues_max);
    amounts
}

fn add(core: &Core, amounts: &mut Amounts) {
    let (parts, vhost) = (&core.parts, &core.parts.vhost);
    join(&mut amounts.counted, parts.metrics.list());
    join(&mut amounts.stored, parts.durable.statistics().map(stored).unwrap_or_default());
    amounts.exchanges += vhost.router.exchanges().len() as u64;
    let bindings = vhost.router.binding_counts();
    amounts.bindings += bindings.all as u64;
    amounts.bindings_shared += bindings.shared as u64;
    let (retained, retained_bytes) = vhost.retained_size();
    amounts.retained += retained;
    amounts.retained_bytes += retained_bytes;
    let (delayed, delayed_bytes) = vhost.delayed.size();
    amounts.delayed += delayed;
    amounts.delayed_bytes += delayed_bytes;
    amounts.vhosts.push((core.name.to_string(), vhost.room.taken()));
    for client in core.links().values() {
        *amounts.connections.entry(client.protocol()).or_default() += 1;
    }
    let without_session = parts.metrics.clients_without_session.value();
    let connected = parts.metrics.clients.value().saturating_sub(without_session);
    amounts.sessions_connected += connected;
    amounts.sessions_away += parts.metrics.sessions.value().saturating_sub(connected);
}

/// Each vhost counts the same things, in the same order.
fn join(sums: &mut Vec<Metric>, more: Vec<Metric>) {
    if sums.is_empty() {
        *sums = more;
    } else {
        sums.iter_mut().zip(&more).for_each(|(sum, more)| sum.join(more));
    }
}

fn fullest(mut held: Vec<(&Arc<Core>, QueueStats, Arc<Queue>)>, max: usize) -> Vec<Held> {
    type One<'a> = (&'a Arc<Core>, QueueStats, Arc<Queue>);
    let order = |(core_a, holds_a, a): &One<'_>, (core_b, holds_b, b): &One<'_>| {
        let messages = |stats: &QueueStats| Reverse(stats.ready + stats.unacked);
        let is_own = |queue: &Queue| *queue.owner() != Owner::Nobody;
        (messages(holds_a), is_own(a), &core_a.name, &a.options().name).cmp(&(
            messages(holds_b),
            is_own(b),
            &core_b.name,
            &b.options().name,
        ))
    };
    if max < held.len() {
        held.select_nth_unstable_by(max, order);
        held.truncate(max);
    }
    held.sort_unstable_by(order);
    let held = held.into_iter();
    held.map(|(core, stats, queue)| Held {
        vhost: core.name.to_string(),
        queue: queue.options().name.to_string(),
        stats,
    })
    .collect()
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
