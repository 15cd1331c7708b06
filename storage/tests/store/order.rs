//! Completions run in the order of the commits, once each, and never before their changeset is on disk.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::change::Changeset;
use storage::{Completion, Options, Store, Urgency};

use crate::changes::{changeset, commit, declare, enqueue, message, open, options, place};

#[test]
fn completions_run_in_the_order_of_the_commits() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(options(home.path()));
    commit(&store, [declare(1)]);
    let ran = Arc::new(Mutex::new(Vec::new()));
    for number in 1..=3000_u64 {
        let changes = match number % 3 {
            // A barrier: nothing to write, and still it waits its turn.
            0 => changeset([]),
            _ => changeset([enqueue(&message(number, "k", vec![0; 40]), &[place(1, number)])]),
        };
        let urgency = if number % 5 == 0 { Urgency::Soon } else { Urgency::Now };
        store.commit(changes, urgency, Some(Box::new(Note { number, ran: Arc::clone(&ran) })));
    }
    store.close();
    assert!(ran.lock().unwrap().iter().copied().eq(1..=3000));
}

#[test]
fn each_threads_commits_keep_their_order() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(options(home.path()));
    let ran = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (store, ran) = (&store, Arc::clone(&ran));
            scope.spawn(move || {
                for number in 0..500 {
                    let note = Note { number: thread * 1000 + number, ran: Arc::clone(&ran) };
                    store.commit(changeset([declare(number)]), Urgency::Now, Some(Box::new(note)));
                }
            });
        }
    });
    store.close();
    let ran = ran.lock().unwrap();
    for thread in 0..4_u64 {
        assert!(
            ran.iter()
                .copied()
                .filter(|number| number / 1000 == thread)
                .eq(thread * 1000..thread * 1000 + 500)
        );
    }
}

#[test]
fn what_nobody_waits_for_is_written_soon_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(options(home.path()));
    let (done, wait) = crossbeam_channel::bounded(1);
    let start = Instant::now();
    store.commit(changeset([declare(1)]), Urgency::Soon, Some(Box::new(crate::changes::Send(done))));
    wait.recv().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_barrier_does_not_wait_for_a_sync_that_nothing_needs() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(options(home.path()));
    commit(&store, [declare(1)]);
    let syncs = store.statistics().sync_us.snapshot().count;
    for _ in 0..10 {
        commit(&store, []);
    }
    assert_eq!(store.statistics().sync_us.snapshot().count, syncs);
}

#[test]
fn what_waits_together_is_synced_together() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(Options { segment_bytes: 1 << 20, ..options(home.path()) });
    for number in 0..2000 {
        store.commit(changeset([declare(number)]), Urgency::Now, None);
    }
    store.close();
    let statistics = store.statistics();
    assert_eq!(statistics.records.value(), 2000);
    assert!(statistics.sync_us.snapshot().count < 500, "{statistics:?}");
}

#[test]
fn who_waits_for_the_write_alone_does_not_wait_for_a_sync() {
    let home = tempfile::tempdir().unwrap();
    let lazy = Options { soon_sync_wait_max: Duration::from_secs(3600), ..options(home.path()) };
    let (store, _) = open(lazy);
    commit(&store, [declare(1)]);
    let syncs = || store.statistics().sync_us.snapshot().count;
    let (before, records) = (syncs(), store.statistics().records.value());
    for number in 1..=50 {
        let changes = changeset([enqueue(&message(number, "k", vec![0; 40]), &[place(1, number)])]);
        wait_written(&store, changes);
        assert_eq!(store.statistics().records.value(), records + number, "it is written by then");
    }
    assert_eq!(syncs(), before);
    // Whoever waits for more has all that came before him synced, too.
    commit(&store, [declare(2)]);
    assert_eq!(syncs(), before + 1);
    wait_written(&store, changeset([]));
    assert_eq!(syncs(), before + 1, "there was nothing to write");
}

#[test]
fn completions_keep_their_order_whatever_each_waits_for() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(Options { group_records_max: 7, ..options(home.path()) });
    commit(&store, [declare(1)]);
    let ran = Arc::new(Mutex::new(Vec::new()));
    for number in 1..=3000_u64 {
        let changes = match number % 3 {
            0 => changeset([]),
            _ => changeset([enqueue(&message(number, "k", vec![0; 40]), &[place(1, number)])]),
        };
        let urgency = match number % 11 {
            0 => Urgency::Now,
            1 => Urgency::Soon,
            _ => Urgency::Written,
        };
        store.commit(changes, urgency, Some(Box::new(Note { number, ran: Arc::clone(&ran) })));
    }
    store.close();
    assert!(ran.lock().unwrap().iter().copied().eq(1..=3000));
}

fn wait_written(store: &Store, changes: Changeset) {
    let (done, wait) = crossbeam_channel::bounded(1);
    store.commit(changes, Urgency::Written, Some(Box::new(crate::changes::Send(done))));
    wait.recv().unwrap();
}

struct Note {
    number: u64,
    ran: Arc<Mutex<Vec<u64>>>,
}

impl Completion for Note {
    fn committed(self: Box<Self>) {
        self.ran.lock().unwrap().push(self.number);
    }
}
