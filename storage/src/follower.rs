//! The third thread: brings sled after the journal, and the journal's live records together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};

use crate::apply::State;
use crate::brake::Brake;
use crate::compaction::{Compaction, Pace};
use crate::digest::put_body;
use crate::directory::Directory;
use crate::error::{Remedy, StoreError};
use crate::inbox::{Inbox, Job, Urgency};
use crate::log::{Log, Seen, SegmentSummary};
use crate::patience::Patience;
use crate::position::Position;
use crate::refill::refill;
use crate::seal::Seal;
use crate::segment::Segment;
use crate::space::is_scarce;
use crate::statistics::Statistics;

/// Works behind the acknowledgements. What fails is tried again until it goes well; meanwhile they go on as far as the brake
/// allows.
pub(crate) struct Follower {
    pub(crate) state: State,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) brake: Arc<Brake>,
    pub(crate) statistics: Arc<Statistics>,
    /// Something became durable; disconnected: nothing will any more.
    pub(crate) news: Receiver<()>,
    /// Somebody wants to read what is not known yet.
    pub(crate) nudged: Receiver<()>,
    /// Disconnected: the store is closing.
    pub(crate) stop: Receiver<()>,
    pub(crate) stopping: Arc<AtomicBool>,
    /// The journal failed: what is on disk is for the next start to find out.
    pub(crate) failed: Arc<AtomicBool>,
    /// Where it all is.
    pub(crate) place: PathBuf,
    /// The same, for a new sled.
    pub(crate) directory: Arc<Directory>,
    pub(crate) cache_bytes: u64,
    pub(crate) apply_wait: Duration,
    pub(crate) pace: Pace,
    /// Up to this one, segments had their digests made.
    pub(crate) sealed: u32,
    pub(crate) troubles: Troubles,
}

/// What does not go well just now.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    following: Patience,
    compacting: Patience,
    sealing: Patience,
    /// sled failed: nothing that it has is believed.
    lost_state: bool,
}

/// What there is to do, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Following,
    Compacting,
    Sealing,
}

impl Troubles {
    const fn of(&mut self, part: Part) -> &mut Patience {
        match part {
            Part::Following => &mut self.following,
            Part::Compacting => &mut self.compacting,
            Part::Sealing => &mut self.sealing,
        }
    }

    /// When the first of them is tried again.
    fn due(&self) -> Option<Instant> {
        let all = [&self.following, &self.compacting, &self.sealing];
        all.into_iter().filter_map(Patience::due).min()
    }
}

impl Follower {
    /// Works until the committer is gone, then makes everything last.
    pub(crate) fn run(mut self) {
        while self.waits_for_news() {
            self.go_on();
        }
        self.brake.end();
        self.finish();
        self.state.queues.end();
    }

    fn go_on(&mut self) {
        // sled does not survive a write that fails for want of room.
        let may_write = !is_scarce(&self.place);
        if !self.attempt(Part::Following, |this| this.follow(may_write)) {
            return;
        }
        if !may_write || self.attempt(Part::Compacting, Self::compact) {
            self.brake.allow(self.statistics.bytes.value().saturating_add(self.pace.ahead_bytes_max));
        }
        if may_write {
            self.attempt(Part::Sealing, |this| this.seal(SEALED_AT_ONCE));
        }
    }

    /// What the last life of the store need not leave to the next one.
    fn finish(&mut self) {
        // Where there is no room or no sled, the next start applies the journal once more.
        if self.failed.load(Ordering::Acquire) || self.troubles.lost_state || is_scarce(&self.place) {
            return;
        }
        let finished = catch_unwind(AssertUnwindSafe(|| {
            self.state.follow(&*self.log, true)?;
            self.seal(SEALED_AT_THE_END)?;
            self.state.checkpoint(true)
        }));
        let error = match finished {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => self.state.keyspace.panicked(),
        };
        self.statistics.follow_failures.add(1);
        tracing::error!(%error, "store.unfinished: nothing is lost; the next start takes longer");
    }

    /// Does a part of the work, unless that has failed a moment ago. Returns whether it is done.
    fn attempt(&mut self, part: Part, work: impl FnOnce(&mut Self) -> Result<(), StoreError>) -> bool {
        if !self.troubles.of(part).may_try(Instant::now()) {
            return false;
        }
        // sled panics on some kinds of damage.
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        let done = done.unwrap_or_else(|_| Err(self.state.keyspace.panicked()));
        match done {
            Ok(()) if self.troubles.of(part).recover() => {
                if part == Part::Following {
                    self.state.queues.halt(false);
                }
                tracing::warn!(?part, "store.not_behind: what had failed has gone well");
                true
            }
            Ok(()) => true,
            Err(error) => {
                self.fail(part, error);
                false
            }
        }
    }

