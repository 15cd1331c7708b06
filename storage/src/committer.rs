//! One write and one fdatasync for many changesets; completions run on a second thread, in commit order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use telemetry::Metrics;

use crate::brake::Brake;
use crate::completion::Completion;
use crate::error::StoreError;
use crate::group::Group;
use crate::inbox::{Inbox, Job, Taken, Urgency};
use crate::log::Log;
use crate::record::{put_changes, put_changeset, put_note};
use crate::statistics::Statistics;
use crate::watch::{Kept, Moved, Watch};

/// The thread that decides the order, and waits for the disk.
pub(crate) struct Committer {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) inbox: Arc<Inbox>,
    /// Where completions go once they may run.
    pub(crate) completions: Sender<Vec<Box<dyn Completion>>>,
    /// Who brings sled after the journal.
    pub(crate) follower: Sender<()>,
    /// Asks the follower not to wait.
    pub(crate) nudge: Sender<()>,
    pub(crate) brake: Arc<Brake>,
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
    pub(crate) unsynced_bytes_max: u64,
}

impl Committer {
    /// Works until the inbox is closed and empty, or the disk fails. Then nobody's completion is left waiting here.
    /// `failed` is set before anybody can see that it did.
    pub(crate) fn run(self, failed: &AtomicBool) -> Result<(), StoreError> {
        let inbox = Arc::clone(&self.inbox);
        let mut work = Work::new(self);
        let result = work.serve();
        if result.is_err() {
            failed.store(true, Ordering::Release);
            drop(work);
            inbox.abandon();
        }
        result
    }
}

/// Who waits until everything before is durable.
enum Answer {
    Synced(Sender<()>),
    Moved(Sender<Kept>, Kept),
}

/// What is under way.
pub(crate) struct Work {
    committer: Committer,
    group: Group,
    /// They wait for the write alone. In commit order.
    written: Vec<Box<dyn Completion>>,
    /// Behind them, those that wait for the sync, and whoever came after one of these. In commit order.
    waiting: Vec<Box<dyn Completion>>,
    /// Somebody waits for the sync.
    must_sync: bool,
    answers: Vec<Answer>,
    /// There is something written that is not synced; when it must be.
    sync_due: Option<Instant>,
    unsynced_records: u64,
    unsynced_bytes: u64,
    write_took: Duration,
    watch: Option<Watch>,
}

impl Work {
    pub(crate) fn new(committer: Committer) -> Self {
        Self {
            committer,
            group: Group::new(),
            written: Vec::new(),
            waiting: Vec::new(),
            must_sync: false,
            answers: Vec::new(),
            sync_due: None,
            unsynced_records: 0,
            unsynced_bytes: 0,
            write_took: Duration::ZERO,
            watch: None,
        }
    }

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

    /// Writes what waits, however much or little that is.
    pub(crate) fn write_all(&mut self) -> Result<(), StoreError> {
        let mut jobs = Vec::new();
        self.committer.inbox.drain(&mut jobs);
        for job in jobs {
            self.admit(job)?;
        }
        self.write()
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
                self.answers.push(Answer::Synced(answer));
            }
            Job::Watch(answer) => {
                self.must_sync = true;
                self.watch = Some(Watch::new(self.committer.salt));
                self.answers.push(Answer::Synced(answer));
            }
            Job::Move { records, done } => {
                let kept = self.move_on(records)?;
                self.must_sync = true;
                self.answers.push(Answer::Moved(done, kept));
            }
            Job::Fail(error) => return Err(error),
        }
        self.write_if_full()
    }

    /// One fdatasync is for all of it: whoever waits behind it waits for no more than that.
    fn move_on(&mut self, records: Vec<Moved>) -> Result<Kept, StoreError> {
        let Some(mut watch) = self.watch.take() else { return Ok(Kept::Part) };
        for moved in records {
            let Some(moved) = watch.keep(moved) else { continue };
            self.group.push(|out| match moved {
                Moved::Changes(changes) => put_changes(out, &changes),
                Moved::Note(note) => put_note(out, note),
            });
            if self.is_full() {
                self.write()?;
            }
        }
        Ok(watch.kept)
    }

    fn is_full(&self) -> bool {
        let Limits { records_max, bytes_max, .. } = self.committer.limits;
        self.group.records() >= records_max || self.group.bytes_len() >= bytes_max
    }

    fn write_if_full(&mut self) -> Result<(), StoreError> {
        if self.is_full() {
            self.write()?;
            // Nobody can follow what is not synced.
            if self.must_sync || self.unsynced_bytes >= self.committer.limits.unsynced_bytes_max {
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
        let Committer { statistics, brake, nudge, .. } = &self.committer;
        statistics.groups.add(1);
        statistics.records.add(self.group.records() as u64);
        statistics.bytes.add(self.group.bytes_len() as u64);
        brake.wait(statistics.bytes.value(), || {
            // It is asked already, if there is no room.
            let _ = nudge.try_send(());
        });
        let start = Instant::now();
        self.committer.log.append(&mut self.group)?;
        self.write_took += start.elapsed();
        self.unsynced_records += self.group.records() as u64;
        self.unsynced_bytes += self.group.bytes_len() as u64;
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
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        self.must_sync = false;
        self.unsynced_bytes = 0;
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
            match answer {
                Answer::Synced(answer) => drop(answer.send(())),
                Answer::Moved(answer, kept) => drop(answer.send(kept)),
            }
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
