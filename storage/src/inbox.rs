//! What waits for the committer, in order.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use model::change::Changeset;

use crate::completion::Completion;
use crate::error::StoreError;
use crate::watch::{Kept, Moved};

/// What somebody waits for, who has handed in a changeset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Urgency {
    /// For fdatasync: then it outlives a loss of power.
    Now,
    /// For the write, and for whatever those before him wait for: then it outlives the process. It is synced soon.
    Written,
    /// Nobody waits: it may ride with a later group.
    Soon,
}

/// One thing for the committer to do.
pub(crate) enum Job {
    /// Write this.
    Commit { changeset: Changeset, urgency: Urgency, completion: Option<Box<dyn Completion>> },
    /// Sync what was handed in before this; answered then.
    Sync(Sender<()>),
    /// Take notes of all that changes from now on; answered when everything before is durable.
    Watch(Sender<()>),
    /// Write these again, but for what changed meanwhile; answered when that is durable.
    Move { records: Vec<Moved>, done: Sender<Kept> },
    /// Somebody else found that nobody knows any more what is on disk: end as if the journal had failed.
    Fail(StoreError),
}

/// What [`Inbox::take`] brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Jobs.
    Jobs,
    /// No job, but it is time to sync.
    Time,
    /// No job, and there will be none.
    Closed,
}

/// A queue with one taker, who is woken only when there is a reason: a wake-up costs more than all the rest.
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    soon_wait_max: Duration,
    /// From so many on, jobs are taken though nobody waits for one of them.
    jobs_max: usize,
}

struct State {
    jobs: Vec<Job>,
    urgent: bool,
    /// When the first of the jobs that nobody waits for must be taken.
    due: Option<Instant>,
    open: bool,
    idle: bool,
}

impl Inbox {
    pub(crate) fn new(soon_wait_max: Duration, jobs_max: usize) -> Self {
        let state = State { jobs: Vec::new(), urgent: false, due: None, open: true, idle: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), soon_wait_max, jobs_max }
    }

    /// Adds a job. If the inbox is closed, the job is dropped, and whoever waits for its answer learns that.
    pub(crate) fn push(&self, job: Job, urgency: Urgency) {
        let mut state = self.lock();
        if !state.open {
            drop(state);
            drop(job);
            return;
        }
        state.jobs.push(job);
        let wake = match urgency {
            Urgency::Now | Urgency::Written => !std::mem::replace(&mut state.urgent, true),
            Urgency::Soon if state.due.is_none() => {
                state.due = Some(Instant::now() + self.soon_wait_max);
                true
            }
            Urgency::Soon => state.jobs.len() == self.jobs_max,
        };
        let wake = wake && state.idle;
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Waits for jobs and moves all of them to `jobs`, which is empty. Not beyond `sync_due`.
    pub(crate) fn take(&self, jobs: &mut Vec<Job>, sync_due: Option<Instant>) -> Taken {
        let mut state = self.lock();
        loop {
            if state.urgent || !state.open || state.jobs.len() >= self.jobs_max {
                return state.hand_over(jobs);
            }
            let Some(due) = earliest(state.due, sync_due) else {
                state.idle = true;
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle = false;
                continue;
            };
            let now = Instant::now();
            if state.due.is_some_and(|due| due <= now) {
                return state.hand_over(jobs);
            }
            if due <= now {
                return Taken::Time;
            }
            state.idle = true;
            state = self.arrived.wait_timeout(state, due - now).unwrap_or_else(PoisonError::into_inner).0;
            state.idle = false;
        }
    }

    /// Moves what is there to `jobs`, which is empty, without waiting for anything.
    pub(crate) fn drain(&self, jobs: &mut Vec<Job>) {
        self.lock().hand_over(jobs);
    }

    /// Takes no more jobs. What is in it is still taken.
    pub(crate) fn close(&self) {
        self.lock().open = false;
        self.arrived.notify_one();
    }

    /// Takes no more jobs, and drops what is in it.
    pub(crate) fn abandon(&self) {
        let jobs = {
            let mut state = self.lock();
            state.open = false;
            std::mem::take(&mut state.jobs)
        };
        // Not under the lock: what is dropped may want to tell somebody.
        drop(jobs);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hand_over(&mut self, jobs: &mut Vec<Job>) -> Taken {
        if self.jobs.is_empty() {
            return Taken::Closed;
        }
        std::mem::swap(&mut self.jobs, jobs);
        self.due = None;
        self.urgent = false;
        Taken::Jobs
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
