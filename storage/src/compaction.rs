//! Live records move on, segments go: always the oldest one.
//!
//! Because segments go in order, what cancels a record is never given up before the record. A crash at any point leaves
//! at worst a record twice, which means the same as once.

use std::sync::atomic::{AtomicBool, Ordering};

use model::change::{Change, Place};
use smallvec::SmallVec;

use crate::apply::State;
use crate::error::StoreError;
use crate::inbox::{Inbox, Job, Urgency};
use crate::log::{Log, Seen, SegmentSummary};
use crate::position::Position;
use crate::record::wire::RecordError;
use crate::record::{Item, Items, Note};
use crate::segment::Segment;
use crate::statistics::Statistics;
use crate::subject::{self, Subject};
use crate::watch::Moved;

/// What compaction works with.
pub(crate) struct Compaction<'a> {
    pub(crate) log: &'a dyn Log,
    pub(crate) inbox: &'a Inbox,
    pub(crate) stopping: &'a AtomicBool,
    pub(crate) statistics: &'a Statistics,
    /// How many bytes are moved at once.
    pub(crate) bite_bytes: usize,
    pub(crate) dead_bytes_max: u64,
}

impl Compaction<'_> {
    /// Gives up segments until none is worth it, or the store is closing.
    pub(crate) fn run(&self, state: &mut State) -> Result<(), StoreError> {
        while let Some(oldest) = self.choose(state) {
            if !self.empty(state, oldest)? {
                break;
            }
            state.checkpoint(false)?;
            self.log.trim(oldest.id + 1)?;
            state.live.trim(oldest.id + 1);
            self.statistics.trimmed.add(1);
        }
        Ok(())
    }

    /// The oldest segment, if it is mostly dead, or if there is too much that is dead behind it.
    fn choose(&self, state: &State) -> Option<SegmentSummary> {
        let segments = self.log.segments();
        let oldest = segments.first()?;
        let used: u64 = segments.iter().map(|segment| u64::from(segment.used)).sum();
        let mostly_dead = state.live.of(oldest.id).saturating_mul(2) <= u64::from(oldest.used);
        let too_much = used > state.live.total().saturating_mul(2).saturating_add(self.dead_bytes_max);
        let complete = oldest.id < self.log.durable().segment;
        (complete && (mostly_dead || too_much)).then_some(*oldest)
    }

    /// Moves what is alive in a segment, until nothing is. `false`: the store is closing, and nothing may be given up.
    fn empty(&self, state: &mut State, segment: SegmentSummary) -> Result<bool, StoreError> {
        loop {
            let mut moved = false;
            let mut from = Position { segment: segment.id, offset: Segment::FIRST };
            let end = Position { segment: segment.id, offset: segment.used };
            let mut notes = true;
            while notes || from < end {
                // First notes are taken of all that changes, then we look: so nothing changes unseen.
                if self.stopping.load(Ordering::Relaxed) || !self.ask(Job::Watch) {
                    return Ok(false);
                }
                state.follow(self.log, true)?;
                let mut bite = Bite { records: Vec::new(), bytes: 0 };
                if std::mem::take(&mut notes) {
                    bite.take_notes(state, segment.id);
                }
                from = self.log.scan(from, end, &mut |at, record| {
                    bite.take_record(state, at, record)?;
                    Ok(if bite.bytes >= self.bite_bytes { Seen::Enough } else { Seen::More })
                })?;
                moved |= !bite.records.is_empty();
                self.statistics.moved_bytes.add(bite.bytes as u64);
                if !self.ask(|done| Job::Move { records: bite.records, done }) {
                    return Ok(false);
                }
            }
            state.follow(self.log, true)?;
            // What changed meanwhile was left out, and is looked at again.
            if !moved {
                return Ok(true);
            }
        }
    }

    /// Asks the committer and waits for its answer; `false`: there will be none.
    fn ask(&self, job: impl FnOnce(crossbeam_channel::Sender<()>) -> Job) -> bool {
        let (answer, answered) = crossbeam_channel::bounded(1);
        self.inbox.push(job(answer), Urgency::Now);
        answered.recv().is_ok()
    }
}

/// Live records of a segment, to be moved at once.
struct Bite {
    records: Vec<Moved>,
    bytes: usize,
}

impl Bite {
    fn take_notes(&mut self, state: &State, segment: u32) {
        if state.incarnation.1.segment == segment {
            self.records.push(Moved::Note(Note::Incarnation(state.incarnation.0)));
        }
        for (queue, places) in state.queues.lock().iter() {
            if places.proof == segment {
                self.records.push(Moved::Note(Note::Floor { queue, next: places.next }));
            }
        }
    }

    fn take_record(&mut self, state: &State, at: Position, record: &[u8]) -> Result<(), StoreError> {
        let changes = live_changes(state, at, record)?.map_err(|error| state.damaged(at, error))?;
        if !changes.is_empty() {
            self.bytes += record.len();
            self.records.push(Moved::Changes(changes));
        }
        Ok(())
    }
}

/// What is still true of a record, and said nowhere else. Errors of the record inside, of sled outside.
fn live_changes(
    state: &State,
    at: Position,
    record: &[u8],
) -> Result<Result<Vec<Change>, RecordError>, StoreError> {
    let mut live = Vec::new();
    let mut items = match Items::of(record) {
        Ok(items) => items,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        match items.next() {
            Ok(Some(Item::Enqueue { body, mut entries })) => {
                entries.retain(|entry| lies_at(state, entry.place, at));
                if entries.is_empty() {
                    continue;
                }
                let received: SmallVec<[Place; 1]> = entries
                    .iter()
                    .map(|entry| entry.place)
                    .filter(|place| is_received(state, *place))
                    .collect();
                match body.read() {
                    Ok(message) => live.push(Change::Enqueue { message, entries }),
                    Err(error) => return Ok(Err(error)),
                }
                // What the client has is said behind the entry, or a replay would not know where it belongs.
                live.extend(received.into_iter().map(Change::Receive));
            }
            Ok(Some(Item::Change(Change::Receive(place)))) => {
                let spot = state.queues.lock().spot(place);
                if spot.is_some_and(|spot| spot.received == at.segment && spot.position.segment != at.segment)
                {
                    live.push(Change::Receive(place));
                }
            }
            Ok(Some(Item::Change(change))) => match subject::of(state.salt, &change) {
                Subject::Put(key) if state.stored(&key)?.is_some_and(|stored| stored.position == at) => {
                    live.push(change);
                }
                Subject::Put(_) | Subject::Delete(_) | Subject::None => {}
            },
            Ok(Some(Item::Note(_))) => {}
            Ok(None) => return Ok(Ok(live)),
            Err(error) => return Ok(Err(error)),
        }
    }
}

fn lies_at(state: &State, place: Place, at: Position) -> bool {
    state.queues.lock().spot(place).is_some_and(|spot| spot.position == at)
}

fn is_received(state: &State, place: Place) -> bool {
    state.queues.lock().spot(place).is_some_and(|spot| spot.received != 0)
}
