//! A tally: what came, what did not, and how long it took.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::bench::stamp::Stamp;

/// How long things took.
#[derive(Debug, Clone)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    /// None yet. Three digits are kept of each, from a microsecond to an hour.
    pub(crate) fn new() -> Self {
        let bounds = Histogram::new_with_bounds(1, MICROS_MAX, 3);
        Self(bounds.expect("an hour is more than twice a microsecond"))
    }

    /// One more; less than a microsecond counts as one, more than an hour as an hour.
    pub(crate) fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(MICROS_MAX);
        self.0.saturating_record(micros.clamp(1, MICROS_MAX));
    }

    /// These as well.
    pub(crate) fn add(&mut self, others: &Self) {
        // Of the same bounds, so there is nothing that does not fit.
        let _ = self.0.add(&others.0);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// In microseconds: that many per cent took at most so long.
    pub(crate) fn at_percent(&self, percent: f64) -> u64 {
        self.0.value_at_quantile(percent / 100.0)
    }

    /// For programs: microseconds, and how many took up to each power of two of them, and longer than up to the one before.
    pub(crate) fn json(&self) -> Value {
        if self.count() == 0 {
            return Value::Null;
        }
        let steps = self.0.iter_log(1, 2.0);
        let steps: Vec<Value> = steps
            .filter(|step| step.count_since_last_iteration() > 0)
            .map(|step| json!({"us": step.value_iterated_to(), "count": step.count_since_last_iteration()}))
            .collect();
        json!({
            "count": self.count(),
            "mean_us": self.0.mean(),
            "p50_us": self.at_percent(50.0),
            "p90_us": self.at_percent(90.0),
            "p99_us": self.at_percent(99.0),
            "p99_9_us": self.at_percent(99.9),
            "max_us": self.0.max(),
            "histogram": steps,
        })
    }

    /// For people.
    pub(crate) fn line(&self) -> String {
        let show = |micros: u64| {
            if micros < 10_000 {
                format!("{micros} µs")
            } else {
                format!("{:.1} ms", micros as f64 / 1000.0)
            }
        };
        let at = |percent| show(self.at_percent(percent));
        format!(
            "p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
            at(50.0),
            at(90.0),
            at(99.0),
            at(99.9),
            show(self.0.max())
        )
    }
}

const MICROS_MAX: u64 = 3_600_000_000;

/// What a subscriber got of each publisher.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    publishers: HashMap<(u64, u32), Sequence>,
    /// Messages that came, whatever they were.
    pub(crate) received: u64,
    /// Messages that came again.
    pub(crate) doubled: u64,
    /// Messages that came behind a later one.
    pub(crate) reordered: u64,
    /// Messages that nobody here sent.
    pub(crate) foreign: u64,
}

#[derive(Debug, Default)]
struct Sequence {
    /// The first number that came.
    first: u64,
    /// The one after the highest that came.
    next: u64,
    /// What is missing below that: from, and up to before.
    gaps: BTreeMap<u64, u64>,
}

impl Numbers {
    /// One more. `from_zero`: the first number to come is 0; else it is the one that came first.
    pub(crate) fn take(&mut self, stamp: &Stamp, from_zero: bool) {
        self.received += 1;
        let number = stamp.sequence;
        let start = if from_zero { 0 } else { number };
        let sequence = self.publishers.entry((stamp.run, stamp.publisher)).or_insert_with(|| Sequence {
            first: start,
            next: start,
            gaps: BTreeMap::new(),
        });
        if number >= sequence.next {
            if number > sequence.next {
                sequence.gaps.insert(sequence.next, number);
            }
            sequence.next = number.saturating_add(1);
        } else if sequence.fill(number) {
            self.reordered += 1;
        } else {
            self.doubled += 1;
        }
    }

    /// How many did not come, below the highest number of each publisher.
    pub(crate) fn missing(&self) -> u64 {
        self.publishers.values().flat_map(|sequence| &sequence.gaps).map(|(from, to)| to - from).sum()
    }

    /// How many different ones came.
    pub(crate) fn distinct(&self) -> u64 {
        let span: u64 = self.publishers.values().map(|sequence| sequence.next - sequence.first).sum();
        span - self.missing()
    }
}

impl Sequence {
    /// Whether that number was missing; it no longer is.
    fn fill(&mut self, number: u64) -> bool {
        let Some((&from, &to)) = self.gaps.range(..=number).next_back().filter(|(_, to)| number < **to)
        else {
            return false;
        };
        self.gaps.remove(&from);
        if from < number {
            self.gaps.insert(from, number);
        }
        if number + 1 < to {
            self.gaps.insert(number + 1, to);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_counted() {
        check(&[0, 1, 2], true, (0, 0, 0));
        check(&[0, 1, 1, 2, 0], true, (0, 2, 0));
        check(&[0, 3, 4], true, (2, 0, 0));
        check(&[0, 4, 2, 1, 2], true, (1, 1, 2));
        check(&[5, 6], true, (5, 0, 0));
        // Whoever comes later than the publisher misses nothing of what was before.
        check(&[5, 6, 8], false, (1, 0, 0));
    }

    #[test]
    fn times_are_told_in_the_order_of_their_lengths() {
        let mut times = Times::new();
        (1..=1000).for_each(|millis| times.record(Duration::from_millis(millis)));
        assert!(times.at_percent(50.0).abs_diff(500_000) < 1_000, "{}", times.line());
        assert!(times.at_percent(99.0).abs_diff(990_000) < 1_000, "{}", times.line());
        times.record(Duration::MAX);
        assert_eq!(times.count(), 1001);
    }

    #[track_caller]
    fn check(sequence: &[u64], from_zero: bool, expected: (u64, u64, u64)) {
        let mut numbers = Numbers::default();
        for sequence in sequence {
            numbers.take(&Stamp { run: 1, publisher: 1, sequence: *sequence, due_ns: 0 }, from_zero);
        }
        assert_eq!((numbers.missing(), numbers.doubled, numbers.reordered), expected, "{sequence:?}");
    }
}
