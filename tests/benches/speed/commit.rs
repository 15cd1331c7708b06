//! A commit: messages handed to the journal until all of them are on the disk, so many at a time.
//!
//! Below the folder for temporary files, or where `BENCH_DIR` says: what the disk there takes is most of it.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use model::change::{Change, Changeset, Entry, Place, QueueRecord};
use model::key::RoutingKey;
use model::message::Message;
use model::name::{ExchangeName, MessageId, QueueId, QueueName};
use model::qos::Qos;
use model::queue::QueueOptions;
use model::time::WallMs;
use model::wire_cache::WireCache;
use smallvec::smallvec;
use storage::{Completion, Options, Store, Urgency};

pub(crate) fn commits(criterion: &mut Criterion) {
    let folder = match std::env::var_os("BENCH_DIR") {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.unwrap();
    let (store, _) = Store::open(Options::new(folder.path()), Box::new(|error| panic!("{error}"))).unwrap();
    store.commit(Changeset { changes: smallvec![declare()] }, Urgency::Now, None);
    let mut sequence = 0;
    let mut group = criterion.benchmark_group("commit");
    for together in [1, 64, 512] {
        let (done, waits) = sync_channel(together);
        group.throughput(Throughput::Elements(together as u64));
        group.bench_function(format!("{together} at a time"), |bencher| {
            bencher.iter(|| {
                let first = sequence + 1;
                for _ in 0..together {
                    sequence += 1;
                    let changes = smallvec![enqueue(sequence)];
                    store.commit(Changeset { changes }, Urgency::Now, Some(Box::new(Done(done.clone()))));
                }
                (0..together).for_each(|_| waits.recv().unwrap());
                // What is done with goes away, as it does when a consumer settles it.
                for sequence in first..=sequence {
                    let changes = smallvec![Change::Remove(place(sequence))];
                    store.commit(Changeset { changes }, Urgency::Soon, None);
                }
            });
        });
    }
    group.finish();
    store.close();
}

struct Done(SyncSender<()>);

impl Completion for Done {
    fn committed(self: Box<Self>) {
        // There is a place for each.
        let _ = self.0.send(());
    }
}

fn place(sequence: u64) -> Place {
    Place { queue: QueueId(1), sequence }
}

fn enqueue(sequence: u64) -> Change {
    let message = Arc::new(Message {
        id: MessageId { number: sequence, ..MessageId::default() },
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from("plant/7/line/3/temperature"),
        payload: Bytes::from_static(&[b'x'; 64]),
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: true,
        publisher: None,
        published_at: WallMs(1_700_000_000_000),
        expires_at: None,
        properties: None,
        wire: WireCache::default(),
    });
    let entry = Entry {
        place: place(sequence),
        qos: Qos::AtLeastOnce,
        retain: false,
        subscription_ids: smallvec![],
        author: None,
    };
    Change::Enqueue { message, entries: smallvec![entry] }
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
