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
    /// Not 0: sled has failed and no longer follows the journal; the next start mends that.
    pub state_failures: Counter,
}