    fn fail(&mut self, part: Part, error: StoreError) {
        let remedy = error.remedy();
        if part == Part::Following {
            self.state.queues.halt(remedy == Remedy::Repair);
        }
        if remedy == Remedy::Refill {
            self.troubles.lost_state = true;
            self.statistics.state_failures.add(1);
        }
        match remedy {
            Remedy::End => {
                tracing::error!(%error, ?part, "store.names_unknown");
                self.inbox.push(Job::Fail(error), Urgency::Now);
                return self.brake.end();
            }
            // Who publishes would wait for ever.
            Remedy::Repair if part != Part::Sealing => self.brake.allow(u64::MAX),
            Remedy::Wait | Remedy::Refill if part != Part::Sealing => {
                self.brake.fall_behind(self.statistics.bytes.value());
            }
            Remedy::Wait | Remedy::Refill | Remedy::Repair => {}
        }
        let again_in_s = self.troubles.of(part).fail(Instant::now()).as_secs();
        self.statistics.follow_failures.add(1);
        let about = match remedy {
            Remedy::Repair => {
                "store.behind: the journal grows until it is repaired: stop the broker, and run `duetmq fsck`"
            }
            Remedy::Wait | Remedy::Refill | Remedy::End => {
                "store.behind: nothing is lost; publishers are held before the directory outgrows its bound"
            }
        };
        tracing::error!(%error, ?part, again_in_s, "{about}");
    }

    /// Brings sled after the journal. What could not be read or applied is not left out: it is tried again, from the last group on
    /// of which all is known.
    fn follow(&mut self, may_write: bool) -> Result<(), StoreError> {
        if self.troubles.lost_state {
            refill(&mut self.state, &*self.log, &self.directory, self.cache_bytes)?;
            self.troubles.lost_state = false;
        }
        self.state.follow(&*self.log, may_write)
    }

    /// Waits until there is something to do; `false`: there will be no more.
    fn waits_for_news(&mut self) -> bool {
        let Troubles { following, compacting, .. } = &self.troubles;
        let is_behind = following.due().is_some() || compacting.due().is_some();
        if is_behind && self.stopping.load(Ordering::Relaxed) {
            // Whoever closes the store is not kept waiting: what is left is for the next start.
            self.brake.end();
            return self.news.recv().is_ok();
        }
        let again = self.troubles.due().map_or_else(crossbeam_channel::never, crossbeam_channel::at);
        let stop = if is_behind { self.stop.clone() } else { crossbeam_channel::never() };
        if following.due().is_some() {
            // What comes meanwhile is followed then.
            select! {
                recv(again) -> _ => {}
                recv(stop) -> _ => {}
            }
            return true;
        }
        select! {
            recv(self.nudged) -> _ => return true,
            recv(again) -> _ => return true,
            recv(stop) -> _ => return true,
            recv(self.news) -> news => if news.is_err() {
                return false;
            },
        }
        // What comes and goes within this time never touches sled.
        select! {
            recv(self.nudged) -> _ => {}
            recv(self.stop) -> _ => {}
            default(self.apply_wait) => {}
        }
        true
    }

    /// Makes digests of so many segments that are complete and have none. Not of the one that was left last, unless the last
    /// life left it or this one ends: of what passes through, little is left of it soon.
    fn seal(&mut self, most: usize) -> Result<(), StoreError> {
        let behind = if most == SEALED_AT_ONCE { 1 } else { 0 };
        let complete = self.state.applied.segment;
        let end = complete.saturating_sub(behind).max((self.state.replayed + 1).min(complete));
        let mut segments = self.log.segments();
        segments.retain(|one| one.digest_bytes == 0 && one.id > self.sealed && one.id < end);
        for segment in segments.iter().take(most) {
            match self.seal_one(segment) {
                // What is damaged gets none: the next start finds out.
                Err(error) if error.remedy() == Remedy::Repair => {
                    tracing::warn!(%error, segment = segment.id, "store.digest_failed");
                }
                done => done?,
            }
            self.sealed = segment.id;
        }
        Ok(())
    }

    fn seal_one(&self, segment: &SegmentSummary) -> Result<(), StoreError> {
        let mut seal = Seal::new(self.state.salt, self.state.may_have_moved_into(segment.id));
        let from = Position { segment: segment.id, offset: Segment::FIRST };
        let to = Position { segment: segment.id, offset: segment.used };
        self.log.scan(from, to, &mut |at, record| {
            seal.take(&self.state.queues.lock(), at, record)
                .map_err(|error| self.state.damaged(at, error))?;
            Ok(Seen::More)
        })?;
        self.log.put_digest(segment.id, self.state.applied, &put_body(&seal.finish()))
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        let compaction = Compaction {
            log: &*self.log,
            inbox: &self.inbox,
            brake: &self.brake,
            stopping: &self.stopping,
            statistics: &self.statistics,
            pace: self.pace,
            has_failed: self.troubles.compacting.due().is_some(),
        };
        compaction.run(&mut self.state)
    }
}

/// A moment's work each; meanwhile the journal goes on.
const SEALED_AT_ONCE: usize = 2;
/// So that closing takes no longer than it must: the next start reads the records of the rest.
const SEALED_AT_THE_END: usize = 32;
