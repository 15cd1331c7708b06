//! A meter: how far all clients of a run have come, and the line that tells it while it goes on.

use std::convert::Infallible;
use std::io::{Write, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, interval};

/// What all clients of a run did so far.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Messages sent, or connections begun.
    pub(crate) sent: AtomicU64,
    /// Messages acknowledged, or clients let in.
    pub(crate) acknowledged: AtomicU64,
    /// Messages that came.
    pub(crate) received: AtomicU64,
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Meter {
    fn now(&self) -> [u64; 3] {
        [&self.sent, &self.acknowledged, &self.received].map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Says on stderr, once a second, what was added since; to be dropped when the run is over.
    pub(crate) async fn tell(&self, names: [&str; 3]) -> Infallible {
        let start = Instant::now();
        let mut ticks = interval(Duration::from_secs(1));
        ticks.tick().await;
        let mut before = self.now();
        loop {
            ticks.tick().await;
            let now = self.now();
            let mut line = format!("{:>5.0} s", start.elapsed().as_secs_f32());
            for ((name, now), before) in names.iter().zip(now).zip(before) {
                if !name.is_empty() {
                    line.push_str(&format!("  {:>10} {name}/s", now - before));
                }
            }
            line.push('\n');
            // Whoever closed stderr does not want to know.
            let _ = stderr().write_all(line.as_bytes());
            before = now;
        }
    }

    /// Waits until so many have come, or until then.
    pub(crate) async fn until(&self, expected: u64, end: Instant) {
        while self.now()[2] < expected && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until so many have come, or until nothing came for `patience`.
    pub(crate) async fn arrival(&self, expected: u64, patience: Duration) {
        let (mut last, mut moved) = (self.now()[2], Instant::now());
        while last < expected && moved.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = self.now()[2];
            if now > last {
                (last, moved) = (now, Instant::now());
            }
        }
    }
}
