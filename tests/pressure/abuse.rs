//! The abuse run: each thing that clients of bad will do, for itself, at a broker that a healthy client uses all the while.
//!
//! `cargo test --release -p tests --test pressure abuse -- --nocapture --test-threads 1` prints, of each, how late the healthy
//! client's messages were, the most memory that the broker took, and the line of the log that names the offender. How late is
//! too late depends on the machine, so a second broker beside the first, which nobody abuses, has a healthy client as well: what
//! that one waits is the machine's. With `P99_MS=50` the promise itself is asked for, on a machine that does nothing else.

mod connections;
mod greed;
mod logins;
mod pulse;
mod streams;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::process::memory_kib;
use harness::wait::SOON;

use crate::abuse::pulse::Pulse;

/// A broker under abuse, with a healthy client, and with somebody who looks how much memory it takes.
struct Scene {
    broker: Broker,
    name: &'static str,
    pulse: Pulse,
    /// A broker that nobody abuses, and its healthy client.
    beside: (Broker, Pulse),
    scale: Scale,
    begun: Instant,
}

/// Looks at the memory of a process.
struct Scale {
    most_kib: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Scene {
    /// With this configuration.
    fn new(name: &'static str, config: &str) -> Result<Self> {
        Self::with(name, Setup::new().config(config))
    }

    fn with(name: &'static str, setup: Setup) -> Result<Self> {
        let (broker, other) = (setup.start()?, Broker::new()?);
        let (pulse, scale) = (Pulse::new(&broker)?, Scale::new(broker.pid().context("a process")?));
        let pulse_beside = Pulse::new(&other)?;
        Ok(Self { broker, name, pulse, beside: (other, pulse_beside), scale, begun: Instant::now() })
    }

    /// The abuse is over. The healthy client must not have noticed, the broker must not have taken more than that, and the
    /// log must have a line with these words.
    fn end(mut self, memory_mib_max: u64, named: &[&str]) -> Result<()> {
        ensure!(self.broker.is_running(), "{}: the broker died", self.name);
        let line = self.broker.journal().wait_for(named, SOON)?;
        let (rhythm, took) = (self.pulse.end()?, self.begun.elapsed());
        let beside = self.beside.1.end()?;
        let most = self.scale.end();
        println!(
            "{}: {took:.1?}, p99 {:.1?} (beside {:.1?}), {} messages, at most {most} MiB\n    {line}",
            self.name, rhythm.p99, beside.p99, rhythm.count
        );
        ensure!(most <= memory_mib_max, "{}: {most} MiB, of {memory_mib_max}", self.name);
        // Whoever is kept waiting by an offender, and not by the machine, waits for as long as that one likes: for seconds.
        let gate = match std::env::var("P99_MS") {
            Ok(text) => Duration::from_millis(text.parse().with_context(|| format!("P99_MS={text}"))?),
            Err(_) => Duration::from_secs(1) + beside.p99 * 10,
        };
        ensure!(rhythm.p99 < gate, "{}: p99 {:?}, of {gate:?}", self.name, rhythm.p99);
        ensure!(!self.broker.journal().text().contains("panicked"), "{}: something panicked", self.name);
        Ok(())
    }
}

impl Scale {
    fn new(pid: u32) -> Self {
        let (most_kib, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (most, until) = (Arc::clone(&most_kib), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::SeqCst) {
                most.fetch_max(memory_kib(pid, "VmRSS").unwrap_or_default(), Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
            }
            most.fetch_max(memory_kib(pid, "VmRSS").unwrap_or_default(), Ordering::SeqCst);
        });
        Self { most_kib, over, thread }
    }

    /// The most there was, in MiB.
    fn end(self) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        let _ = self.thread.join();
        self.most_kib.load(Ordering::SeqCst) >> 10
    }
}
