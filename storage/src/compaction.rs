//! Live records move on, segments go: always the oldest one.
//!
//! Because segments go in order, what cancels a record is never given up before the record. A crash at any point leaves
//! at worst a record twice, which means the same as once.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use model::change::{Change, Place};
use smallvec::SmallVec;

use crate::apply::State;
use crate::brake::Brake;
use crate::error::StoreError;
use crate::inbox::{Inbox, Job, Urgency};
use crate::log::{Log, Seen, SegmentSummary};
use crate::position::Position;
use crate::record::wire::RecordError;
use crate::record::{Item, Items, Note};
use crate::segment::Segment;
use crate::statistics::Statistics;
use crate::subject::{self, Subject};
use crate::watch::{Kept, Moved};

/// When and how fast what is alive is moved, so that the directory keeps its bound whatever the traffic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How many bytes are moved at once, if little else is written.
    bite_bytes_min: u64,
    /// How many bytes of the files' content may be dead beyond half as many as are alive, before live ones are moved.
    dead_bytes_max: u64,
    /// How many bytes may come in before they are looked at.
    pub(crate) ahead_bytes_max: u64,
    /// How many may while there is too much that is dead.
    pressed_bytes_max: u64,
}

impl Pace {
    /// For files of `segment_bytes`, in a directory that must not be larger than twice what is alive and
    /// `surplus_bytes_max`.
    ///
    /// What is alive may all lie before what is dead, and must then be moved as a whole before anything is given up. So it
    /// is begun when half of what may be dead is, and for each byte that comes in meanwhile two are moved. Of the rest there
    /// must be room for files that are not full yet: the one being written, the next one and a spare one, for a copy of the
    /// one that is being emptied, and for what comes in before we look.
    pub(crate) fn new(segment_bytes: u64, surplus_bytes_max: u64, bite_bytes: usize) -> Self {
        let ahead_bytes_max = surplus_bytes_max / 8;
        let reserved = (segment_bytes.saturating_mul(9) / 2).saturating_add(ahead_bytes_max);
        // Less would only move the same bytes again and again.
        let dead_bytes_max = surplus_bytes_max.saturating_sub(reserved).max(segment_bytes.saturating_mul(2));
        let pressed_bytes_max = (segment_bytes / 8).min(ahead_bytes_max);
        Self { bite_bytes_min: bite_bytes as u64, dead_bytes_max, ahead_bytes_max, pressed_bytes_max }
    }

    fn is_too_much(self, used: u64, live: u64) -> bool {
        used > live.saturating_add(live / 2).saturating_add(self.dead_bytes_max)
    }
}

/// What compaction works with.
pub(crate) struct Compaction<'a> {
    pub(crate) log: &'a dyn Log,
    pub(crate) inbox: &'a Inbox,
    pub(crate) brake: &'a Brake,
    pub(crate) stopping: &'a AtomicBool,
    pub(crate) statistics: &'a Statistics,
    pub(crate) pace: Pace,
    /// It failed the last time: perhaps nothing can be given up for now.
    pub(crate) has_failed: bool,
}

/// A segment to be emptied, and whether that is urgent.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    segment: SegmentSummary,
    pressed: bool,
}

/// Two bytes are to be moved for each that came in meanwhile.
#[derive(Debug)]
struct Debt {
    written: u64,
    owed: u64,
}

impl Debt {
    fn wanted(&mut self, written: u64, pace: Pace) -> u64 {
        let came = written.saturating_sub(self.written);
        self.written = written;
        self.owed = self.owed.saturating_add(came.saturating_mul(2));
        self.owed.clamp(pace.bite_bytes_min, pace.bite_bytes_min.max(BITE_BYTES_MAX))
    }

    fn pay(&mut self, moved: u64) {
        self.written = self.written.saturating_add(moved);
        self.owed = self.owed.saturating_sub(moved);
    }
}

