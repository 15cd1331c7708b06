//! Files of keys, users and rules: read with care, and seen to be others when they change

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system says no.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// Others than its owner may read or write a secret.
    #[error(
        "{path}: others than its owner may read or write it (mode {mode:04o}); chmod 600 {path}",
        path = path.display()
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What is meant is never so large.
    #[error("{path}: larger than {bytes_max} bytes; that is another file than is meant", path = path.display())]
    Large {
        /// Which file.
        path: PathBuf,
        /// The most that is read.
        bytes_max: u64,
    },
}

/// By which it is seen that a file is another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// `None`: there is no such file, or it may not be looked at.
    pub fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { inode: found.ino(), bytes: found.len(), modified: found.modified().ok() })
    }
}

/// What is in a file of at most `bytes_max` bytes; one that `is_secret` is its owner's alone.
///
/// # Errors
///
/// It cannot be read, or not be trusted.
pub fn read(path: &Path, is_secret: bool, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let other = |error| FileError::Io { path: path.to_owned(), error };
    let file = File::open(path).map_err(other)?;
    // Of what was opened: the name may lead elsewhere by now.
    let found = file.metadata().map_err(other)?;
    let mode = found.mode() & 0o7777;
    if is_secret && mode & 0o077 != 0 {
        return Err(FileError::Open { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(other)?;
    if bytes.len() as u64 > bytes_max {
        return Err(FileError::Large { path: path.to_owned(), bytes_max });
    }
    Ok(bytes)
}
