//! What a million topic bindings cost, and what publishers feel of it: `cargo run --release -p routing --example topics`.
//!
//! A thousand devices at each site, and queues with ten bindings each. Each device has one binding: seven of ten are exact,
//! two have a `+`, one has a `#`; and each site has one for all that is there.
//! With numbers behind the command, so many bindings are measured instead of 10,000, 100,000 and 1,000,000.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a measurement reads the clock")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::change::BindingKey;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ExchangeName, QueueId, QueueName};
use model::queue::{Binding, QueueOptions};
use routing::{Owner, Queue, RouteCache, Router};

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq("--one").is_some() {
        return measure(arguments.next().unwrap().parse().unwrap());
    }
    let mut counts: Vec<String> = arguments.collect();
    if counts.is_empty() {
        counts = ["10000", "100000", "1000000"].map(String::from).to_vec();
    }
    // Each in a process of its own: memory that one gave back is no memory for the next.
    for count in counts {
        let program = std::env::current_exe().unwrap();
        assert!(std::process::Command::new(program).args(["--one", &count]).status().unwrap().success());
    }
}

fn measure(count: usize) {
    let world = World::new(count);
    println!("{count} bindings of {} queues", count / BINDINGS_EACH);
    world.fill();
    world.measure_matches();
    world.measure_publishers("nobody binds", |_, _| std::thread::sleep(Duration::from_millis(1)));
    world.measure_publishers("bind, unbind: a/b/c", |world, number| world.come_and_go(number, "own/level/c"));
    world.measure_publishers("bind, unbind: a/+/c", |world, number| world.come_and_go(number, "own/+/c"));
    world.measure_publishers("bind, unbind: +/b/c", |world, number| world.come_and_go(number, "+/level/c"));
    world.measure_publishers("a queue of 10,000 goes", World::lose_queue);
    world.measure_fan_out();
}

struct World {
    router: Router,
    count: usize,
    sites: usize,
}

impl World {
    fn new(count: usize) -> Self {
        Self { router: Router::default(), count, sites: (count / 1_000).max(1) }
    }

    /// Where that device is. Numbers are spread, so that neighbours in time are not neighbours in the tree.
    fn place(&self, number: usize) -> (String, usize) {
        let device = number.wrapping_mul(2_654_435_761) % self.count;
        let site = device / 10 % self.sites;
        (format!("region{:02}/site{site:04}", site % 20), device)
    }

    /// The pattern of that number: that of one device mostly, or of a site.
    fn pattern(&self, number: usize) -> String {
        let (site, device) = self.place(number);
        match number % 10 {
            0..7 => format!("{site}/device{device:07}/state"),
            7 => format!("+/{}/device{device:07}/state", &site[9..]),
            8 => format!("{site}/device{device:07}/+"),
            _ if number % 1_000 == 999 => format!("{site}/#"),
            _ => format!("{site}/device{device:07}/#"),
        }
    }

    fn fill(&self) {
        for number in 0..self.count / BINDINGS_EACH {
            self.router.insert_queue(queue(number));
        }
        let bindings = || (0..self.count).map(|number| self.binding(number));
        let resident = resident_bytes();
        let mut times = Vec::with_capacity(self.count);
        times.resize(self.count, Duration::ZERO);
        times.clear();
        let held = resident_bytes() - resident;
        let mut longest = Duration::ZERO;
        for binding in bindings() {
            let (start, on_cpu) = (Instant::now(), on_cpu());
            self.router.bind(binding).unwrap();
            times.push(start.elapsed());
            longest = longest.max(self::on_cpu().saturating_sub(on_cpu));
        }
        let bytes = (resident_bytes() - resident - held) / self.count as u64;
        let bound = self.router.binding_counts().all;
        println!("  memory of a binding: {bytes} bytes ({bound} bindings are different)");
        show("bind, while it fills", &mut times);
        println!(
            "  the longest of them took {longest:.2?} of the processor's time, in steps of the kernel's clock"
        );
    }

    fn binding(&self, number: usize) -> Binding {
        binding(number / BINDINGS_EACH, pattern(&self.pattern(number)))
    }

    /// Keys of devices that are there, each another one.
    fn keys(&self, count: usize) -> Vec<RoutingKey> {
        let key = |number: usize| {
            let (site, device) = self.place(number);
            RoutingKey::from(format!("{site}/device{device:07}/state").as_str())
        };
        (0..count).map(key).collect()
    }

