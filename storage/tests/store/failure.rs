//! A disk that fails: nothing is acknowledged that is not on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::change::Change;
use model::name::QueueId;
use storage::group::Group;
use storage::log::{Log, SegmentSummary, Visit};
use storage::position::Position;
use storage::{Completion, Options, Store, StoreError, Urgency};

use crate::bound::used_bytes;
use crate::changes::{changeset, commit, declare, enqueue, message, open, options, place, without_follower};

#[test]
fn after_a_failed_sync_no_completion_runs() {
    check(
        |faults| &faults.sync,
        || {
            let source = std::io::Error::other("the cable fell out");
            StoreError::Io { doing: "sync", path: "x".into(), source }
        },
    );
}

#[test]
fn after_a_failed_write_no_completion_runs() {
    check(
        |faults| &faults.append,
        || {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
            StoreError::Io { doing: "write", path: "x".into(), source }
        },
    );
}

#[test]
fn a_fenced_journal_acknowledges_nothing_more() {
    check(|faults| &faults.append, || StoreError::Fenced);
}

#[test]
fn a_directory_has_one_store_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(without_follower(home.path()));
    let second = Store::open(without_follower(home.path()), Box::new(|_| ()));
    let own = std::process::id().to_string();
    assert!(matches!(second, Err(StoreError::Locked { pid, .. }) if pid == own));
    store.close();
    open(without_follower(home.path()));
}

#[test]
fn a_journal_that_cannot_be_read_for_a_while_is_read_then_and_nothing_is_left_out() {
    let home = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let in_door = Arc::clone(&faults);
    let error =
        || StoreError::Io { doing: "read", path: "x".into(), source: std::io::Error::other("a cable") };
    // As long as no more is written than what may be ahead of whoever follows, nobody waits for him.
    let options = Options { surplus_bytes_max: 1 << 20, ..options(home.path()) };
    let (store, _) = Store::open_through(options, Box::new(|error| panic!("{error}")), |journal| {
        Arc::new(Faulty { journal, faults: in_door, error })
    })
    .unwrap();
    commit(&store, [declare(1)]);
    faults.read.store(true, Ordering::SeqCst);
    let (done, answer) = crossbeam_channel::unbounded();
    for number in 1..=50 {
        commit(&store, [enqueue(&message(number, "k", vec![7; 100]), &[place(1, number)])]);
    }
    let ask = || {
        let done = done.clone();
        store.read(QueueId(1), (1..=50).collect(), Box::new(move |found| done.send(found).unwrap()));
    };
    ask();
    // Meanwhile acknowledgements go on, and whoever wants a message waits, or is told why not.
    commit(&store, [declare(2)]);
    std::thread::sleep(Duration::from_millis(300));
    faults.read.store(false, Ordering::SeqCst);
    let mut found = answer.recv_timeout(Duration::from_secs(60)).unwrap();
    if found.is_err() {
        ask();
        found = answer.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    let numbers: Vec<u64> = found.unwrap().entries.iter().map(|entry| entry.sequence).collect();
    assert!(numbers.iter().copied().eq(1..=50), "{numbers:?}");
    assert_eq!(store.statistics().state_failures.value(), 0);
}

#[test]
fn while_no_file_can_be_given_up_no_more_is_written_than_the_bound_allows() {
    let home = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let in_door = Arc::clone(&faults);
    let error =
        || StoreError::Io { doing: "remove", path: "x".into(), source: std::io::Error::other("a cable") };
    let (segment_bytes, surplus_bytes_max) = (2 << 20, 16 << 20);
    let options = Options { segment_bytes, surplus_bytes_max, ..Options::new(home.path()) };
    let (store, _) = Store::open_through(options, Box::new(|error| panic!("{error}")), |journal| {
        Arc::new(Faulty { journal, faults: in_door, error })
    })
    .unwrap();
    commit(&store, [declare(1), enqueue(&message(1, "old", vec![7; 100]), &[place(1, 1)])]);
    faults.trim.store(true, Ordering::SeqCst);
    let store = Arc::new(store);
    let done = Arc::new(AtomicUsize::new(0));
    for number in 2..2 + UNDER_WAY {
        pass(Passing { store: Arc::clone(&store), done: Arc::clone(&done), number });
    }
    let written = || store.statistics().bytes.value();
    let (mut before, mut rests) = (0, 0);
    while rests < 10 {
        std::thread::sleep(Duration::from_millis(100));
        rests = if written() == before { rests + 1 } else { 0 };
        before = written();
    }
    assert!(done.load(Ordering::SeqCst) < MESSAGES, "the rest waits");
    assert!(store.is_behind(), "publishers are held before");
    assert!(store.statistics().follow_failures.value() > 0);
    // However often it is tried again.
    std::thread::sleep(Duration::from_secs(5));
    let used = used_bytes(home.path());
    assert!(used < surplus_bytes_max, "{used} bytes");
    faults.trim.store(false, Ordering::SeqCst);
    while done.load(Ordering::SeqCst) < MESSAGES {
        std::thread::sleep(Duration::from_millis(20));
    }
    let stays_behind = Instant::now() + Duration::from_secs(60);
    while store.is_behind() {
        assert!(Instant::now() < stays_behind, "it is behind for ever");
        std::thread::sleep(Duration::from_millis(20));
    }
    store.close();
    assert!(store.statistics().trimmed.value() > 5, "files are given up again");
    drop(store);
    let (_, recovered) = open(Options::new(home.path()));
    assert_eq!(recovered.report.entries, 1, "the old one is there, and nothing else");
}

/// A message that is published and taken, and when that is done another one.
struct Passing {
    store: Arc<Store>,
    done: Arc<AtomicUsize>,
    number: u64,
}

fn pass(passing: Passing) {
    let Passing { store, number, .. } = &passing;
    let message = enqueue(&message(*number, "k", vec![7; 1024]), &[place(1, *number)]);
    let changes = changeset([message, Change::Remove(place(1, *number))]);
    Arc::clone(store).commit(changes, Urgency::Now, Some(Box::new(passing)));
}

impl Completion for Passing {
    fn committed(self: Box<Self>) {
        if self.done.fetch_add(1, Ordering::SeqCst) < MESSAGES {
            pass(Self { number: self.number + UNDER_WAY, ..*self });
        }
    }
}

#[derive(Default)]
struct Faults {
    append: AtomicBool,
    sync: AtomicBool,
    read: AtomicBool,
    trim: AtomicBool,
}

fn check(which: impl Fn(&Faults) -> &AtomicBool, error: fn() -> StoreError) {
    let home = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let (failed, failure) = crossbeam_channel::unbounded();
    let counts: [Arc<AtomicUsize>; 2] = Default::default();
    let (dropped, done) = (Arc::clone(&counts[0]), Arc::clone(&counts[1]));
    let in_door = Arc::clone(&faults);
    let seen = Arc::clone(&dropped);
    let (store, _) = Store::open_through(
        without_follower(home.path()),
        Box::new(move |error| failed.send((error.to_string(), seen.load(Ordering::SeqCst))).unwrap()),
        |journal| Arc::new(Faulty { journal, faults: in_door, error }),
    )
    .unwrap();
    let commit = |id| {
        let watched = Watched { dropped: Arc::clone(&dropped), done: Arc::clone(&done) };
        store.commit(changeset([declare(id)]), Urgency::Now, Some(Box::new(watched)));
    };
    commit(1);
    // It is dropped a moment after it ran, on the thread that runs completions: what fails below must not overtake that.
    while dropped.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(done.load(Ordering::SeqCst), 1, "the first was dropped and did not run");
    which(&faults).store(true, Ordering::SeqCst);
    commit(2);
    let (text, dropped_before) = failure.recv().unwrap();
    assert_eq!(text, error().to_string());
    assert_eq!(dropped_before, 2, "the first ran and was dropped, the second was only dropped");

    which(&faults).store(false, Ordering::SeqCst);
    commit(3);
    store.close();
    assert_eq!((done.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst)), (1, 3));
    assert!(failure.recv().is_err(), "it is said once");
    drop(store);
    let (_, recovered) = open(without_follower(home.path()));
    let ids: Vec<u64> = recovered.queues.iter().map(|queue| queue.record.id.0).collect();
    assert!(ids.contains(&1) && !ids.contains(&3), "{ids:?}");
}

