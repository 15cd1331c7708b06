//! Open, commit, read, close: the one handle.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use model::change::Changeset;
use model::name::QueueId;

use crate::apply::State;
use crate::brake::Brake;
use crate::committer::{Committer, Limits, run_completions};
use crate::compaction::Pace;
use crate::completion::Completion;
use crate::directory::Directory;
use crate::error::StoreError;
use crate::follower::{Follower, Troubles};
use crate::inbox::{Inbox, Job, Urgency};
use crate::log::Log;
use crate::options::Options;
use crate::reader::{Answer, Reader, Wanted};
use crate::recovery::{Recovered, recover, recover_from};
use crate::space::{Disk, Space, fitting, fitting_surplus};
use crate::statistics::Statistics;
use crate::stepped::Stepped;

/// What is called once if the disk fails.
pub type OnFailure = Box<dyn Fn(&StoreError) + Send + Sync>;

/// An open store. Closed in order by [`Self::close`], or when it is dropped.
pub struct Store {
    inbox: Arc<Inbox>,
    statistics: Arc<Statistics>,
    space: Arc<Space>,
    brake: Arc<Brake>,
    place: PathBuf,
    stopping: Arc<AtomicBool>,
    questions: Sender<Option<Wanted>>,
    running: Mutex<Option<Running>>,
}

/// What ends when the store is closed.
struct Running {
    /// Dropped to stop the follower's waiting.
    stop: Sender<()>,
    committer: JoinHandle<()>,
    completer: JoinHandle<()>,
    follower: JoinHandle<()>,
    reader: JoinHandle<()>,
    /// Keeps the follower waiting while nobody reads.
    nudge: Sender<()>,
    /// Given back last.
    directory: Arc<Directory>,
}

impl Store {
    /// Opens the store in `options.directory`, or makes one, and says what is in it.
    ///
    /// `on_failure` is called once, on a thread of the store, if a write or fdatasync fails: every completion that was
    /// waiting has been dropped unrun by then, and later commits are dropped too. The process is expected to end.
    ///
    /// # Errors
    ///
    /// Another process has the directory; damage that a crash does not explain; an unknown version; what the system says.
    pub fn open(options: Options, on_failure: OnFailure) -> Result<(Self, Recovered), StoreError> {
        Self::open_through(options, on_failure, |journal| journal)
    }

