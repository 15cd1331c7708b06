//! How large the data directory gets while messages pass through one queue, measured every 100 ms:
//!
//! `cargo run --release -p storage --example compaction -- [--messages 5000000] [--size 256] [--directory DIR]`
//!
//! Four times: with nothing left behind; with one old message that nobody takes; with a backlog of 500,000 that stays; and with a
//! backlog of 500,000 that moves on, so that the oldest message is always taken. The bound is twice the live data, which is what
//! the messages that wait take in the journal, and 256 MB. It ends with code 1 if that is passed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::change::{Change, Changeset, Entry, Place, QueueRecord};
use model::key::RoutingKey;
use model::message::Message;
use model::name::{ExchangeName, MessageId, QueueId, QueueName};
use model::qos::Qos;
use model::queue::QueueOptions;
use model::time::WallMs;
use model::wire_cache::WireCache;
use smallvec::smallvec;
use storage::{Completion, Options, Store, StoreError, Urgency};

fn main() -> Result<ExitCode, StoreError> {
    let argument = |name: &str| std::env::args().skip_while(|one| one != name).nth(1);
    let number = |name: &str, usual| argument(name).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (messages, size) = (number("--messages", 5_000_000), number("--size", 256));
    let directory: PathBuf = argument("--directory").unwrap_or_else(|| "target/compaction".to_owned()).into();
    let mut passed = false;
    for (name, old, behind) in [
        ("nothing stays", 0, 0),
        ("one old message stays", 1, 0),
        ("a backlog stays", BACKLOG, 0),
        ("a backlog moves on", 0, BACKLOG),
    ] {
        let _ = std::fs::remove_dir_all(&directory);
        let run = Run { messages, size: size as usize, old, behind };
        let seen = measure(&directory, &run)?;
        println!("{name}: {seen}");
        passed |= seen.over_bytes_max > BOUND_BYTES;
    }
    let _ = std::fs::remove_dir_all(&directory);
    Ok(if passed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Run {
    messages: u64,
    size: usize,
    /// So many of the first are never taken.
    old: u64,
    /// The consumer is so many messages behind.
    behind: u64,
}

/// What was seen of a run.
struct Seen {
    seconds: f64,
    messages: u64,
    samples: u64,
    directory_bytes_max: u64,
    live_bytes_max: u64,
    /// The most that the directory had beyond twice the live data.
    over_bytes_max: i64,
    /// What there was when all had passed, and a second more.
    left_bytes: u64,
    written_bytes: u64,
    moved_bytes: u64,
    longest_pass_us: u64,
    processor_seconds: f64,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        write!(
            f,
            "{} messages at {:.0}/s, {:.2} us CPU each; in {} samples the directory had {:.0} MB at most, of live data there were {:.0} \
             MB at most; beyond twice the live data {:.0} MB at most; {:.0} MB at the end; {:.0} MB written, of which {:.0} MB moved; \
             fdatasync {} ms at most",
            self.messages,
            self.messages as f64 / self.seconds,
            self.processor_seconds * 1e6 / self.messages as f64,
            self.samples,
            megabytes(self.directory_bytes_max),
            megabytes(self.live_bytes_max),
            self.over_bytes_max as f64 / 1e6,
            megabytes(self.left_bytes),
            megabytes(self.written_bytes),
            megabytes(self.moved_bytes),
            self.longest_pass_us / 1000,
        )
    }
}

fn measure(directory: &Path, run: &Run) -> Result<Seen, StoreError> {
    let (store, _) = Store::open(Options::new(directory), Box::new(|error| eprintln!("{error}")))?;
    let (store, shared) = (Arc::new(store), Arc::new(Shared::default()));
    store.commit(Changeset { changes: smallvec![declare()] }, Urgency::Now, None);
    let (start, cpu) = (Instant::now(), cpu());
    for publisher in 0..PUBLISHERS {
        let (old, behind) = (run.old, run.behind);
        publish(Publisher {
            store: Arc::clone(&store),
            shared: Arc::clone(&shared),
            sequence: publisher + 1,
            last: run.messages + run.old,
            old,
            behind,
            payload: Bytes::from(vec![7; run.size]),
        });
    }
    let mut seen = Seen {
        seconds: 0.0,
        messages: run.messages,
        samples: 0,
        directory_bytes_max: 0,
        live_bytes_max: 0,
        over_bytes_max: 0,
        left_bytes: 0,
        written_bytes: 0,
        moved_bytes: 0,
        longest_pass_us: 0,
        processor_seconds: 0.0,
    };
    let each = record_bytes(run.size);
    while !shared.ended.load(Ordering::Relaxed) {
        std::thread::sleep(SAMPLE);
        // Live first: meanwhile it grows rather than not.
        let live = shared.live.load(Ordering::Relaxed).saturating_mul(each);
        let used = used_bytes(directory);
        seen.samples += 1;
        seen.directory_bytes_max = seen.directory_bytes_max.max(used);
        seen.live_bytes_max = seen.live_bytes_max.max(live);
        seen.over_bytes_max = seen.over_bytes_max.max(used as i64 - 2 * live as i64);
    }
    seen.seconds = start.elapsed().as_secs_f64();
    seen.processor_seconds = self::cpu() - cpu;
    std::thread::sleep(Duration::from_secs(1));
    seen.left_bytes = used_bytes(directory);
    store.close();
    let statistics = store.statistics();
    (seen.written_bytes, seen.moved_bytes) = (statistics.bytes.value(), statistics.moved_bytes.value());
    seen.longest_pass_us = statistics.sync_us.snapshot().max;
    Ok(seen)
}

/// Publishes one message after the other, and takes the one that is `behind` messages older.
struct Publisher {
    store: Arc<Store>,
    shared: Arc<Shared>,
    sequence: u64,
    last: u64,
    old: u64,
    behind: u64,
    payload: Bytes,
}

#[derive(Debug, Default)]
struct Shared {
    /// Messages that are on disk and not taken.
    live: AtomicU64,
    ended: AtomicBool,
}

impl Completion for Publisher {
    fn committed(self: Box<Self>) {
        self.shared.live.fetch_add(1, Ordering::Relaxed);
        let taken = self.sequence.saturating_sub(self.behind);
        if taken > self.old {
            self.shared.live.fetch_sub(1, Ordering::Relaxed);
            let remove = smallvec![Change::Remove(place(taken))];
            self.store.commit(Changeset { changes: remove }, Urgency::Soon, None);
        }
        if self.sequence + PUBLISHERS <= self.last {
            publish(Self { sequence: self.sequence + PUBLISHERS, ..*self });
        } else if self.sequence == self.last {
            self.shared.ended.store(true, Ordering::Relaxed);
        }
    }
}

fn publish(publisher: Publisher) {
    let message = Arc::new(Message {
        id: MessageId { number: publisher.sequence, ..MessageId::default() },
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from("plant/7/line/3/temperature"),
        // As from a socket: each has its own.
        payload: Bytes::copy_from_slice(&publisher.payload),
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: true,
        publisher: None,
        published_at: WallMs(1_700_000_000_000),
        expires_at: None,
        properties: None,
        wire: WireCache::default(),
    });
    let place = place(publisher.sequence);
    let entry =
        Entry { place, qos: Qos::AtLeastOnce, retain: false, subscription_ids: smallvec![], author: None };
    let changes = smallvec![Change::Enqueue { message, entries: smallvec![entry] }];
    let store = Arc::clone(&publisher.store);
    store.commit(Changeset { changes }, Urgency::Now, Some(Box::new(publisher)));
}

const fn place(sequence: u64) -> Place {
    Place { queue: QueueId(1), sequence }
}

fn declare() -> Change {
    let options = QueueOptions {
        name: QueueName::new("bench"),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    };
    Change::DeclareQueue(Box::new(QueueRecord { id: QueueId(1), options, rested: None }))
}

/// What a message takes in the journal at least, with its length before it.
const fn record_bytes(size: usize) -> u64 {
    size as u64 + 58
}

/// What all files there take, as `du` counts.
fn used_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let each = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => used_bytes(&entry.path()),
        Ok(found) => found.blocks() * 512,
        // Given up meanwhile.
        Err(_) => 0,
    });
    each.sum()
}

/// Seconds of CPU that this process has used.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = text.split(' ').skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    // Linux counts these in hundredths of a second.
    fields.iter().sum::<f64>() / 100.0
}

const PUBLISHERS: u64 = 2048;
const BACKLOG: u64 = 500_000;
const BOUND_BYTES: i64 = 256_000_000;
const SAMPLE: Duration = Duration::from_millis(100);
