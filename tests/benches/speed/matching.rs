//! Matches: which queues a key leads to, with so many patterns bound, by the tree and by a publisher's cache.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ExchangeName, QueueId, QueueName};
use model::queue::{Binding, QueueOptions};
use routing::{Owner, Queue, RouteCache, Router, Sender};

pub(crate) fn topics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("match");
    group.throughput(Throughput::Elements(1));
    for count in [30_000, 300_000] {
        let router = router(count);
        // More than a cache has places, so that none is ever found; and few, which always are.
        let many = keys(count, count.min(100_000));
        let mut cache = RouteCache::new();
        let mut next = many.iter().cycle();
        group.bench_function(format!("{count} patterns, a key that no cache knows"), |bencher| {
            bencher.iter(|| resolve(&router, next.next().unwrap(), &mut cache));
        });
        let mut cache = RouteCache::new();
        let mut next = many.iter().take(100).cycle();
        group.bench_function(format!("{count} patterns, a key that the cache knows"), |bencher| {
            bencher.iter(|| resolve(&router, next.next().unwrap(), &mut cache));
        });
    }
    group.finish();
}

fn resolve(router: &Router, key: &RoutingKey, cache: &mut RouteCache) {
    let routes = router.resolve(&ExchangeName::TOPIC, key, None, Sender::default(), cache).unwrap();
    black_box(routes.fixed().len());
}

/// Ten patterns for each queue: seven of them exact, two with `+`, one with `#`.
fn router(count: usize) -> Router {
    let router = Router::default();
    for number in 0..count {
        if number % 10 == 0 {
            router.insert_queue(queue(number / 10));
        }
        let text = match number % 10 {
            7 => format!("site{:04}/+/device{number}", number % 1000),
            8 => format!("site{:04}/line/+", number % 1000),
            9 => format!("site{:04}/line/device{number}/#", number % 1000),
            _ => format!("site{:04}/line/device{number}", number % 1000),
        };
        let binding = Binding {
            exchange: ExchangeName::TOPIC,
            pattern: pattern(&text),
            arguments: Default::default(),
            queue: name(number / 10),
            share: None,
            grant: Default::default(),
        };
        router.bind(binding).unwrap();
    }
    router
}

/// Of devices that are there, spread, so that neighbours in time are not neighbours in the tree.
fn keys(devices: usize, count: usize) -> Vec<RoutingKey> {
    let key = |number: usize| {
        let device = number.wrapping_mul(2_654_435_761) % devices;
        RoutingKey::from(format!("site{:04}/line/device{device}", device % 1000).as_str())
    };
    (0..count).map(key).collect()
}

fn pattern(text: &str) -> KeyPattern {
    let level = |text: &str| match text {
        "+" => Level::One,
        "#" => Level::Many,
        text => Level::Literal(text.into()),
    };
    KeyPattern::new(text.split('/').map(level).collect())
}

fn queue(number: usize) -> Arc<Queue> {
    let options = QueueOptions {
        name: name(number),
        durable: false,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    };
    Queue::new(QueueId(number as u64), options, Owner::Nobody)
}

fn name(number: usize) -> QueueName {
    QueueName::new(&format!("mqtt.client{number:06}"))
}
