//! What a broker's STOMP door allows.

use std::time::Duration;

use crate::decode::Limits;
use crate::destination::Destinations;
use crate::version::Version;

/// Settings of all sessions.
#[derive(Debug, Clone)]
pub struct Options {
    /// The versions that are spoken.
    pub versions: Vec<Version>,
    /// How large frames may be.
    pub limits: Limits,
    /// How large a body may be before the client is in, in bytes.
    pub login_body_bytes_max: usize,
    /// How long a client may take until it is in, counted from the connection.
    pub connect_timeout: Duration,
    /// Whether SUBSCRIBE and UNSUBSCRIBE need an `id` from 1.1 on, as the specification says; clients rely on doing without.
    pub strict: bool,
    /// Whether signed tokens are taken; else the headers that may have one mean nothing.
    pub tokens: bool,
    /// How long a client may stay whose token has expired.
    pub token_grace: Duration,
    /// What a client calls the queue of its session where it hears what is refused, behind the prefix of sessions.
    pub error_queue: String,
    /// What destinations mean.
    pub destinations: Destinations,
    /// Values of `host` that stand for the default virtual host, besides `/`, `localhost` and addresses.
    pub host_names: Vec<String>,
    /// No heart-beat is promised or expected more often than this.
    pub heart_beat_min: Duration,
    /// How many intervals of silence are believed to be a slow network. At least 1.
    pub heart_beat_tolerance: f64,
    /// How many subscriptions a connection may have.
    pub subscriptions_max: usize,
    /// How many temporary queues a connection may have.
    pub temporary_queues_max: usize,
    /// How many transactions a connection may have open.
    pub transactions_max: usize,
    /// How many frames one transaction may have.
    pub transaction_frames_max: usize,
    /// How many bytes one transaction may hold.
    pub transaction_bytes_max: usize,
    /// How long a transaction may stay open.
    pub transaction_timeout: Duration,
    /// How many deliveries are taken at once.
    pub window: usize,
    /// What CONNECTED says of the server.
    pub server: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            versions: Version::ALL.to_vec(),
            limits: Limits::default(),
            login_body_bytes_max: 64 * 1024,
            connect_timeout: Duration::from_secs(10),
            strict: false,
            tokens: false,
            token_grace: Duration::from_secs(5),
            error_queue: "queue/request-error".into(),
            destinations: Destinations::default(),
            host_names: Vec::new(),
            heart_beat_min: Duration::from_secs(1),
            heart_beat_tolerance: 2.0,
            subscriptions_max: 10_000,
            temporary_queues_max: 1_000,
            transactions_max: 16,
            transaction_frames_max: 1_000,
            transaction_bytes_max: 8 * 1024 * 1024,
            transaction_timeout: Duration::from_secs(60),
            window: 1_024,
            server: concat!("DuetMQ/", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}
