//! Options: where the store lives, and its bounds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use telemetry::Metrics;

use crate::space::Space;

/// How a store is opened. The defaults are right for a machine of its own.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything lies. Made if it does not exist.
    pub directory: PathBuf,
    /// How large a journal file is made, in bytes, 4 KiB to 1 GiB; a changeset that is larger gets a file of its size.
    pub segment_bytes: u64,
    /// The most changesets that share one write and one fdatasync.
    pub group_records_max: usize,
    /// The most bytes that share one write and one fdatasync; one changeset may have more.
    pub group_bytes_max: usize,
    /// How long a changeset that nobody waits for may stay in memory.
    pub soon_write_wait_max: Duration,
    /// How long a changeset that nobody waits for may stay without fdatasync.
    pub soon_sync_wait_max: Duration,
    /// How long the journal runs ahead of sled before sled follows. What comes and goes meanwhile never touches sled.
    pub apply_wait: Duration,
    /// By how many bytes all files together may be larger than twice what is alive, however much passes through. It is kept
    /// if it is eight times `segment_bytes` at least.
    pub surplus_bytes_max: u64,
    /// Whether the journal waits for room on the disk; shared with whoever wants to know.
    pub space: Arc<Space>,
    /// Where commits are counted: `commit_us` and `commit_records`.
    pub metrics: Arc<Metrics>,
    /// Whether opening reads the messages of all that waits, however much that is. Otherwise those that their clients have
    /// begun to receive (PUBREC), and of the others what a queue must know.
    pub reads_bodies: bool,
    /// What sled may keep in memory, in bytes; the process takes about three times as much.
    pub cache_bytes: u64,
}

impl Options {
    /// The defaults, for a store in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: 32 << 20,
            group_records_max: 1024,
            group_bytes_max: 1 << 20,
            soon_write_wait_max: Duration::from_millis(20),
            soon_sync_wait_max: Duration::from_secs(1),
            apply_wait: Duration::from_millis(100),
            surplus_bytes_max: 256_000_000,
            space: Arc::default(),
            metrics: Arc::default(),
            reads_bodies: false,
            cache_bytes: 32 << 20,
        }
    }
}
