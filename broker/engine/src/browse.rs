//! Browse: what is in a queue is read without being taken, and published again if somebody wants that

use std::sync::Arc;
use std::time::Duration;

use model::change::Changeset;
use model::key::RoutingKey;
use model::message::Message;
use model::name::{ExchangeName, PublisherName, QueueName};
use model::principal::Permissions;
use model::refusal::Refusal;
use model::request::Publish;
use model::stream::Start;
use routing::{Item, Looked, Queue, Wakes};
use tokio::sync::oneshot;

use crate::clock;
use crate::commands::Commands;
use crate::durable::journalled;
use crate::parts::Parts;
use crate::plan;
use crate::publish::{self, Published, Publisher};

/// Some of what is in a queue, in the order of the offsets.
#[derive(Debug, Clone)]
pub struct Portion {
    /// What was found.
    pub items: Vec<Browsed>,
    /// From which offset on to go on; `None`: there was no more.
    pub next: Option<u64>,
}

/// A message that is in a queue.
#[derive(Debug, Clone)]
pub struct Browsed {
    /// Its number in the queue: of a stream, its offset.
    pub offset: u64,
    /// What it is.
    pub message: Arc<Message>,
}

/// What became of messages that were to be published again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replayed {
    /// How many were.
    pub published: u64,
    /// How many of these no queue took.
    pub unrouted: u64,
    /// From which offset on to go on; `None`: there was no more.
    pub next: Option<u64>,
}

impl Commands {
    /// What is in a queue from there on, at most so many messages, and of these no more than some MiB: nothing is taken, and
    /// nobody who consumes it notices. Of a queue that is no stream, what consumers have and did not settle is left out.
    ///
    /// # Errors
    ///
    /// If there is no such queue, or if the journal cannot be read.
    pub async fn browse(&self, name: &QueueName, start: Start, max: usize) -> Result<Portion, Refusal> {
        let queue = self.queue(name)?;
        let parts = self.parts();
        let now = clock::now();
        let mut looked = queue.look(start, max, BYTES_MAX);
        loop {
            let Looked { entries, since, next } = looked;
            let is_wanted = |item: &Item| {
                let is_before = since.is_some_and(|since| item.message.published_at < since);
                !is_before && !item.message.is_expired(now)
            };
            let mut items = read(parts, &queue, entries).await?;
            items.retain(|(_, item)| is_wanted(item));
            let items: Vec<Browsed> =
                items.into_iter().map(|(offset, item)| Browsed { offset, message: item.message }).collect();
            match next {
                // All of it came in before, or has expired.
                Some(offset) if items.is_empty() => {
                    looked = queue.look(Start::Offset(offset), max, BYTES_MAX);
                    looked.since = since;
                }
                next => return Ok(Portion { items, next }),
            }
        }
    }

    /// Publishes messages of a queue again, with that exchange and key and all that they say of themselves: those from there on
    /// that came in before `through` was passed, at most so many. They stay where they are; what was published is on disk.
    ///
    /// # Errors
    ///
    /// As [`Self::browse`]; or if the first of them cannot be published.
    pub async fn replay(
        &self,
        name: &QueueName,
        start: Start,
        through: u64,
        max: usize,
        to: (&ExchangeName, &RoutingKey),
    ) -> Result<Replayed, Refusal> {
        let Portion { mut items, next } = self.browse(name, start, max.min(TOGETHER_MAX)).await?;
        let known = items.len();
        items.retain(|one| one.offset <= through);
        let mut replayed = Replayed {
            next: next.filter(|next| items.len() == known && *next <= through),
            ..Replayed::default()
        };
        let parts = Arc::clone(self.parts());
        let name = PublisherName::new(REPLAY);
        let mut publisher = Publisher::new(None, None, None, name, Permissions::everything());
        let now = clock::now();
        let mut plans = Vec::new();
        let mut wakes = Wakes::default();
        for Browsed { offset, message } in items {
            let mut publish = Publish {
                exchange: to.0.clone(),
                key: to.1.clone(),
                retain: false,
                ..Publish::again(&message, now)
            };
            match publish::publish(&parts, &mut publisher, &mut publish, true, now, &mut wakes) {
                Ok(Published::Planned(plan)) => {
                    replayed.unrouted += u64::from(!plan.routed());
                    plans.push(plan);
                }
                Ok(Published::Shown { routed }) => replayed.unrouted += u64::from(!routed),
                Err(refusal) if replayed.published == 0 => return Err(refusal),
                Err(_) => {
                    // The next time it is the first.
                    replayed.next = Some(offset);
                    break;
                }
            }
            replayed.published += 1;
        }
        let mut changeset = Changeset::default();
        plans.iter().for_each(|plan| plan.record(&parts, &mut changeset));
        let level = plan::strictest(&plans);
        let (done, waits) = oneshot::channel();
        let shown = Arc::clone(&parts);
        parts.durable.commit_then(changeset, level, move || {
            let mut wakes = Wakes::default();
            plans.into_iter().for_each(|plan| plan.show(&shown, &mut wakes));
            let _ = done.send(());
        });
        // The store has failed, and the process is about to end.
        waits.await.map_err(|_| Refusal::ShuttingDown)?;
        Ok(replayed)
    }

    /// The number of the newest message in that queue; 0: there never was one.
    ///
    /// # Errors
    ///
    /// If there is no such queue.
    pub fn newest(&self, name: &QueueName) -> Result<u64, Refusal> {
        Ok(self.queue(name)?.newest())
    }
}

/// Those with their messages, as far as the journal has them.
async fn read(
    parts: &Arc<Parts>,
    queue: &Queue,
    entries: Vec<(u64, Option<Item>)>,
) -> Result<Vec<(u64, Item)>, Refusal> {
    let absent: Vec<u64> =
        entries.iter().filter(|(_, item)| item.is_none()).map(|(sequence, _)| *sequence).collect();
    let mut all: Vec<(u64, Item)> =
        entries.into_iter().filter_map(|(sequence, item)| Some((sequence, item?))).collect();
    if absent.is_empty() {
        return Ok(all);
    }
    let (found, waits) = oneshot::channel();
    parts.durable.read(queue.id(), absent, move |read| {
        let _ = found.send(read);
    });
    // Without an answer the broker is stopping.
    let read = tokio::time::timeout(READ_TIME_MAX, waits).await.map_err(|_| Refusal::Busy(SLOW))?;
    let found = match read.map_err(|_| Refusal::ShuttingDown)? {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(queue = queue.options().name.as_str(), %error, "queue.unreadable");
            return Err(Refusal::Busy("the journal cannot be read just now; see the log of the broker"));
        }
    };
    all.extend(found.entries.into_iter().map(journalled));
    all.sort_unstable_by_key(|(sequence, _)| *sequence);
    Ok(all)
}

/// As whom the broker publishes again.
const REPLAY: &str = "$replay";

/// So many bytes are read at once, beyond one message.
const BYTES_MAX: u64 = 1 << 20;
/// So many messages are published together.
const TOGETHER_MAX: usize = 512;
/// How long the disk may take.
const READ_TIME_MAX: Duration = Duration::from_secs(30);
const SLOW: &str = "the journal was not read in time; try again";
