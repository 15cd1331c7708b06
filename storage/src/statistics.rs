//! What the store has done since it was opened.

use telemetry::{Counter, Histogram};

/// Counters that any thread may read at any time. Each is exact; they are not taken at one moment. How long commits take
/// and how many changesets share one is in [`telemetry::Metrics`], see [`crate::options::Options::metrics`].
#[derive(Debug, Default)]
pub struct Statistics {
    /// Changesets that were handed in; those not in `records` yet are waiting, or were empty.
    pub commits: Counter,
    /// Changesets written to the journal, and records moved on.
    pub records: Counter,
    /// Writes to the journal.
    pub groups: Counter,
    /// Bytes written to the journal.
    pub bytes: Counter,
    /// Calls of fdatasync on the journal, in microseconds each.
    pub sync_us: Histogram,
    /// Segments given up.
    pub trimmed: Counter,
    /// Bytes that were alive in them and moved on.
    pub moved_bytes: Counter,
    /// How often sled failed. Each time it is filled again from the journal.
    pub state_failures: Counter,
    /// How often sled could not be brought after the journal, or live records not be brought together. Each time it is tried
    /// again, up to half a minute later.
    pub follow_failures: Counter,
}
