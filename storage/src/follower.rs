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
use crate::error::StoreError;
use crate::inbox::Inbox;
use crate::log::Log;
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
            self.state.follow(&*self.log, may_write)?;
            if may_write {
                self.compact()?;
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
        self.state.checkpoint(true)
    }

    /// Waits until there is something to follow; `false`: there will be no more.
    fn waits_for_news(&self) -> bool {
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
