//! The topics below `$SYS/broker/`: how the broker is, as messages, under the names that Mosquitto gave them.
//!
//! Each is kept for those who subscribe later, apart from what clients retain: it does not count against their limit and
//! never goes to the disk. What has not changed is not said again.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::durability::Durability;
use model::key::RoutingKey;
use model::name::{ExchangeName, PublisherName};
use model::principal::Permissions;
use model::qos::Qos;
use model::request::Publish;
use routing::{QueueStats, Wakes};
use telemetry::Metrics;

use crate::clock;
use crate::core::Core;
use crate::load::Load;
use crate::parts::Parts;
use crate::publish::{self, Publisher};

/// Says how the broker is, now and then at every interval, until it is gone.
pub(crate) async fn report(core: Weak<Core>, every: Duration) {
    let parts_of = || core.upgrade().map(|core| Arc::clone(&core.parts));
    let made = core.upgrade().map(|core| Board::new(&core.parts, core.name.is_default(), clock::instant()));
    let Some(mut board) = made else { return };
    loop {
        let Some(parts) = parts_of() else { return };
        let held = count_held(&parts).await;
        board.say(&parts, &held, clock::instant());
        drop(parts);
        tokio::time::sleep(every).await;
    }
}

/// What is in all queues. Looked at one by one: counting them with every message would cost each message something.
async fn count_held(parts: &Parts) -> QueueStats {
    let mut sum = QueueStats::default();
    for queues in parts.vhost.router.queues().chunks(QUEUES_AT_ONCE) {
        for stats in queues.iter().map(|queue| queue.stats()) {
            sum.ready += stats.ready;
            sum.unacked += stats.unacked;
            sum.ready_bytes += stats.ready_bytes;
        }
        tokio::task::yield_now().await;
    }
    sum
}

/// What was said last.
struct Board {
    /// Whether it is that of the default vhost, which tells of the whole broker as well.
    is_home: bool,
    level: Durability,
    publisher: Publisher,
    said: HashMap<String, String>,
    loads: Vec<(Source, Load)>,
    started: Instant,
    started_at: String,
    rounds: u64,
    last: Instant,
}