    /// Like [`Self::open`]; `door` may put something of its own between the store and its journal, for instance faults.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_through(
        options: Options,
        on_failure: OnFailure,
        door: impl FnOnce(Arc<dyn Log>) -> Arc<dyn Log>,
    ) -> Result<(Self, Recovered), StoreError> {
        let directory = Directory::open(&options.directory)?;
        let (state, journal, recovered) = recover(&options, &directory)?;
        let store = Self::start(&options, directory, state, door(Arc::new(journal)), on_failure)?;
        Ok((store, recovered))
    }

    fn start(
        options: &Options,
        directory: Directory,
        state: State,
        log: Arc<dyn Log>,
        on_failure: OnFailure,
    ) -> Result<Self, StoreError> {
        let inbox = Arc::new(Inbox::new(options.soon_write_wait_max, options.group_records_max));
        let statistics = Arc::new(Statistics::default());
        let pace = pace(options);
        let brake = Arc::new(Brake::new(pace.ahead_bytes_max));
        let (stopping, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        // Bounded: should completions be slower than the disk, the committer waits for them.
        let (completions, ready) = crossbeam_channel::bounded(READY_GROUPS_MAX);
        let (follower, news) = crossbeam_channel::bounded(1);
        let (stop, stopped) = crossbeam_channel::bounded(1);
        let (nudge, nudged) = crossbeam_channel::bounded(1);
        // Whoever asks waits for the answer before he asks again.
        let (questions, asked) = crossbeam_channel::unbounded();
        let reader = Reader {
            log: Arc::clone(&log),
            index: Arc::clone(&state.queues),
            questions: asked,
            nudge: nudge.clone(),
            inbox: Arc::clone(&inbox),
            stopping: Arc::clone(&stopping),
        };
        let committer = Committer {
            log: Arc::clone(&log),
            inbox: Arc::clone(&inbox),
            completions,
            follower,
            nudge: nudge.clone(),
            brake: Arc::clone(&brake),
            statistics: Arc::clone(&statistics),
            metrics: Arc::clone(&options.metrics),
            limits: limits(options, pace),
            salt: state.salt,
        };
        let directory = Arc::new(directory);
        let follower = Follower {
            state,
            log,
            inbox: Arc::clone(&inbox),
            brake: Arc::clone(&brake),
            statistics: Arc::clone(&statistics),
            news,
            nudged,
            stop: stopped,
            stopping: Arc::clone(&stopping),
            failed: Arc::clone(&failed),
            place: options.directory.clone(),
            directory: Arc::clone(&directory),
            cache_bytes: options.cache_bytes,
            apply_wait: options.apply_wait,
            pace,
            sealed: 0,
            troubles: Troubles::default(),
        };
        let commit = move || commit_until_closed(committer, &failed, &on_failure);
        let running = Running {
            stop,
            committer: spawn("store-commit", &options.directory, commit)?,
            completer: spawn("store-complete", &options.directory, move || run_completions(&ready))?,
            follower: spawn("store-follow", &options.directory, move || follower.run())?,
            reader: spawn("store-read", &options.directory, move || reader.run())?,
            nudge,
            directory,
        };
        let (space, place) = (Arc::clone(&options.space), options.directory.clone());
        let running = Mutex::new(Some(running));
        Ok(Self { inbox, statistics, space, brake, place, stopping, questions, running })
    }

    /// Opens what `log` has, without any thread: what is handed in stays where it is until the [`Stepped`] that belongs to
    /// it takes the next step. For whoever wants to decide what happens when, as a simulation does. The state is in memory,
    /// and is made from the journal each time; nothing is ever compacted.
    ///
    /// # Errors
    ///
    /// Damage, or what the log says.
    pub fn stepped(options: &Options, log: Arc<dyn Log>) -> Result<(Self, Recovered, Stepped), StoreError> {
        let (state, recovered) = recover_from(&*log, options)?;
        let inbox = Arc::new(Inbox::new(options.soon_write_wait_max, options.group_records_max));
        let statistics = Arc::new(Statistics::default());
        let (questions, asked) = crossbeam_channel::unbounded();
        let (nudge, _) = crossbeam_channel::bounded(1);
        // Nothing is given up, so nobody has to keep up.
        let pace = Pace::new(options.segment_bytes, u64::MAX, options.group_bytes_max);
        let brake = Arc::new(Brake::new(u64::MAX));
        let stopping = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            log: Arc::clone(&log),
            index: Arc::clone(&state.queues),
            questions: asked,
            nudge: nudge.clone(),
            inbox: Arc::clone(&inbox),
            stopping: Arc::clone(&stopping),
        };
        let (completions, ready) = crossbeam_channel::unbounded();
        let (follower, _) = crossbeam_channel::bounded(1);
        let committer = Committer {
            log: Arc::clone(&log),
            inbox: Arc::clone(&inbox),
            completions,
            follower,
            nudge,
            brake: Arc::clone(&brake),
            statistics: Arc::clone(&statistics),
            metrics: Arc::clone(&options.metrics),
            limits: limits(options, pace),
            salt: state.salt,
        };
        let stepped = Stepped::new(committer, ready, state, reader);
        let (space, place) = (Arc::clone(&options.space), options.directory.clone());
        let running = Mutex::new(None);
        let store = Self { inbox, statistics, space, brake, place, stopping, questions, running };
        Ok((store, recovered, stepped))
    }

    /// Hands in a changeset. Never waits for the disk. The order of calls is the order in the journal, and the order in
    /// which completions run; of two threads, a lock decides.
    ///
    /// An empty changeset writes nothing; its completion runs in its turn, when everything before it lasts as far as
    /// `urgency` says.
    ///
    /// What was handed in waits in memory, bounded only by how much the callers have under way.
    pub fn commit(&self, changeset: Changeset, urgency: Urgency, completion: Option<Box<dyn Completion>>) {
        self.statistics.commits.add(1);
        self.inbox.push(Job::Commit { changeset, urgency, completion }, urgency);
    }

    /// Reads messages that wait, by the numbers of their entries, which are durable. Never waits for the disk: `answer` is
    /// called on a thread of the store, of one call after the other; or dropped, if the store is closed. Live records move
    /// meanwhile as they like.
    ///
    /// What is asked for waits in memory, bounded only by how much the callers want at once.
    pub fn read(&self, queue: QueueId, sequences: Vec<u64>, answer: Answer) {
        // Without a reader the question is dropped, and the answer with it.
        let _ = self.questions.send(Some(Wanted { queue, sequences, answer }));
    }

    /// Whether it waits for room on its disk.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Whether live records cannot be brought together for now, and so much was written since that publishers should wait: soon
    /// nobody could write any more, so that the directory keeps its bound.
    pub fn is_behind(&self) -> bool {
        self.brake.is_held(self.statistics.bytes.value())
    }

    /// The disk that it is on.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub fn disk(&self) -> std::io::Result<Disk> {
        Disk::of(&self.place)
    }

    /// What it has done so far.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Everything that was committed is written and synced, completions have run, sled has followed; then the directory
    /// is free. What is committed afterwards is dropped. Not to be called from a completion.
    pub fn close(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { stop, committer, completer, follower, reader, nudge, directory }) = running else {
            return;
        };
        self.stopping.store(true, Ordering::Relaxed);
        drop(stop);
        self.space.close();
        self.inbox.close();
        let _ = self.questions.send(None);
        let threads =
            [(committer, "committer"), (completer, "completer"), (follower, "follower"), (reader, "reader")];
        for (thread, name) in threads {
            if thread.join().is_err() {
                tracing::error!(thread = name, "store.thread_panicked");
            }
        }
        drop((nudge, directory));
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("statistics", &self.statistics).finish_non_exhaustive()
    }
}

fn limits(options: &Options, pace: Pace) -> Limits {
    Limits {
        records_max: options.group_records_max.max(1),
        bytes_max: options.group_bytes_max,
        soon_sync_wait_max: options.soon_sync_wait_max,
        unsynced_bytes_max: pace.ahead_bytes_max / 2,
    }
}

/// As it is right for the disk.
fn pace(options: &Options) -> Pace {
    Pace::new(
        fitting(&options.directory, options.segment_bytes),
        fitting_surplus(&options.directory, options.surplus_bytes_max),
        options.group_bytes_max,
    )
}

fn commit_until_closed(committer: Committer, failed: &AtomicBool, on_failure: &OnFailure) {
    let inbox = Arc::clone(&committer.inbox);
    // Should the thread panic, nothing may go on as if it were there.
    let _guard = Abandon(&inbox);
    if let Err(error) = committer.run(failed) {
        tracing::error!(%error, "store.failed");
        on_failure(&error);
    }
}

/// Closes the inbox, however the thread ends.
struct Abandon<'a>(&'a Inbox);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn spawn(
    name: &str,
    directory: &std::path::Path,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(StoreError::io("start a thread for", directory))
}

const READY_GROUPS_MAX: usize = 64;
