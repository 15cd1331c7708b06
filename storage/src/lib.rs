//! The journal that acknowledgements wait for, and sled, the state it adds up to.
//!
//! A [`model::change::Changeset`] goes in by [`store::Store::commit`]. One thread takes everything that waits, frames it
//! as one group under one checksum, writes it once and calls `fdatasync` once; a second thread then runs the
//! [`completion::Completion`]s in commit order. That is all that an acknowledgement waits for. A third thread reads the
//! journal behind them, brings sled after it, and gives up journal files whose records are dead, after it has moved on
//! what is still alive in them. A fourth thread reads messages back for whoever keeps their numbers only
//! ([`store::Store::read`]).
//!
//! At the start sled and the journal are read, and what they add up to is handed out as [`recovery::Recovered`]. The
//! journal alone is enough: sled is set aside and filled again if it is of no use.
//!
//! In the data directory there are `lock` (the process that has it), `format` (its version), `journal/` (numbered files)
//! and `state/` (sled). Stores of other vhosts may lie below it, in `vhosts/`.

mod apply;
mod bans;
mod committer;
mod compaction;
mod dedup;
mod digest;
mod directory;
mod follower;
mod inbox;
mod journal;
mod keyspace;
mod patience;
mod publications;
mod queues;
mod reader;
mod record;
mod refill;
mod retained;
mod seal;
mod segment;
mod sessions;
mod spots;
mod subject;
mod topology;
mod watch;

pub mod backup;
mod brake;
pub mod check;
pub mod completion;
pub mod error;
pub mod group;
pub mod log;
pub mod options;
mod policies;
pub mod position;
pub mod recovery;
pub mod space;
pub mod statistics;
pub mod stepped;
pub mod store;
pub mod vhosts;

pub use backup::{backup, restore};
pub use check::{Checked, check};
pub use completion::Completion;
pub use error::StoreError;
pub use inbox::Urgency;
pub use options::Options;
pub use reader::{Answer, Found};
pub use recovery::{
    Recovered, RecoveredEntry, RecoveredPublication, RecoveredQueue, RecoveredSession, RecoveryReport,
    UnreadEntry,
};
pub use retained::RecoveredRetained;
pub use space::{Disk, Space};
pub use statistics::Statistics;
pub use stepped::Stepped;
pub use store::{OnFailure, Store};
pub use vhosts::VhostPlaces;
