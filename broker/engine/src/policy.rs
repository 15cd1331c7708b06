//! Limits and habits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::grant::Overlapping;
use model::name::VhostName;
use model::queue::Overflow;
use routing::{Pool, Resident};

use crate::levels::Levels;
use crate::policies::ConfiguredPolicy;

/// What the engine is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most messages that may wait in a session's own queue, or in a subscription's.
    pub session_queue_messages_max: u64,
    /// The same, in bytes of key and payload.
    pub session_queue_bytes_max: u64,
    /// What happens with a message that is one too many there.
    pub session_queue_overflow: Overflow,
    /// How long a message may wait there; `None`: as long as its own expiry allows.
    pub session_queue_age_max: Option<Duration>,
    /// The most queues that are nobody's own; beyond it, no client makes another one.
    pub queues_max: usize,
    /// The most messages that may wait in a named queue. Beyond it, the publisher is refused.
    pub queue_messages_max: u64,
    /// The same, in bytes of key and payload.
    pub queue_bytes_max: u64,
    /// How much of what waits a queue holds in memory. Of durable messages beyond it, it keeps the numbers, and reads them
    /// back when they are wanted.
    pub resident: Resident,
    /// What all queues together hold in memory; where that is as much as it may be, each of them keeps the numbers of what is
    /// durable.
    pub pool: Arc<Pool>,
    /// How often a message may come back before a queue with dead letters gives it up, where the queue does not say; `None`:
    /// any number.
    pub redeliveries_max: Option<u32>,
    /// The most connections of one user at a time; `None`: any number.
    pub connections_per_user_max: Option<usize>,
    /// When the broker keeps somebody out by itself.
    pub bans: BanRules,
    /// The most sessions, with a connection or without; beyond it, nobody gets a new one.
    pub sessions_max: usize,
    /// The most subscriptions that one session may hold.
    pub subscriptions_max: usize,
    /// The most retained messages; beyond it, a publish that would retain another one is refused.
    pub retained_max: usize,
    /// The most bytes of retained messages, of keys and payloads; beyond it, the same.
    pub retained_bytes_max: u64,
    /// The most messages that wait for their time; beyond it, a publish of another one is refused.
    pub delayed_max: u64,
    /// The most bytes of them, of keys and payloads; beyond it, the same.
    pub delayed_bytes_max: u64,
    /// What messages outlive.
    pub levels: Levels,
    /// How long an id that a publisher gave a message is remembered, at most.
    pub publications_window: Duration,
    /// How many ids of one publisher are remembered; beyond it, the oldest is forgotten.
    pub publications_per_publisher_max: usize,
    /// How many are remembered in all; beyond it, a publish under a new one is refused.
    pub publications_max: usize,
    /// How many messages that no queue took are kept, the last ones; 0: none.
    pub unroutable_keep: usize,
    /// What holds for queues and exchanges by their names, as it stands in the configuration.
    pub policies: Vec<ConfiguredPolicy>,
    /// When publishers are held back.
    pub watermarks: Watermarks,
    /// What a session gets of a message that several of its subscriptions match.
    pub overlapping: Overlapping,
    /// How often what has changed is said below `$SYS/broker/`; zero: never.
    pub sys_interval: Duration,
    /// What this node is called, where it is told of clients.
    pub node: String,
    /// Whether what happens to clients is told under `$events`.
    pub events: bool,
    /// Names that stand for the default namespace, beside `/`.
    pub host_names: Vec<String>,
    /// Whether a client of MQTT may name its vhost before its user: `vhost:user`.
    pub vhost_in_user: bool,
    /// The vhosts of those whom a certificate calls that.
    pub vhosts_by_certificate: HashMap<String, VhostName>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            session_queue_messages_max: 10_000,
            session_queue_bytes_max: 64 << 20,
            session_queue_overflow: Overflow::DropNew,
            session_queue_age_max: None,
            queues_max: 100_000,
            queue_messages_max: 1_000_000,
            queue_bytes_max: 1 << 30,
            resident: Resident { messages_max: 16_384, bytes_max: 16 << 20 },
            pool: Arc::new(Pool::new(1 << 30)),
            redeliveries_max: Some(20),
            connections_per_user_max: None,
            bans: BanRules::default(),
            sessions_max: 1_000_000,
            subscriptions_max: 10_000,
            retained_max: 1_000_000,
            retained_bytes_max: 1 << 30,
            delayed_max: 1_000_000,
            delayed_bytes_max: 1 << 30,
            levels: Levels::default(),
            publications_window: Duration::from_secs(3600),
            publications_per_publisher_max: 100_000,
            publications_max: 1_000_000,
            unroutable_keep: 1000,
            policies: Vec::new(),
            watermarks: Watermarks::default(),
            overlapping: Overlapping::Merge,
            sys_interval: Duration::from_secs(10),
            node: "duetmq".to_owned(),
            events: true,
            host_names: Vec::new(),
            vhost_in_user: true,
            vhosts_by_certificate: HashMap::new(),
        }
    }
}

/// When the broker keeps somebody out by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanRules {
    /// An address from which logins fail; `None`: never.
    pub auth_failures: Option<Threshold>,
    /// A client id under which somebody comes in again and again; `None`: never.
    pub flapping: Option<Threshold>,
    /// Whether failed logins from loopback addresses are not counted.
    pub loopback_free: bool,
}

impl Default for BanRules {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        let failures = Threshold { count: 10, within: minute, banned_for: minute * 10 };
        Self { auth_failures: Some(failures), flapping: None, loopback_free: true }
    }
}

/// How often is too often, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// So often; at least 1.
    pub count: u32,
    /// Within that time.
    pub within: Duration,
    /// How long it keeps out.
    pub banned_for: Duration,
}

/// When publishers are held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermarks {
    /// Durable publishers are held while the disk has less left than this, in bytes; 0: never.
    pub disk_free_bytes: u64,
    /// The same as a share of the disk, in percent; the smaller of both counts. 0: never.
    pub disk_free_percent: u64,
    /// All publishers are held while the process takes more of the memory that it may take, in percent; 0: never.
    pub memory_hold_percent: u64,
    /// Nobody is let in beyond this, in percent; 0: never.
    pub memory_refuse_percent: u64,
    /// How long a publish is held before its client is told, where its protocol has a word for that.
    pub hold_max: Duration,
}

impl Default for Watermarks {
    fn default() -> Self {
        Self {
            disk_free_bytes: 256 << 20,
            disk_free_percent: 5,
            memory_hold_percent: 60,
            memory_refuse_percent: 75,
            hold_max: Duration::from_secs(5),
        }
    }
}
