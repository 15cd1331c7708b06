//! Reader: messages that wait, read back from the journal, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use model::change::Place;
use model::name::QueueId;

use crate::error::StoreError;
use crate::inbox::{Inbox, Job, Urgency};
use crate::log::{Log, Seen};
use crate::position::Position;
use crate::queues::{Index, Queues};
use crate::record::wire::RecordError;
use crate::record::{Item, Items};
use crate::recovery::RecoveredEntry;

/// Entries of a queue whose messages somebody wants back.
pub(crate) struct Wanted {
    pub(crate) queue: QueueId,
    /// Their numbers.
    pub(crate) sequences: Vec<u64>,
    pub(crate) answer: Answer,
}

/// What is called with what was found, on the thread of the reader: others wait behind it.
pub type Answer = Box<dyn FnOnce(Result<Found, StoreError>) + Send>;

/// What was found. What is in neither list does not wait any more.
#[derive(Debug, Default)]
pub struct Found {
    /// By number.
    pub entries: Vec<RecoveredEntry>,
    /// Their bytes are not what was written. They stay in the journal for whoever repairs it.
    pub damaged: Vec<u64>,
}

/// Reads what is asked for, one question after the other.
pub(crate) struct Reader {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) index: Arc<Index>,
    pub(crate) questions: Receiver<Option<Wanted>>,
    /// Asks the follower not to wait.
    pub(crate) nudge: Sender<()>,
    /// Asks the committer to sync.
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) stopping: Arc<AtomicBool>,
}

impl Reader {
    /// Works until somebody asks for nothing.
    pub(crate) fn run(self) {
        while let Ok(Some(wanted)) = self.questions.recv() {
            let Wanted { queue, sequences, answer } = wanted;
            let left = Left::new(sequences);
            let caught_up = self.catch_up(queue, &left);
            answer(caught_up.and_then(|()| self.find(queue, left)));
        }
    }