    fn measure_matches(&self) {
        // More than a cache has places, so that none is ever found.
        let keys = self.keys(self.count.max(100_000));
        let exchange = ExchangeName::TOPIC;
        let mut cache = RouteCache::new();
        let (mut found, mut least) = (0, [Duration::MAX; 2]);
        for _ in 0..3 {
            found = 0;
            let start = Instant::now();
            for key in &keys {
                found += self
                    .router
                    .resolve(&exchange, key, None, routing::Sender::default(), &mut cache)
                    .unwrap()
                    .fixed()
                    .len();
            }
            least[0] = least[0].min(start.elapsed() / keys.len() as u32);
            let few = &keys[..1_000];
            let start = Instant::now();
            for key in few.iter().cycle().take(keys.len()) {
                black_box(
                    self.router
                        .resolve(&exchange, key, None, routing::Sender::default(), &mut cache)
                        .unwrap()
                        .fixed()
                        .len(),
                );
            }
            least[1] = least[1].min(start.elapsed() / keys.len() as u32);
        }
        let each = found as f64 / keys.len() as f64;
        println!("  a match that finds {each:.1}: {:.2?}; through the cache: {:.0?}", least[0], least[1]);
    }

    /// A publisher of a hundred keys that are known mostly and a hundred that are not, while `act` is done all the time.
    fn measure_publishers(&self, what: &str, act: impl Fn(&Self, usize) + Sync) {
        let is_over = AtomicBool::new(false);
        let (mut actions, mut times) = (Vec::new(), Vec::new());
        std::thread::scope(|scope| {
            let actor = scope.spawn(|| {
                let mut times = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    act(self, times.len());
                    times.push(start.elapsed());
                }
                times
            });
            times = self.publish(Duration::from_secs(3));
            is_over.store(true, Ordering::Relaxed);
            actions = actor.join().unwrap();
        });
        println!("  {what}:");
        show("  the act", &mut actions);
        show("  a publisher's match", &mut times);
    }

    fn publish(&self, how_long: Duration) -> Vec<Duration> {
        let keys = self.keys(100_000);
        let mut cache = RouteCache::new();
        let mut times = Vec::with_capacity(20_000_000);
        let end = Instant::now() + how_long;
        let (few, many) = keys.split_at(100);
        let mut keys = few.iter().cycle().zip(many.iter().cycle()).flat_map(|(known, new)| [known, new]);
        loop {
            let key = keys.next().unwrap();
            let start = Instant::now();
            let routes = self
                .router
                .resolve(&ExchangeName::TOPIC, key, None, routing::Sender::default(), &mut cache)
                .unwrap();
            black_box(routes.fixed().len());
            times.push(start.elapsed());
            if start > end || times.len() == times.capacity() {
                return times;
            }
        }
    }

    fn come_and_go(&self, number: usize, text: &str) {
        let name = number % (self.count / BINDINGS_EACH);
        let pattern = pattern(text);
        self.router.bind(binding(name, pattern.clone())).unwrap();
        assert!(self.router.unbind(&key(name, pattern)));
    }

    fn lose_queue(&self, number: usize) {
        let name = self.count + number;
        self.router.insert_queue(queue(name));
        for level in 0..10_000 {
            self.router.bind(binding(name, pattern(&format!("lost/{level}/{number}/#")))).unwrap();
        }
        self.router.remove_queue(&queue_name(name)).unwrap();
    }

    /// Ten thousand get each message of one key, which is bound and unbound meanwhile, so that no cache knows it.
    fn measure_fan_out(&self) {
        for number in 0..SUBSCRIBERS {
            self.router.insert_queue(queue(2 * self.count + number));
            self.router.bind(binding(2 * self.count + number, pattern("all/+"))).unwrap();
        }
        let act = |world: &Self, number: usize| {
            let mut cache = RouteCache::new();
            let key = RoutingKey::from(format!("all/{number}").as_str());
            let routes = world
                .router
                .resolve(&ExchangeName::TOPIC, &key, None, routing::Sender::default(), &mut cache)
                .unwrap();
            assert_eq!(routes.fixed().len(), SUBSCRIBERS);
            world.come_and_go(number, "all/of/them");
        };
        self.measure_publishers("another match finds 10,000, and bind, unbind", act);
    }
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let mean = times.iter().sum::<Duration>() / times.len() as u32;
    let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), at(1.0));
    let many = times.len();
    println!(
        "  {what:<26} mean {mean:.2?}, p50 {p50:.2?}, p99 {p99:.2?}, p99.9 {p999:.2?}, max {max:.2?} of {many}"
    );
}

fn binding(queue: usize, pattern: KeyPattern) -> Binding {
    Binding {
        exchange: ExchangeName::TOPIC,
        pattern,
        arguments: Default::default(),
        queue: queue_name(queue),
        share: None,
        grant: Default::default(),
    }
}

fn key(queue: usize, pattern: KeyPattern) -> BindingKey {
    BindingKey {
        exchange: ExchangeName::TOPIC,
        pattern,
        arguments: Default::default(),
        queue: queue_name(queue),
        queue_id: QueueId(queue as u64),
        share: None,
    }
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
        name: queue_name(number),
        durable: false,
        exclusive: true,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    };
    Queue::new(QueueId(number as u64), options, Owner::Link(number as u64))
}

fn queue_name(number: usize) -> QueueName {
    QueueName::new(&format!("mqtt.client{number:07}"))
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// How long this thread has run: on a busy machine, all that says which of its waits were its own.
fn on_cpu() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

const BINDINGS_EACH: usize = 10;

const SUBSCRIBERS: usize = 10_000;
