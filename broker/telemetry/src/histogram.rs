//! Histogram: how values are spread, such as latencies in microseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts values in buckets whose width grows with the value: eight to each doubling, so a quantile read from it is at
/// most one eighth too high. Takes any `u64`. Recording takes no lock and allocates nothing.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Histogram {
    /// Adds a value.
    pub fn record(&self, value: u64) {
        if let Some(bucket) = self.buckets.get(bucket_of(value)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
        self.max.fetch_max(value, Ordering::Relaxed);
    }

    /// Adds a time, in whole microseconds.
    pub fn record_us(&self, time: Duration) {
        self.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// What was recorded so far. Values being recorded meanwhile may be in it in part.
    pub fn snapshot(&self) -> Snapshot {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        Snapshot {
            count: counts.iter().sum(),
            sum: self.sum.load(Ordering::Relaxed),
            max: self.max.load(Ordering::Relaxed),
            counts,
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }
}

/// What a histogram held at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// How many values.
    pub count: u64,
    /// All values together; wraps around at the end of `u64`.
    pub sum: u64,
    /// The largest value.
    pub max: u64,
    counts: Vec<u64>,
}

impl Snapshot {
    /// The value that `share` (0.0 to 1.0) of all values do not exceed, rounded up to its bucket's end; zero where
    /// nothing was recorded.
    pub fn quantile(&self, share: f64) -> u64 {
        // Counts beyond 2^52 would round; by then the histogram is thousands of years old.
        let rank = (share.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (upper, count) in self.buckets() {
            seen += count;
            if seen >= rank {
                return upper.min(self.max);
            }
        }
        0
    }

    /// Adds what another histogram held.
    pub fn join(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// Every bucket that holds something: the highest value it takes, and how many it has.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| (upper_bound(bucket), *count))
    }
}

/// Values below [`STEPS`] have a bucket each; above, a doubling is cut into [`STEPS`] equal parts.
fn bucket_of(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let doubling = value.ilog2();
    let step = (value >> (doubling - STEPS_LOG2)) & (STEPS - 1);
    ((u64::from(doubling - STEPS_LOG2) + 1) * STEPS + step) as usize
}

/// The highest value of a bucket: one less than where the next one starts.
fn upper_bound(bucket: usize) -> u64 {
    let next = bucket as u64 + 1;
    if next < STEPS {
        return next - 1;
    }
    let shift = next / STEPS - 1;
    let start = u128::from(STEPS + next % STEPS) << shift;
    u64::try_from(start - 1).unwrap_or(u64::MAX)
}

const STEPS_LOG2: u32 = 3;
const STEPS: u64 = 1 << STEPS_LOG2;
/// Enough for the whole of `u64`.
const BUCKETS: usize = (64 - STEPS_LOG2 as usize + 1) * STEPS as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_one_bucket_that_is_at_most_an_eighth_too_high() {
        let near_powers = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) | 1]);
        for value in near_powers.chain(0..5000).chain([u64::MAX]) {
            let bucket = bucket_of(value);
            assert!(bucket < BUCKETS, "{value}");
            let upper = upper_bound(bucket);
            assert!(upper >= value, "{value} is above its bucket's end {upper}");
            assert!(upper - value <= value / STEPS, "{value} counts as {upper}");
            if bucket > 0 {
                assert!(upper_bound(bucket - 1) < value, "{value} belongs to the bucket before");
            }
        }
    }

    #[test]
    fn quantiles_are_read_from_the_top_of_their_bucket() {
        let histogram = Histogram::default();
        assert_eq!(histogram.snapshot().quantile(0.5), 0);
        for value in 1..=1000 {
            histogram.record(value);
        }
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count, snapshot.sum, snapshot.max), (1000, 500_500, 1000));
        assert!((500..=562).contains(&snapshot.quantile(0.5)), "{}", snapshot.quantile(0.5));
        assert!((990..=1000).contains(&snapshot.quantile(0.99)));
        assert_eq!(snapshot.quantile(1.0), 1000);
        assert_eq!(snapshot.quantile(0.0), 1);
    }

    #[test]
    fn a_time_is_recorded_in_microseconds() {
        let histogram = Histogram::default();
        histogram.record_us(Duration::from_millis(2));
        assert_eq!(histogram.snapshot().sum, 2000);
    }
}