impl Compaction<'_> {
    /// Gives up segments until none is worth it, or the store is closing.
    pub(crate) fn run(&self, state: &mut State) -> Result<(), StoreError> {
        let mut debt = Debt { written: self.statistics.bytes.value(), owed: 0 };
        // Those that are empty, but still there: sled need not be made to last for each.
        let mut emptied = 0..0;
        while let Some(chosen) = self.choose(state, emptied.end) {
            let id = chosen.segment.id;
            let dead = self.is_dead(state, chosen.segment)?;
            if !dead && self.has_failed && !emptied.is_empty() {
                // Else what is alive would be moved on each time that is tried in vain, and fill the disk.
                self.give_up(state, std::mem::replace(&mut emptied, 0..0))?;
            }
            if !dead && !self.empty(state, chosen, &mut debt)? {
                return Ok(());
            }
            emptied = if emptied.is_empty() { id..id + 1 } else { emptied.start..id + 1 };
            // Of one that was not dead there is a copy, for which there was room but once.
            if !dead || emptied.len() >= TRIMMED_AT_ONCE {
                self.give_up(state, std::mem::replace(&mut emptied, 0..0))?;
            }
        }
        if emptied.is_empty() { Ok(()) } else { self.give_up(state, emptied) }
    }

    fn give_up(&self, state: &mut State, segments: Range<u32>) -> Result<(), StoreError> {
        state.checkpoint(false)?;
        self.log.trim(segments.end)?;
        state.trim(segments.end);
        self.statistics.trimmed.add(segments.len() as u64);
        Ok(())
    }

    /// The oldest segment from `first` on, if it is mostly dead, or if there is too much that is dead behind it.
    fn choose(&self, state: &State, first: u32) -> Option<Chosen> {
        let mut segments = self.log.segments();
        segments.retain(|segment| segment.id >= first);
        let oldest = *segments.first()?;
        let used: u64 = segments.iter().map(|segment| u64::from(segment.used) + segment.digest_bytes).sum();
        let mostly_dead = state.live.of(oldest.id).saturating_mul(2) <= u64::from(oldest.used);
        let pressed = self.pace.is_too_much(used, state.live.total());
        let complete = oldest.id < self.log.durable().segment;
        (complete && (mostly_dead || pressed)).then_some(Chosen { segment: oldest, pressed })
    }

    /// Whether nothing of it is alive. What is dead stays dead, so nobody need take notes meanwhile.
    fn is_dead(&self, state: &State, segment: SegmentSummary) -> Result<bool, StoreError> {
        if state.live.of(segment.id) > 0 {
            return Ok(false);
        }
        let mut alive = Bite { records: Vec::new(), bytes: 0 };
        alive.take_notes(state, segment.id);
        let from = Position { segment: segment.id, offset: Segment::FIRST };
        let end = Position { segment: segment.id, offset: segment.used };
        self.log.scan(from, end, &mut |at, record| {
            alive.take_record(state, at, record)?;
            Ok(if alive.records.is_empty() { Seen::More } else { Seen::Enough })
        })?;
        Ok(alive.records.is_empty())
    }

    /// Moves what is alive in a segment, until nothing is. `false`: the store is closing, and nothing may be given up.
    fn empty(&self, state: &mut State, chosen: Chosen, debt: &mut Debt) -> Result<bool, StoreError> {
        let Chosen { segment, pressed } = chosen;
        let ahead = if pressed { self.pace.pressed_bytes_max } else { self.pace.ahead_bytes_max };
        loop {
            let mut complete = true;
            let mut from = Position { segment: segment.id, offset: Segment::FIRST };
            let end = Position { segment: segment.id, offset: segment.used };
            let mut notes = true;
            while notes || from < end {
                // First notes are taken of all that changes, then we look: so nothing changes unseen.
                if self.stopping.load(Ordering::Relaxed) || self.ask(Job::Watch).is_none() {
                    return Ok(false);
                }
                state.follow(self.log, true)?;
                let written = self.statistics.bytes.value();
                let wanted = debt.wanted(written, self.pace);
                let mut bite = Bite { records: Vec::new(), bytes: 0 };
                if std::mem::take(&mut notes) {
                    bite.take_notes(state, segment.id);
                }
                from = self.log.scan(from, end, &mut |at, record| {
                    bite.take_record(state, at, record)?;
                    Ok(if bite.bytes >= wanted { Seen::Enough } else { Seen::More })
                })?;
                // Not before it could be read: else whoever writes would go on for as long as it is tried in vain.
                self.brake.allow(written.saturating_add(ahead));
                self.statistics.moved_bytes.add(bite.bytes);
                debt.pay(bite.bytes);
                match self.ask(|done| Job::Move { records: bite.records, done }) {
                    Some(Kept::Whole) => {}
                    Some(Kept::Part) => complete = false,
                    None => return Ok(false),
                }
            }
            state.follow(self.log, true)?;
            // What changed meanwhile was left out, and is looked at again.
            if complete {
                return Ok(true);
            }
        }
    }

    /// Asks the committer and waits for its answer, if there is one.
    fn ask<T>(&self, job: impl FnOnce(crossbeam_channel::Sender<T>) -> Job) -> Option<T> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        self.brake.ask(true);
        self.inbox.push(job(answer), Urgency::Now);
        let answer = answered.recv().ok();
        self.brake.ask(false);
        answer
    }
}

/// Live records of a segment, to be moved at once.
struct Bite {
    records: Vec<Moved>,
    bytes: u64,
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
            self.bytes += record.len() as u64;
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

/// What shares a write and an fdatasync then, and what those who wait for theirs meanwhile wait for.
const BITE_BYTES_MAX: u64 = 16 << 20;
/// So many that are dead go together.
const TRIMMED_AT_ONCE: usize = 8;
