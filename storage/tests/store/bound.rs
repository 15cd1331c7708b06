//! The data directory stays within twice what is alive and a surplus, whatever passes through.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use model::change::Change;
use storage::{Completion, Options, Store, Urgency};

use crate::changes::{changeset, commit, declare, enqueue, message, open, place};

#[test]
fn the_directory_keeps_its_bound_while_nothing_stays() {
    check(&Traffic { messages: 200_000, old: 0, behind: 0 });
}

#[test]
fn the_directory_keeps_its_bound_while_one_old_message_stays() {
    check(&Traffic { messages: 200_000, old: 1, behind: 0 });
}

#[test]
fn the_directory_keeps_its_bound_while_a_backlog_stays() {
    check(&Traffic { messages: 500_000, old: 50_000, behind: 0 });
}

#[test]
fn the_directory_keeps_its_bound_while_a_backlog_moves_on() {
    check(&Traffic { messages: 200_000, old: 0, behind: 50_000 });
}

/// Messages that pass through one queue.
struct Traffic {
    messages: u64,
    /// So many of the first are never taken.
    old: u64,
    /// The consumer is so many messages behind.
    behind: u64,
}

#[track_caller]
fn check(traffic: &Traffic) {
    let home = tempfile::tempdir().unwrap();
    // A sixteenth of the usual sizes: so what passes through goes as often through the files as sixteen times as much.
    let (segment_bytes, surplus_bytes_max) = (2 << 20, 16 << 20);
    let options = Options { segment_bytes, surplus_bytes_max, ..Options::new(home.path()) };
    let (store, _) = open(options);
    commit(&store, [declare(1)]);
    let (store, seen) = (Arc::new(store), Arc::new(Seen::default()));
    for first in 1..=PUBLISHERS {
        publish(Publisher {
            store: Arc::clone(&store),
            seen: Arc::clone(&seen),
            number: first,
            last: traffic.messages,
            old: traffic.old,
            behind: traffic.behind,
        });
    }
    let mut over = i64::MIN;
    while !seen.ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        // What is alive is read first: meanwhile it grows rather than not.
        let live = seen.live.load(Ordering::Relaxed) * RECORD_BYTES;
        over = over.max(used_bytes(home.path()) as i64 - 2 * live as i64);
    }
    store.close();
    assert!(over <= surplus_bytes_max as i64, "{over} bytes beyond twice what is alive");
    let trimmed = store.statistics().trimmed.value();
    assert!(trimmed > 5, "of all that was written, {trimmed} files were given up");
    assert_eq!(store.statistics().state_failures.value(), 0);
    drop(store);
    let (_, recovered) = open(Options::new(home.path()));
    let waiting = traffic.old + traffic.behind;
    // Publishers are not in step: the last one may be ahead of some that are still to take theirs.
    let spread = waiting..=waiting + PUBLISHERS;
    assert!(spread.contains(&(recovered.report.entries as u64)), "{:?}", recovered.report);
}

#[derive(Default)]
struct Seen {
    /// Messages that are on disk and not taken.
    live: AtomicU64,
    ended: AtomicBool,
}

/// Publishes one message after the other, and takes the one that is `behind` older.
struct Publisher {
    store: Arc<Store>,
    seen: Arc<Seen>,
    number: u64,
    last: u64,
    old: u64,
    behind: u64,
}

impl Completion for Publisher {
    fn committed(self: Box<Self>) {
        self.seen.live.fetch_add(1, Ordering::Relaxed);
        let taken = self.number.saturating_sub(self.behind);
        if taken > self.old {
            self.seen.live.fetch_sub(1, Ordering::Relaxed);
            self.store.commit(changeset([Change::Remove(place(1, taken))]), Urgency::Soon, None);
        }
        if self.number + PUBLISHERS <= self.last {
            publish(Self { number: self.number + PUBLISHERS, ..*self });
        } else if self.number == self.last {
            self.seen.ended.store(true, Ordering::Relaxed);
        }
    }
}

fn publish(publisher: Publisher) {
    let message = message(publisher.number, "plant/7", vec![7; PAYLOAD_BYTES]);
    let changes = changeset([enqueue(&message, &[place(1, publisher.number)])]);
    let store = Arc::clone(&publisher.store);
    store.commit(changes, Urgency::Now, Some(Box::new(publisher)));
}

/// What all files there take, as `du` counts.
pub(crate) fn used_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let each = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => used_bytes(&entry.path()),
        Ok(found) => found.blocks() * 512,
        // Given up meanwhile.
        Err(_) => 0,
    });
    each.sum()
}

const PUBLISHERS: u64 = 2048;
const PAYLOAD_BYTES: usize = 100;
/// What a message takes in the journal at least.
const RECORD_BYTES: u64 = 100 + 36;
