//! Pool: how much queues hold in memory, each and all together

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of what waits a queue holds in memory. Of durable messages beyond it, it keeps the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// The most messages.
    pub messages_max: u64,
    /// The same, in bytes by [`model::message::Message::size_bytes`].
    pub bytes_max: u64,
}

impl Resident {
    /// All of it.
    pub const ALL: Self = Self { messages_max: u64::MAX, bytes_max: u64::MAX };
}

/// What all queues that joined it hold. Where it is full, each of them holds one message and what is not durable, and of the
/// rest the numbers.
#[derive(Debug)]
pub struct Pool {
    bytes_max: u64,
    /// In units, so that a message more or less mostly costs nothing.
    units: AtomicU64,
}

impl Pool {
    /// `bytes_max`: by [`model::message::Message::size_bytes`].
    pub const fn new(bytes_max: u64) -> Self {
        Self { bytes_max, units: AtomicU64::new(0) }
    }

    /// What they hold, but for less than 4 KiB of each, and for 4 KiB more of each at most.
    pub fn bytes(&self) -> u64 {
        self.units.load(Ordering::Relaxed) * UNIT_BYTES
    }

    /// Whether that is as much as it may be.
    pub fn is_full(&self) -> bool {
        self.bytes() >= self.bytes_max
    }
}

/// The share of one queue. It goes with the queue.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    pool: Option<Arc<Pool>>,
    units: u64,
}

impl Charge {
    /// Counts as part of that from now on.
    pub(crate) fn join(&mut self, pool: &Arc<Pool>, bytes: u64) {
        self.set(0);
        self.pool = Some(Arc::clone(pool));
        self.set(bytes);
    }

    /// Whether there is no room for more.
    pub(crate) fn is_full(&self) -> bool {
        self.pool.as_ref().is_some_and(|pool| pool.is_full())
    }

    /// Whether so many bytes count for something else than so many others.
    pub(crate) const fn differs(before: u64, now: u64) -> bool {
        before / UNIT_BYTES != now / UNIT_BYTES
    }

    /// The queue holds so much now. One that goes up and down by a message stays where it is.
    pub(crate) fn set(&mut self, bytes: u64) {
        let units = bytes / UNIT_BYTES;
        if units > self.units || units + 1 < self.units || units == 0 && self.units > 0 {
            self.settle(units);
        }
    }

    #[cold]
    fn settle(&mut self, units: u64) {
        let Some(pool) = &self.pool else { return };
        if units > self.units {
            pool.units.fetch_add(units - self.units, Ordering::Relaxed);
        } else {
            pool.units.fetch_sub(self.units - units, Ordering::Relaxed);
        }
        self.units = units;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

const UNIT_BYTES: u64 = 4 << 10;
