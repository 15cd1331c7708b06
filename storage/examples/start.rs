//! How long a start takes, by how much waits, with the digests of full journal files and without:
//!
//! `cargo run --release -p storage --example start -- [--messages 1000000] [--size 256] [--directory DIR]`
//!
//! Beside the time there is the processor time of the thread that opens: what is left of the time is for the disk, for the thread that
//! reads all checksums meanwhile, and for whoever else uses the machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

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
    let argument = |name: &str| std::env::args().skip_while(|one| one != name).nth(1);
    let number = |name: &str, usual| argument(name).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (messages, size) = (number("--messages", 1_000_000), number("--size", 256));
    let directory: PathBuf = argument("--directory").unwrap_or_else(|| "target/start".to_owned()).into();
    let _ = std::fs::remove_dir_all(&directory);
    let store = open(&directory, None)?;
    fill(&store, messages, size as usize);
    store.close();
    drop(store);
    drop(open(&directory, Some("closed in order, with digests"))?);
    // The state of a process that was killed: nobody said that sled has all.
    let state = directory.join("state");
    let _ = std::fs::remove_dir_all(&state);
    drop(open(&directory, Some("without sled, with digests"))?);
    for entry in std::fs::read_dir(directory.join("journal")).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "dig") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    drop(open(&directory, Some("closed in order, without digests"))?);
    let _ = std::fs::remove_dir_all(&directory);
    Ok(())
}

fn open(directory: &Path, what: Option<&str>) -> Result<Store, StoreError> {
    let (start, cpu) = (Instant::now(), cpu());
    let (store, recovered) = Store::open(Options::new(directory), Box::new(|error| eprintln!("{error}")))?;
    if let Some(what) = what {
        println!(
            "{what}: {} messages in {} files, open after {:.2} s, {:.2} s of CPU",
            recovered.report.entries,
            recovered.report.segments,
            start.elapsed().as_secs_f64(),
            self::cpu() - cpu
        );
    }
    Ok(store)
}

fn fill(store: &Store, messages: u64, size: usize) {
    let options = QueueOptions {
        name: QueueName::new("bench"),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    };
    let declared = Change::DeclareQueue(Box::new(QueueRecord { id: QueueId(1), options, rested: None }));
    store.commit(Changeset { changes: smallvec![declared] }, Urgency::Soon, None);
    for number in 1..=messages {
        let message = Arc::new(Message {
            id: MessageId { number, ..MessageId::default() },
            exchange: ExchangeName::TOPIC,
            key: RoutingKey::from("plant/7/line/3/temperature"),
            payload: Bytes::from(vec![7; size]),
            qos: Qos::AtLeastOnce,
            retain: false,
            persistent: true,
            publisher: None,
            published_at: WallMs(1_700_000_000_000 + number / 100),
            expires_at: None,
            properties: None,
            wire: WireCache::default(),
        });
        let place = Place { queue: QueueId(1), sequence: number };
        let entry = Entry {
            place,
            qos: Qos::AtLeastOnce,
            retain: false,
            subscription_ids: smallvec![],
            author: None,
        };
        let changes = smallvec![Change::Enqueue { message, entries: smallvec![entry] }];
        if number % TOGETHER != 0 && number != messages {
            store.commit(Changeset { changes }, Urgency::Soon, None);
            continue;
        }
        let (done, wait) = crossbeam_channel::bounded(1);
        store.commit(Changeset { changes }, Urgency::Now, Some(Box::new(Done(done))));
        // Should it be dropped, the store has failed, and said so.
        let _ = wait.recv();
    }
}

struct Done(crossbeam_channel::Sender<()>);

impl Completion for Done {
    fn committed(self: Box<Self>) {
        let _ = self.0.send(());
    }
}

/// Seconds of CPU that this thread has used.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    // In nanoseconds.
    text.split(' ').next().and_then(|spent| spent.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// So many are under way at once.
const TOGETHER: u64 = 4096;
