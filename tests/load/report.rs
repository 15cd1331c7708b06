//! What was seen: how many messages, and how late they were.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// All clients of one kind.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// What times are counted from.
    begun: Instant,
    /// How many have subscribed.
    pub(crate) inside: AtomicUsize,
    received: AtomicU64,
    late_us: Mutex<Vec<u32>>,
}

impl Crowd {
    /// Nobody yet.
    pub(crate) fn new(begun: Instant) -> Arc<Self> {
        let (inside, received, late_us) = Default::default();
        Arc::new(Self { begun, inside, received, late_us })
    }

    /// How many messages came.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Notes the messages in what came: each says when it was sent, in microseconds, between two brackets.
    pub(crate) fn note(&self, frames: &str) {
        let now = self.begun.elapsed().as_micros();
        for part in frames.split("<<").skip(1) {
            let Some(sent) = part.split_once(">>").and_then(|(sent, _)| sent.parse::<u128>().ok()) else {
                continue;
            };
            self.received.fetch_add(1, Ordering::Relaxed);
            let late = u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX);
            self.late_us.lock().unwrap_or_else(PoisonError::into_inner).push(late);
        }
    }

    /// A line about how late they were.
    pub(crate) fn late(&self, kind: &str, expected: u64) -> String {
        let mut late = self.late_us.lock().unwrap_or_else(PoisonError::into_inner);
        late.sort_unstable();
        let at = |share: f64| {
            let index = (late.len() as f64 * share) as usize;
            late.get(index.min(late.len().saturating_sub(1))).map_or(0.0, |us| f64::from(*us) / 1000.0)
        };
        let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
        let received = self.received();
        format!("{kind}: {received} of {expected} came; p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms")
    }
}
