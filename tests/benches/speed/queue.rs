//! A queue: messages in, out, and settled, as many at a time as a turn has.

use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use model::delivery::{Outcome, Stage};
use model::key::RoutingKey;
use model::message::Message;
use model::name::{ConsumerId, ExchangeName, MessageId, QueueId, QueueName};
use model::qos::Qos;
use model::queue::QueueOptions;
use model::time::WallMs;
use model::wire_cache::WireCache;
use routing::{ConsumerOptions, Item, Owner, Queue, Readiness, Settles, Taken, Wakes};

const NOW: WallMs = WallMs(1_700_000_000_000);

pub(crate) fn through(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    for (qos, name) in [(Qos::AtMostOnce, "QoS 0"), (Qos::AtLeastOnce, "QoS 1, settled")] {
        for batch in [1, 64] {
            let options = QueueOptions {
                name: QueueName::new("bench"),
                durable: false,
                exclusive: false,
                auto_delete: false,
                ready_max: None,
                ready_bytes_max: None,
                arguments: None,
            };
            let queue = Queue::new(QueueId(1), options, Owner::Nobody);
            let readiness = Readiness::new();
            let consumer =
                ConsumerOptions { id: ConsumerId::SESSION, settles: Settles::ByQos, prefetch: None, link: 1 };
            let mut wakes = Wakes::default();
            let key = queue.attach(consumer, &readiness, &mut wakes).unwrap();
            let (message, mut taken, mut ready) = (Arc::new(message()), Taken::default(), Vec::new());
            group.throughput(Throughput::Elements(batch));
            group.bench_function(format!("{name}, {batch} at a time"), |bencher| {
                bencher.iter(|| {
                    for _ in 0..batch {
                        queue.push(item(&message, qos), &mut wakes).unwrap();
                    }
                    wakes.flush();
                    readiness.drain(&mut ready);
                    ready.clear();
                    queue.take(key, 128, NOW, &mut taken);
                    assert_eq!(taken.deliveries.len() as u64, batch);
                    for delivery in taken.deliveries.drain(..) {
                        if qos != Qos::AtMostOnce {
                            let _ = queue.settle(key, delivery.tag, Outcome::Accepted, &mut wakes);
                        }
                    }
                });
            });
        }
    }
    group.finish();
}

fn item(message: &Arc<Message>, qos: Qos) -> Item {
    Item {
        message: Arc::clone(message),
        qos,
        retain: false,
        subscription_ids: Default::default(),
        durable: false,
        attempts: 0,
        was_sent: false,
        stage: Stage::Published,
    }
}

fn message() -> Message {
    Message {
        id: MessageId::default(),
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from("plant/7/line/3/temperature"),
        payload: Bytes::from_static(&[b'x'; 64]),
        qos: Qos::AtLeastOnce,
        retain: false,
        persistent: false,
        publisher: None,
        published_at: NOW,
        expires_at: None,
        properties: None,
        wire: WireCache::default(),
    }
}
