//! Counter, Gauge, Peak: per core, so counting never contends.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Counts up. Adding is one relaxed atomic addition to a cell that other cores rarely touch.
#[derive(Debug)]
pub struct Counter(Stripes);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.add(count);
    }

    /// How many so far. Additions under way may or may not be in it.
    pub fn value(&self) -> u64 {
        self.0.sum()
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self(Stripes::new())
    }
}

/// How many there are now: goes up and down, on any thread.
#[derive(Debug)]
pub struct Gauge(Stripes);

impl Gauge {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// One less.
    pub fn decrement(&self) {
        self.subtract(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.add(count);
    }

    /// So many less.
    pub fn subtract(&self, count: u64) {
        // In two's complement a subtraction is an addition; only the sum over all stripes means something.
        self.0.add(count.wrapping_neg());
    }

    /// How many now. Zero where a decrement is seen before its increment.
    pub fn value(&self) -> u64 {
        u64::try_from(self.0.sum().cast_signed()).unwrap_or(0)
    }
}

impl Default for Gauge {
    fn default() -> Self {
        Self(Stripes::new())
    }
}

/// The highest value that something had. For what happens rarely: all cores share it.
#[derive(Debug, Default)]
pub struct Peak(AtomicU64);

impl Peak {
    /// It is at `value` now.
    pub fn reach(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// The highest so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One cell for each thread, or for some of them.
struct Stripes {
    /// A power of two of them.
    rows: Arc<[Row]>,
    column: usize,
}

/// What one thread counts, of counters that were made one after the other: for a message it counts a dozen things, and those lie
/// side by side. As wide as pairs of cache lines, which processors fetch together.
#[repr(align(128))]
struct Row([AtomicU64; COLUMNS]);

impl Stripes {
    fn new() -> Self {
        let mut sheet = SHEET.lock().unwrap_or_else(PoisonError::into_inner);
        let Sheet { rows, used } =
            sheet.take().filter(|sheet| sheet.used < COLUMNS).unwrap_or_else(Sheet::new);
        *sheet = Some(Sheet { rows: Arc::clone(&rows), used: used + 1 });
        Self { rows, column: used }
    }

    fn add(&self, count: u64) {
        let slot = SLOT.get() & (self.rows.len() - 1);
        if let Some(cell) = self.rows.get(slot).and_then(|Row(cells)| cells.get(self.column)) {
            cell.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn sum(&self) -> u64 {
        let cells = self.rows.iter().filter_map(|Row(cells)| cells.get(self.column));
        cells.fold(0, |sum, cell| sum.wrapping_add(cell.load(Ordering::Relaxed)))
    }
}

impl fmt::Debug for Stripes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not whose neighbour it is, nor what they count.
        self.sum().fmt(f)
    }
}

/// Where the next counter finds its place. It goes with the last counter that has one there.
struct Sheet {
    rows: Arc<[Row]>,
    used: usize,
}

impl Sheet {
    fn new() -> Self {
        let row = |_| Row([const { AtomicU64::new(0) }; COLUMNS]);
        Self { rows: (0..*STRIPES).map(row).collect(), used: 0 }
    }
}

static SHEET: Mutex<Option<Sheet>> = Mutex::new(None);

thread_local! {
    /// Which cell this thread counts in. Threads take turns, so that worker threads, which are made one after the other,
    /// share none.
    static SLOT: Cell<usize> = Cell::new(NEXT_SLOT.fetch_add(1, Ordering::Relaxed));
}

/// How many cells a counter has: asked of the system once, which reads files to know, and not for each of a hundred counters.
static STRIPES: LazyLock<usize> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.next_power_of_two().min(STRIPES_MAX)
});

static NEXT_SLOT: AtomicUsize = AtomicUsize::new(0);

/// The most cells per counter; beyond that many cores, some share.
const STRIPES_MAX: usize = 64;

/// How many counters share a sheet: as many as all that is counted of a broker needs.
const COLUMNS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_threads() {
        let counter = Counter::default();
        let gauge = Gauge::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        counter.increment();
                        gauge.add(3);
                        gauge.subtract(2);
                    }
                });
            }
        });
        assert_eq!(counter.value(), 80_000);
        assert_eq!(gauge.value(), 80_000);
    }

    #[test]
    fn counters_that_lie_side_by_side_count_apart() {
        let mut counters: Vec<_> =
            (0..3 * COLUMNS as u64).map(|number| (number, Counter::default())).collect();
        counters.iter().for_each(|(number, counter)| counter.add(*number));
        // Those that go take nobody else's place along, and new ones begin at nothing.
        counters.retain(|(number, _)| number % 3 == 0);
        assert!((0..COLUMNS).all(|_| Counter::default().value() == 0));
        assert!(counters.iter().all(|(number, counter)| counter.value() == *number));
    }

    #[test]
    fn a_gauge_goes_down_on_another_thread_than_it_went_up() {
        let gauge = Gauge::default();
        gauge.add(2);
        std::thread::scope(|scope| {
            scope.spawn(|| gauge.decrement());
        });
        assert_eq!(gauge.value(), 1);
        gauge.subtract(5);
        assert_eq!(gauge.value(), 0, "never less than none");
    }
}