/// What a load is the load of, and where it is counted.
type Source = (&'static str, fn(&Metrics) -> u64);

const LOADS: [Source; 9] = [
    ("connections", |metrics| metrics.clients_admitted.value()),
    ("sockets", |metrics| metrics.connections_opened.value()),
    ("messages/received", |metrics| metrics.packets_received.value()),
    ("messages/sent", |metrics| metrics.packets_sent.value()),
    ("publish/received", |metrics| metrics.messages_received.value()),
    ("publish/sent", |metrics| metrics.messages_delivered.value()),
    ("publish/dropped", |metrics| metrics.messages_dropped.value()),
    ("bytes/received", |metrics| metrics.bytes_received.value()),
    ("bytes/sent", |metrics| metrics.bytes_sent.value()),
];

impl Board {
    fn new(parts: &Parts, is_home: bool, now: Instant) -> Self {
        let level = parts.vhost.options.levels.usual();
        let loads = LOADS.iter().filter(|(name, _)| is_home || !is_of_the_broker(name));
        Self {
            is_home,
            level: if parts.durable.is_persistent() { level } else { Durability::Memory },
            publisher: Publisher::new(None, None, None, PublisherName::NOBODY, Permissions::everything()),
            said: HashMap::new(),
            loads: loads.map(|source| (*source, Load::default())).collect(),
            started: now,
            started_at: (clock::wall_now().0 / 1000).to_string(),
            rounds: 0,
            last: now,
        }
    }

    /// Publishes what has changed.
    fn say(&mut self, parts: &Arc<Parts>, held: &QueueStats, now: Instant) {
        let mut all = self.standing(now);
        count(parts, held, &mut all);
        all.retain(|(name, _)| self.is_home || !is_of_the_broker(name));
        self.load(&parts.metrics, now, &mut all);
        let mut wakes = Wakes::default();
        for (name, value) in all {
            if self.said.get(&name) != Some(&value) {
                let publish = message(&name, &value);
                publish::announce(parts, &mut self.publisher, publish, clock::now(), &mut wakes);
                self.said.insert(name, value);
            }
        }
    }

    fn standing(&self, now: Instant) -> Vec<(String, String)> {
        let uptime_s = now.saturating_duration_since(self.started).as_secs();
        vec![
            ("version".to_owned(), format!("duetmq version {}", env!("CARGO_PKG_VERSION"))),
            ("timestamp".to_owned(), self.started_at.clone()),
            ("uptime".to_owned(), format!("{uptime_s} seconds")),
            ("durability".to_owned(), self.level.as_str().to_owned()),
        ]
    }

    fn load(&mut self, metrics: &Metrics, now: Instant, all: &mut Vec<(String, String)>) {
        let since = now.saturating_duration_since(self.last);
        for ((name, value), load) in &mut self.loads {
            // Whatever happened before the first round happened while nobody measured.
            load.note(value(metrics), since, self.rounds > 0);
            for (minutes, rate) in load.rates() {
                all.push((format!("load/{name}/{minutes}min"), format!("{rate:.2}")));
            }
        }
        self.rounds += 1;
        self.last = now;
    }
}

/// What is counted at the doors, or is this process's: nobody knows which vhost it is of, so it is said in the default one.
fn is_of_the_broker(name: &str) -> bool {
    ["sockets", "messages/received", "messages/sent", "bytes/", "alarm/", "heap/"]
        .iter()
        .any(|of_all| name.starts_with(of_all))
}

/// The numbers that are what they are at this moment.
fn count(parts: &Parts, held: &QueueStats, all: &mut Vec<(String, String)>) {
    let Parts { vhost, metrics, .. } = parts;
    let connected = metrics.clients.value();
    let with_session = connected.saturating_sub(metrics.clients_without_session.value());
    let disconnected = metrics.sessions.value().saturating_sub(with_session);
    let subscriptions = vhost.router.binding_counts();
    let (retained, retained_bytes) = vhost.retained_size();
    let (delayed, delayed_bytes) = vhost.delayed.size();
    let stored = (held.ready + held.unacked) as u64 + retained;
    let numbers = [
        ("clients/connected", connected),
        ("clients/active", connected),
        ("clients/disconnected", disconnected),
        ("clients/inactive", disconnected),
        ("clients/total", connected + disconnected),
        ("clients/maximum", metrics.clients_peak.value()),
        ("clients/expired", metrics.sessions_expired.value()),
        ("messages/received", metrics.packets_received.value()),
        ("messages/sent", metrics.packets_sent.value()),
        ("messages/inflight", held.unacked as u64),
        ("messages/stored", stored),
        ("store/messages/count", stored),
        ("store/messages/bytes", held.ready_bytes + retained_bytes),
        ("retained messages/count", retained),
        ("retained messages/bytes", retained_bytes),
        ("delayed messages/count", delayed),
        ("delayed messages/bytes", delayed_bytes),
        ("subscriptions/count", subscriptions.all as u64),
        ("shared_subscriptions/count", subscriptions.shared as u64),
        ("publish/messages/received", metrics.messages_received.value()),
        ("publish/messages/sent", metrics.messages_delivered.value()),
        ("publish/messages/dropped", metrics.messages_dropped.value()),
        ("publish/bytes/received", metrics.publish_bytes_received.value()),
        ("publish/bytes/sent", metrics.publish_bytes_sent.value()),
        ("alarm/disk", metrics.alarm_disk.value()),
        ("alarm/store", metrics.alarm_store.value()),
        ("alarm/memory", metrics.alarm_memory.value()),
        ("alarm/memory_refuse", metrics.alarm_memory_refuse.value()),
        ("bytes/received", metrics.bytes_received.value()),
        ("bytes/sent", metrics.bytes_sent.value()),
    ];
    all.extend(numbers.map(|(name, value)| (name.to_owned(), value.to_string())));
    let memory = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (name, field) in [("heap/current", "VmRSS:"), ("heap/maximum", "VmHWM:")] {
        all.extend(memory_bytes(&memory, field).map(|bytes| (name.to_owned(), bytes.to_string())));
    }
}

/// What the system says of this process, where it says anything.
fn memory_bytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn message(name: &str, value: &str) -> Publish {
    Publish {
        exchange: ExchangeName::TOPIC,
        key: RoutingKey::from(format!("{ROOT}{name}").as_str()),
        payload: Bytes::copy_from_slice(value.as_bytes()),
        qos: Qos::AtMostOnce,
        retain: true,
        persistent: false,
        expiry_ms: None,
        properties: None,
        delay_ms: 0,
        remember: None,
        publication: None,
        declare: None,
    }
}

const ROOT: &str = "$SYS/broker/";

/// After so many, others on the same worker have their turn.
const QUEUES_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_at_the_doors_is_of_the_broker() {
        for name in ["bytes/sent", "messages/received", "heap/current", "sockets"] {
            assert!(is_of_the_broker(name), "{name}");
        }
        for name in
            ["publish/messages/received", "messages/stored", "clients/connected", "publish/bytes/sent"]
        {
            assert!(!is_of_the_broker(name), "{name}");
        }
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tduetmq\nVmHWM:\t   12 kB\nVmRSS:\t    9 kB\n";
        assert_eq!(memory_bytes(status, "VmRSS:"), Some(9 * 1024));
        assert_eq!(memory_bytes(status, "VmHWM:"), Some(12 * 1024));
        assert_eq!(memory_bytes("VmRSS: lots\n", "VmRSS:"), None);
        assert_eq!(memory_bytes("", "VmRSS:"), None);
    }
}