    fn find(&self, queue: QueueId, mut left: Left) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let mut before = Vec::new();
        while !left.is_empty() {
            let positions = self.positions(queue, &mut left);
            match self.read(queue, &positions, &mut left, &mut found) {
                Ok(()) => {
                    // Not where it should be, or moved while we looked.
                    if positions == before {
                        found.damaged.extend(left.take_all());
                    }
                }
                // Live records move on, and their files go: then they are somewhere else now.
                Err(_) if positions != before => {}
                Err(error @ StoreError::Damaged { .. }) => {
                    tracing::error!(%error, queue = queue.0, "store.damaged");
                    self.read_one_by_one(queue, &mut left, &mut found)?;
                }
                Err(error) => return Err(error),
            }
            before = positions;
        }
        found.entries.sort_unstable_by_key(|entry| entry.sequence);
        Ok(found)
    }

    /// The next question, if there is one, without waiting for anything: `catch_up` brings the index to the end of what
    /// lasts; where it is told to, of what is written.
    pub(crate) fn answer_one(
        &self,
        mut catch_up: impl FnMut(bool) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let Ok(Some(Wanted { queue, sequences, answer })) = self.questions.try_recv() else {
            return Ok(false);
        };
        let left = Left::new(sequences);
        catch_up(false)?;
        if !self.follows(queue, &left)? {
            catch_up(true)?;
        }
        answer(self.find(queue, left));
        Ok(true)
    }

    /// Waits until the index has all of them, or all there is.
    fn catch_up(&self, queue: QueueId, wanted: &Left) -> Result<(), StoreError> {
        if !self.follows(queue, wanted)? {
            // What somebody saw who waited for the write alone, nobody may have synced yet.
            let (synced, wait) = crossbeam_channel::bounded(1);
            self.inbox.push(Job::Sync(synced), Urgency::Now);
            wait.recv().map_err(|_| StoreError::Ended { thread: "committer" })?;
            self.follows(queue, wanted)?;
        }
        Ok(())
    }

    /// Waits until the index has all of them, or all that lasts; whether it has all of them. Damage that nobody gets past
    /// ends the wait: others wait behind this one.
    fn follows(&self, queue: QueueId, wanted: &Left) -> Result<bool, StoreError> {
        let end = self.log.durable();
        let mut queues = self.index.lock();
        let lacks_some = |queues: &Queues| {
            let is_missing = |sequence: &u64| queues.spot(Place { queue, sequence: *sequence }).is_none();
            wanted.sequences.iter().any(is_missing)
        };
        loop {
            if !lacks_some(&queues) {
                return Ok(true);
            }
            if queues.followed >= end {
                return Ok(false);
            }
            if queues.halted {
                return Err(StoreError::Behind);
            }
            if queues.ended || self.stopping.load(Ordering::Relaxed) {
                return Err(StoreError::Ended { thread: "follower" });
            }
            // It is asked already, if there is no room.
            let _ = self.nudge.try_send(());
            queues = self.index.wait(queues, CATCH_UP_WAIT);
        }
    }

    /// Where they lie, in the order of the journal; what does not wait any more is left out.
    fn positions(&self, queue: QueueId, left: &mut Left) -> Vec<Position> {
        let wanted = left.take_all();
        let (mut positions, mut there) = (Vec::with_capacity(wanted.len()), Vec::with_capacity(wanted.len()));
        self.index.lock().find(queue, &wanted, |sequence, position| {
            there.push(sequence);
            positions.push(position);
        });
        *left = Left::new(there);
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    fn read(
        &self,
        queue: QueueId,
        positions: &[Position],
        left: &mut Left,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        self.log.read_each(positions, &mut |at, record| {
            let read = take(record, queue, left, &mut found.entries);
            if let Err(error) = read {
                tracing::error!(?at, %error, queue = queue.0, "store.damaged");
            }
            Ok(Seen::More)
        })
    }

    fn read_one_by_one(&self, queue: QueueId, left: &mut Left, found: &mut Found) -> Result<(), StoreError> {
        for sequence in left.take_all() {
            let mut one = Left::new(vec![sequence]);
            let positions = self.positions(queue, &mut one);
            match self.read(queue, &positions, &mut one, found) {
                Ok(()) | Err(StoreError::Damaged { .. }) => found.damaged.extend(one.take_all()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What is still to be found.
#[derive(Debug)]
struct Left {
    /// In ascending order.
    sequences: Vec<u64>,
    /// Which of them were found.
    found: Vec<bool>,
    len: usize,
    /// Behind the last one that was found: there the next one is, mostly.
    next: usize,
}

impl Left {
    fn new(mut sequences: Vec<u64>) -> Self {
        sequences.sort_unstable();
        sequences.dedup();
        Self { found: vec![false; sequences.len()], len: sequences.len(), next: 0, sequences }
    }

    const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn at(&self, sequence: u64) -> Option<usize> {
        let is_next = self.sequences.get(self.next) == Some(&sequence);
        let at = if is_next { self.next } else { self.sequences.binary_search(&sequence).ok()? };
        (self.found.get(at) == Some(&false)).then_some(at)
    }

    fn contains(&self, sequence: u64) -> bool {
        self.at(sequence).is_some()
    }

    fn remove(&mut self, sequence: u64) {
        let Some(at) = self.at(sequence) else { return };
        if let Some(found) = self.found.get_mut(at) {
            *found = true;
            self.len -= 1;
        }
        self.next = at + 1;
    }

    /// What was not found; nothing is wanted any more.
    fn take_all(&mut self) -> Vec<u64> {
        let found = std::mem::take(&mut self.found);
        let sequences = std::mem::take(&mut self.sequences);
        self.len = 0;
        sequences.into_iter().zip(found).filter(|(_, found)| !found).map(|(sequence, _)| sequence).collect()
    }
}

/// Takes what is wanted of a record.
fn take(
    record: &[u8],
    queue: QueueId,
    left: &mut Left,
    out: &mut Vec<RecoveredEntry>,
) -> Result<(), RecordError> {
    let mut items = Items::of(record)?;
    while let Some(item) = items.next()? {
        let Item::Enqueue { body, entries } = item else { continue };
        let mut message = None;
        for entry in entries {
            if entry.place.queue != queue || !left.contains(entry.place.sequence) {
                continue;
            }
            let shared = match &message {
                Some(message) => Arc::clone(message),
                None => Arc::clone(message.insert(body.read()?)),
            };
            left.remove(entry.place.sequence);
            out.push(RecoveredEntry {
                sequence: entry.place.sequence,
                message: shared,
                qos: entry.qos,
                retain: entry.retain,
                subscription_ids: entry.subscription_ids,
                author: entry.author,
                received: false,
            });
        }
    }
    Ok(())
}

/// How long it is waited for the follower before it is looked again whether it is there at all.
const CATCH_UP_WAIT: Duration = Duration::from_millis(50);