struct Watched {
    dropped: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
}

impl Completion for Watched {
    fn committed(self: Box<Self>) {
        self.done.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// A journal that fails when it is told to.
struct Faulty {
    journal: Arc<dyn Log>,
    faults: Arc<Faults>,
    error: fn() -> StoreError,
}

impl Log for Faulty {
    fn append(&self, group: &mut Group) -> Result<(), StoreError> {
        if self.faults.append.load(Ordering::SeqCst) {
            Err((self.error)())
        } else {
            self.journal.append(group)
        }
    }

    fn sync(&self) -> Result<Position, StoreError> {
        if self.faults.sync.load(Ordering::SeqCst) { Err((self.error)()) } else { self.journal.sync() }
    }

    fn durable(&self) -> Position {
        self.journal.durable()
    }

    fn scan(&self, from: Position, to: Position, visit: &mut Visit<'_>) -> Result<Position, StoreError> {
        if !self.faults.read.load(Ordering::SeqCst) {
            return self.journal.scan(from, to, visit);
        }
        // In the middle of it.
        let mut seen = 0;
        self.journal.scan(from, to, &mut |at, record| {
            seen += 1;
            if seen > 3 { Err((self.error)()) } else { visit(at, record) }
        })
    }

    fn read(&self, at: Position) -> Result<Vec<u8>, StoreError> {
        if self.faults.read.load(Ordering::SeqCst) { Err((self.error)()) } else { self.journal.read(at) }
    }

    fn segments(&self) -> Vec<SegmentSummary> {
        self.journal.segments()
    }

    fn trim(&self, before: u32) -> Result<(), StoreError> {
        if self.faults.trim.load(Ordering::SeqCst) { Err((self.error)()) } else { self.journal.trim(before) }
    }
}

/// Twice as much as may lie there.
const MESSAGES: usize = 30_000;
const UNDER_WAY: u64 = 64;
