//! What waits for its time as it is seen: plain values, for programs and people that read them

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;

use model::change::Place;
use model::name::QueueId;
use serde::Serialize;
use storage::RecoveredEntry;

use crate::core::Core;
use crate::delayed::{Turn, Waiting};

use super::views::Page;

/// A message that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DelayedView {
    /// Names it: for deleting it, and for asking what is behind it.
    pub id: String,
    /// When it is due, in milliseconds since 1970.
    pub due_ms: u64,
    /// The exchange that it will be published to; empty: the default one.
    pub exchange: String,
    /// With that key.
    pub key: String,
    /// The client id of its publisher; `None` in STOMP.
    pub client: Option<String>,
    /// The user who published it; `None`: an anonymous one.
    pub user: Option<String>,
    /// With which QoS it was published.
    pub qos: u8,
    /// Whether it will be retained.
    pub retain: bool,
    /// Whether it outlives the broker.
    pub durable: bool,
    /// How many bytes its key and its payload have.
    pub bytes: usize,
    /// From when on it will not be delivered any more, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

impl DelayedView {
    fn new(turn: Turn, waiting: &Waiting) -> Self {
        let message = &*waiting.message;
        let user = waiting.author.as_ref().and_then(|author| author.user.as_ref());
        Self {
            id: turn.to_string(),
            due_ms: turn.due.0,
            exchange: message.exchange.to_string(),
            key: message.key.as_str().to_owned(),
            client: message.publisher.as_ref().map(ToString::to_string),
            user: user.map(ToString::to_string),
            qos: message.qos as u8,
            retain: message.retain,
            durable: waiting.place.is_some(),
            bytes: message.size_bytes(),
            expires_ms: message.expires_at.map(|end| end.0),
        }
    }
}

/// See [`super::Inspect::delayed`].
pub(super) fn list(
    core: &Core,
    after: Option<&str>,
    limit: usize,
    mut keep: impl FnMut(&DelayedView) -> bool,
) -> Page<DelayedView> {
    let delayed = &core.parts.vhost.delayed;
    // What is no id has nothing before it.
    let mut after = after.and_then(Turn::parse);
    let mut items: Vec<DelayedView> = Vec::new();
    loop {
        let some = delayed.list(after, AT_ONCE);
        let Some((last, _)) = some.last() else { return Page { items, next: None } };
        after = Some(*last);
        let away = some.iter().filter_map(|(turn, waiting)| waiting.is_err().then_some(turn.number));
        let mut read = delayed.queue().map(|queue| read(core, queue, away.collect())).unwrap_or_default();
        for (turn, waiting) in some {
            let waiting = waiting.or_else(|_| read.remove(&turn.number).ok_or(()));
            // Or it went on while it was read.
            let Ok(waiting) = waiting else { continue };
            let view = DelayedView::new(turn, &waiting);
            if !keep(&view) {
                continue;
            }
            if items.len() >= limit {
                return Page { next: items.last().map(|last| last.id.clone()), items };
            }
            items.push(view);
        }
    }
}

/// Messages that are in the journal alone. Those that cannot be read, or not for now, are left out; the log says so.
fn read(core: &Core, queue: QueueId, numbers: Vec<u64>) -> HashMap<u64, Waiting> {
    if numbers.is_empty() {
        return HashMap::new();
    }
    let (answer, answered) = mpsc::sync_channel(1);
    core.parts.durable.read(queue, numbers, move |found| {
        // Whoever asked may have given up.
        let _ = answer.send(found);
    });
    let found = answered
        .recv_timeout(PATIENCE)
        .ok()
        .and_then(|found| found.inspect_err(|error| tracing::error!(%error, "delayed.unreadable")).ok());
    let waiting = |entry: RecoveredEntry| {
        let place = Some(Place { queue, sequence: entry.sequence });
        (entry.sequence, Waiting { message: entry.message, author: entry.author, place })
    };
    found.map(|found| found.entries.into_iter().map(waiting).collect()).unwrap_or_default()
}

/// So many are looked at, and perhaps read, at once.
const AT_ONCE: usize = 512;

/// How long the journal may take.
const PATIENCE: Duration = Duration::from_secs(10);
