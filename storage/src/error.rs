//! StoreError: why the store cannot go on.

use std::io;
use std::path::{Path, PathBuf};

/// What went wrong, where, and what to do about it. Where an acknowledgement stands on it, nothing is retried: the process is
/// expected to end.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory.
    #[error(
        "the data directory {} is in use by process {pid}; stop that one, or give this one another directory",
        directory.display()
    )]
    Locked {
        /// Which directory.
        directory: PathBuf,
        /// Who has it, as that process wrote it down; `unknown` where it had not done so yet.
        pid: String,
    },
    /// What is there would be overwritten.
    #[error("{} is not empty; name a directory that is, or none yet", directory.display())]
    NotEmpty {
        /// Which directory.
        directory: PathBuf,
    },
    /// There is nothing to check.
    #[error("there is no store in {}", directory.display())]
    NoStore {
        /// Which directory.
        directory: PathBuf,
    },
    /// Bytes that were on disk before are not what was written.
    #[error(
        "{} is damaged at byte {offset}: {what}",
        file.display()
    )]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// Written by a version that this one does not know.
    #[error(
        "{} has format version {found}, and this program knows up to {known}; start the version that wrote it",
        file.display()
    )]
    UnknownVersion {
        /// Which file.
        file: PathBuf,
        /// What it says.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}; check the disk, its free space and the rights on it", path.display())]
    Io {
        /// The verb.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// sled refused. The journal has everything; the next start can do without sled.
    #[error("cannot {doing} the state in {}: {source}; the next start rebuilds it from the journal if it must", path.display())]
    State {
        /// The verb.
        doing: &'static str,
        /// The directory.
        path: PathBuf,
        /// What sled said.
        source: sled::Error,
    },
    /// A changeset is larger than a journal file can ever be.
    #[error(
        "a changeset of {bytes} bytes does not fit into the journal; lower the limits on messages and transactions"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// Somebody else owns this journal now; nothing more is acknowledged here.
    #[error("this node does not own its journal any more; it must join again")]
    Fenced,
    /// What lies behind damage in the journal cannot be found.
    #[error(
        "what was written last cannot be read, because the journal is damaged before it; the log above says where: stop the \
         broker, and run `duetmq fsck`"
    )]
    Behind,
    /// A thread of the store ended before its time.
    #[error("the {thread} of the store ended before its time; the log above says why")]
    Ended {
        /// Which.
        thread: &'static str,
    },
}

impl StoreError {
    /// There is no room on the disk: nothing is wrong with it, and later there may be.
    pub fn is_full_disk(&self) -> bool {
        let full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        matches!(self, Self::Io { source, .. } if full(source.kind()))
    }

    /// What whoever follows the journal can do about it. What is acknowledged waits for the committer, not for him.
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::State { .. } => Remedy::Refill,
            // Names of journal files: what is acknowledged lies in them.
            Self::Io { doing: "sync", .. } => Remedy::End,
            Self::Io { source, .. }
                if matches!(source.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound) =>
            {
                Remedy::Repair
            }
            Self::Damaged { .. } | Self::UnknownVersion { .. } | Self::Behind => Remedy::Repair,
            Self::Io { .. }
            | Self::Locked { .. }
            | Self::NotEmpty { .. }
            | Self::NoStore { .. }
            | Self::TooLarge { .. }
            | Self::Fenced
            | Self::Ended { .. } => Remedy::Wait,
        }
    }

    /// What `map_err` takes for a file operation.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_path_buf(), source }
    }

    /// What `map_err` takes for an operation of sled.
    pub(crate) fn state(doing: &'static str, path: &Path) -> impl FnOnce(sled::Error) -> Self {
        move |source| Self::State { doing, path: path.to_path_buf(), source }
    }

    /// A file whose bytes are wrong.
    pub(crate) fn damaged(file: &Path, offset: u64, what: &'static str) -> Self {
        Self::Damaged { file: file.to_path_buf(), offset, what }
    }
}

/// What helps against an error behind the acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// To try again: perhaps the disk is well in a while.
    Wait,
    /// To fill sled again from the journal: it believes nothing of what it has, once it has failed.
    Refill,
    /// Nobody but `duetmq fsck`: no waiting mends what is damaged.
    Repair,
    /// Nothing: nobody knows what is on the disk any more.
    End,
}
