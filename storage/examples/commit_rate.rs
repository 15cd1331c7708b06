//! How many changesets a second one disk takes, by how many wait at once.
//!
//! `cargo run --release -p storage --example commit_rate -- [directory] [seconds]`

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
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

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| "target/commit_rate".to_owned());
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(3);
    let directory = Path::new(&directory);
    let time = Duration::from_secs(seconds);
    raw(directory, time);
    for producers in [1, 16, 256] {
        measure(&directory.join(producers.to_string()), producers, time)?;
    }
    Ok(())
}

/// What the disk does alone: one write of a group's size and one fdatasync, again and again.
fn raw(directory: &Path, time: Duration) {
    let path = directory.join("raw");
    let write = || -> std::io::Result<u64> {
        std::fs::create_dir_all(directory)?;
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
        file.write_all_at(&vec![0; FILE_BYTES as usize], 0)?;
        file.sync_all()?;
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < time {
            file.write_all_at(&[7; 4096], (count * 4096) % FILE_BYTES)?;
            file.sync_data()?;
            count += 1;
        }
        Ok(count)
    };
    match write() {
        Ok(count) => println!("raw: {:.0} fdatasync/s of 4 KiB", count as f64 / time.as_secs_f64()),
        Err(error) => println!("raw: {error}"),
    }
    let _ = std::fs::remove_file(&path);
}

fn measure(directory: &Path, producers: u64, time: Duration) -> Result<(), StoreError> {
    let (store, _) = Store::open(Options::new(directory), Box::new(|error| eprintln!("{error}")))?;
    let store = Arc::new(store);
    let shared = Arc::new(Shared { stop: AtomicBool::new(false), done: AtomicU64::new(0) });
    store.commit(Changeset { changes: smallvec![declare()] }, Urgency::Now, None);
    let cpu = cpu();
    let start = Instant::now();
    for producer in 0..producers {
        produce(Producer {
            store: Arc::clone(&store),
            shared: Arc::clone(&shared),
            sequence: producer + 1,
            step: producers,
            payload: Bytes::from(vec![7; 256]),
        });
    }
    std::thread::sleep(time);
    shared.stop.store(true, Ordering::Relaxed);
    let (done, seconds) = (shared.done.load(Ordering::Relaxed), start.elapsed().as_secs_f64());
    let spent = self::cpu() - cpu;
    store.close();
    let statistics = store.statistics();
    let syncs = statistics.sync_us.snapshot();
    println!(
        "{producers:4} producers: {:8.0} commits/s, {:6.1} records per fdatasync, {:5.0} fdatasync/s (us: p50 {}, \
         p99 {}, max {}), {:4.1} us CPU a commit, {:3.0} bytes a record",
        done as f64 / seconds,
        statistics.records.value() as f64 / syncs.count as f64,
        syncs.count as f64 / seconds,
        syncs.quantile(0.5),
        syncs.quantile(0.99),
        syncs.max,
        spent * 1e6 / done as f64,
        statistics.bytes.value() as f64 / statistics.records.value() as f64,
    );
    drop(store);
    let _ = std::fs::remove_dir_all(directory);
    Ok(())
}

struct Shared {
    stop: AtomicBool,
    done: AtomicU64,
}

/// Enqueues a message, and removes the one that it enqueued before, whenever the last commit is on disk.
struct Producer {
    store: Arc<Store>,
    shared: Arc<Shared>,
    sequence: u64,
    step: u64,
    payload: Bytes,
}

impl Completion for Producer {
    fn committed(self: Box<Self>) {
        self.shared.done.fetch_add(1, Ordering::Relaxed);
        if !self.shared.stop.load(Ordering::Relaxed) {
            produce(*self);
        }
    }
}

fn produce(mut producer: Producer) {
    let place = Place { queue: QueueId(1), sequence: producer.sequence };
    let message = Arc::new(Message {
        id: MessageId { number: producer.sequence, ..MessageId::default() },
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from("plant/7/line/3/temperature"),
        payload: producer.payload.clone(),
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: true,
        publisher: None,
        published_at: WallMs(1_700_000_000_000),
        expires_at: None,
        properties: None,
        wire: WireCache::default(),
    });
    let entry =
        Entry { place, qos: Qos::AtLeastOnce, retain: false, subscription_ids: smallvec![], author: None };
    let changes = smallvec![Change::Enqueue { message, entries: smallvec![entry] }];
    let store = Arc::clone(&producer.store);
    producer.sequence += producer.step;
    store.commit(Changeset { changes }, Urgency::Now, Some(Box::new(producer)));
    store.commit(Changeset { changes: smallvec![Change::Remove(place)] }, Urgency::Soon, None);
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

/// Seconds of CPU that this process has used.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = text.split(' ').skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    // Linux counts these in hundredths of a second.
    fields.iter().sum::<f64>() / 100.0
}

const FILE_BYTES: u64 = 64 << 20;
