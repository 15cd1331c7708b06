//! The third thread: brings sled after the journal, and the journal's live records together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, select};

use crate::apply::State;
use crate::brake::Brake;
use crate::compaction::{Compaction, Pace};
use crate::digest::put_body;
use crate::error::StoreError;
use crate::inbox::Inbox;
use crate::log::{Log, Seen};
use crate::position::Position;
use crate::seal::Seal;
use crate::segment::Segment;
use crate::space::is_scarce;
use crate::statistics::Statistics;

/// Works behind the acknowledgements; should it fail, they go on without it.
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
    pub(crate) apply_wait: Duration,
    pub(crate) pace: Pace,
    /// Up to this one, segments had their digests made.
    pub(crate) sealed: u32,
    /// The journal could not be read.
    pub(crate) tries_again: bool,
}

impl Follower {
    /// Works until the committer is gone, then makes everything last.
    pub(crate) fn run(mut self) {
        // sled panics on some kinds of damage.
        let result = catch_unwind(AssertUnwindSafe(|| self.work()));
        self.state.queues.end();
        self.brake.end();
        let failed = match result {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "panic".to_owned(),
        };
        self.statistics.state_failures.add(1);
        // Nothing is lost: the journal's files stay until the next start.
        tracing::error!(error = failed, "store.state_behind");
    }

    fn work(&mut self) -> Result<(), StoreError> {
        while self.waits_for_news() {
            // sled does not survive a write that fails for want of room.
            let may_write = !is_scarce(&self.place);
            if !self.follow(may_write)? {
                continue;
            }
            if may_write {
                self.compact()?;
                self.seal(SEALED_AT_ONCE)?;
            }
            self.brake.allow(self.statistics.bytes.value().saturating_add(self.pace.ahead_bytes_max));
        }
        if self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        if is_scarce(&self.place) {
            // The next start applies the journal once more.
            return Ok(());
        }
        self.state.follow(&*self.log, true)?;
        self.seal(SEALED_AT_THE_END)?;
        self.state.checkpoint(true)
    }

    /// Brings sled after the journal; `false`: that could not be read. Nothing of it is left out: it is tried again, from the last
    /// group on of which all is known.
    fn follow(&mut self, may_write: bool) -> Result<bool, StoreError> {
        match self.state.follow(&*self.log, may_write) {
            Err(error) if error.is_unreadable() && !self.stopping.load(Ordering::Relaxed) => {
                tracing::error!(%error, "store.unreadable: it is tried again");
                self.tries_again = true;
                // Acknowledgements do not wait for a disk to be read.
                self.brake.allow(u64::MAX);
                Ok(false)
            }
            done => done.map(|()| true),
        }
    }

    /// Waits until there is something to follow; `false`: there will be no more.
    fn waits_for_news(&mut self) -> bool {
        if std::mem::take(&mut self.tries_again) {
            select! {
                recv(self.stop) -> _ => {}
                default(READ_PAUSE) => {}
            }
            return true;
        }
        select! {
            recv(self.nudged) -> _ => return true,
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
            // Should it fail, the next start reads the records.
            self.sealed = segment.id;
            let mut seal = Seal::new(self.state.salt, self.state.may_have_moved_into(segment.id));
            let from = Position { segment: segment.id, offset: Segment::FIRST };
            let to = Position { segment: segment.id, offset: segment.used };
            self.log.scan(from, to, &mut |at, record| {
                seal.take(&self.state.queues.lock(), at, record)
                    .map_err(|error| self.state.damaged(at, error))?;
                Ok(Seen::More)
            })?;
            let body = put_body(&seal.finish());
            if let Err(error) = self.log.put_digest(segment.id, self.state.applied, &body) {
                tracing::warn!(%error, segment = segment.id, "store.digest_failed");
            }
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        let compaction = Compaction {
            log: &*self.log,
            inbox: &self.inbox,
            brake: &self.brake,
            stopping: &self.stopping,
            statistics: &self.statistics,
            pace: self.pace,
        };
        compaction.run(&mut self.state)
    }
}

/// How long a disk that cannot be read is left alone.
const READ_PAUSE: Duration = Duration::from_secs(1);

/// A moment's work each; meanwhile the journal goes on.
const SEALED_AT_ONCE: usize = 2;
/// So that closing takes no longer than it must: the next start reads the records of the rest.
const SEALED_AT_THE_END: usize = 32;
