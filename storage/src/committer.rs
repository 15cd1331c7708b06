//! One write and one fdatasync for many changesets; completions run on a second thread, in commit order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use telemetry::Metrics;

use crate::completion::Completion;
use crate::error::StoreError;
use crate::group::Group;
use crate::inbox::{Inbox, Job, Taken, Urgency};
use crate::log::Log;
use crate::record::{put_changes, put_changeset, put_note};
use crate::statistics::Statistics;
use crate::watch::{Moved, Watch};

/// The thread that decides the order, and waits for the disk.
pub(crate) struct Committer {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) inbox: Arc<Inbox>,
    /// Where completions go once they may run.
    pub(crate) completions: Sender<Vec<Box<dyn Completion>>>,
    /// Who brings sled after the journal.
    pub(crate) follower: Sender<()>,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    /// For [`Watch`].
    pub(crate) salt: u64,
}

/// How much shares one fdatasync, and how long it may wait for one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) records_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) soon_sync_wait_max: Duration,
}

impl Committer {
    /// Works until the inbox is closed and empty, or the disk fails. Then nobody's completion is left waiting here.
    /// `failed` is set before anybody can see that it did.
    pub(crate) fn run(self, failed: &AtomicBool) -> Result<(), StoreError> {
        let inbox = Arc::clone(&self.inbox);
        let mut work = Work {
            committer: self,
            group: Group::new(),
            written: Vec::new(),
            waiting: Vec::new(),
            must_sync: false,
            answers: Vec::new(),
            sync_due: None,
            unsynced_records: 0,
            write_took: Duration::ZERO,
            watch: None,
        };
        let result = work.serve();
        if result.is_err() {
            failed.store(true, Ordering::Release);
            drop(work);
            inbox.abandon();
        }
        result
    }
}

struct Work {
    committer: Committer,
    group: Group,
    /// They wait for the write alone. In commit order.
    written: Vec<Box<dyn Completion>>,
    /// Behind them, those that wait for the sync, and whoever came after one of these. In commit order.
    waiting: Vec<Box<dyn Completion>>,
    /// Somebody waits for the sync.
    must_sync: bool,
    answers: Vec<Sender<()>>,
    /// There is something written that is not synced; when it must be.
    sync_due: Option<Instant>,
    unsynced_records: u64,
    write_took: Duration,
    watch: Option<Watch>,
}

impl Work {
    fn serve(&mut self) -> Result<(), StoreError> {
        let mut jobs = Vec::new();
        loop {
            let taken = self.committer.inbox.take(&mut jobs, self.sync_due);
            for job in jobs.drain(..) {
                self.admit(job)?;
            }
            self.write()?;
            match taken {
                Taken::Jobs if self.must_sync => self.sync()?,
                Taken::Jobs => self.sync_if_due()?,
                Taken::Time => self.sync()?,
                Taken::Closed => return self.sync(),
            }
        }
    }

    fn admit(&mut self, job: Job) -> Result<(), StoreError> {
        match job {
            Job::Commit { changeset, urgency, completion } => {
                if let Some(watch) = &mut self.watch {
                    watch.note(&changeset);
                }
                if !changeset.is_empty() {
                    self.group.push(|out| put_changeset(out, &changeset));
                }
                self.must_sync |= urgency == Urgency::Now;
                if urgency == Urgency::Written && self.waiting.is_empty() {
                    self.written.extend(completion);
                } else {
                    self.waiting.extend(completion);
                }
            }
            Job::Sync(answer) => {
                self.must_sync = true;
                self.answers.push(answer);
            }
            Job::Watch(answer) => {
                self.must_sync = true;
                self.watch = Some(Watch::new(self.committer.salt));
                self.answers.push(answer);
            }
            Job::Move { records, done } => {
                if let Some(watch) = self.watch.take() {
                    for moved in records.into_iter().filter_map(|moved| watch.keep(moved)) {
                        self.group.push(|out| match moved {
                            Moved::Changes(changes) => put_changes(out, &changes),
                            Moved::Note(note) => put_note(out, note),
                        });
                        self.write_if_full()?;
                    }
                }
                self.must_sync = true;
                self.answers.push(done);
            }
        }
        self.write_if_full()
    }

    fn write_if_full(&mut self) -> Result<(), StoreError> {
        let Limits { records_max, bytes_max, .. } = self.committer.limits;
        if self.group.records() >= records_max || self.group.bytes_len() >= bytes_max {
            self.write()?;
            if self.must_sync {
                self.sync()?;
            }
        }
        Ok(())
    }

    /// Writes what there is; who waited for that alone is told.
    fn write(&mut self) -> Result<(), StoreError> {
        if !self.group.is_empty() {
            self.append()?;
        }
        let written = std::mem::take(&mut self.written);
        self.complete(written)
    }

    fn append(&mut self) -> Result<(), StoreError> {
        let statistics = &self.committer.statistics;
        statistics.groups.add(1);
        statistics.records.add(self.group.records() as u64);
        statistics.bytes.add(self.group.bytes_len() as u64);
        let start = Instant::now();
        self.committer.log.append(&mut self.group)?;
        self.write_took += start.elapsed();
        self.unsynced_records += self.group.records() as u64;
        self.group.clear();
        self.sync_due.get_or_insert_with(|| Instant::now() + self.committer.limits.soon_sync_wait_max);
        Ok(())
    }

    fn sync_if_due(&mut self) -> Result<(), StoreError> {
        match self.sync_due {
            Some(due) if due > Instant::now() => Ok(()),
            Some(_) | None => self.sync(),
        }
    }

    /// Everything written so far lasts; who waited for it is told.
    fn sync(&mut self) -> Result<(), StoreError> {
        self.must_sync = false;
        if self.sync_due.take().is_some() {
            let start = Instant::now();
            self.committer.log.sync()?;
            self.committer.statistics.sync_us.record_us(start.elapsed());
            self.committer.metrics.commit_us.record_us(start.elapsed() + self.write_took);
            self.committer.metrics.commit_records.record(std::mem::take(&mut self.unsynced_records));
            self.write_took = Duration::ZERO;
            // If it has not come to the last call yet, it will see this as well.
            let _ = self.committer.follower.try_send(());
        }
        for answer in self.answers.drain(..) {
            // Who asked may have given up.
            let _ = answer.send(());
        }
        let next = Vec::with_capacity(self.waiting.len());
        let ready = std::mem::replace(&mut self.waiting, next);
        self.complete(ready)
    }

    fn complete(&self, ready: Vec<Box<dyn Completion>>) -> Result<(), StoreError> {
        if ready.is_empty() {
            return Ok(());
        }
        self.committer
            .completions
            .send(ready)
            .map_err(|_| StoreError::Ended { thread: "thread that runs completions" })
    }
}

/// The second thread: runs what may run.
pub(crate) fn run_completions(ready: &Receiver<Vec<Box<dyn Completion>>>) {
    for completions in ready {
        for completion in completions {
            completion.committed();
        }
    }
}
