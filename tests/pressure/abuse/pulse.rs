//! A healthy client: it sends a message to itself a hundred times a second, and knows how late each was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::Broker;
use harness::door::Door;
use harness::mqtt::Client;
use harness::mqtt::version::Version;

/// On a thread of its own.
pub(crate) struct Pulse {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Rhythm>>,
}

/// How it went.
pub(crate) struct Rhythm {
    /// Of a hundred messages, the second latest was so late, there and back.
    pub(crate) p99: Duration,
    /// How many there were.
    pub(crate) count: usize,
}

impl Pulse {
    /// Comes in and begins.
    pub(crate) fn new(broker: &Broker) -> Result<Self> {
        let mut client = Client::clean(broker.at(Door::Mqtt), Version::V5, "healthy")?;
        client.subscribe("healthy/pulse", 1)?;
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut late = Vec::new();
            let mut next = Instant::now();
            while late.len() < COUNT_MIN || !until.load(Ordering::SeqCst) {
                let begin = Instant::now();
                let body = late.len().to_string();
                client.publish("healthy/pulse", body.as_bytes(), 0)?;
                ensure!(client.take()?.text() == body, "it heard something else");
                late.push(begin.elapsed());
                next += EVERY;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            late.sort_unstable();
            let p99 = late.get(late.len() * 99 / 100).or(late.last()).copied().unwrap_or_default();
            Ok(Rhythm { p99, count: late.len() })
        });
        Ok(Self { over, thread })
    }

    /// Its session must have gone on all the while.
    pub(crate) fn end(self) -> Result<Rhythm> {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().ok().context("the healthy client panicked")?.context("the healthy client")
    }
}

const EVERY: Duration = Duration::from_millis(10);

const COUNT_MIN: usize = 100;
