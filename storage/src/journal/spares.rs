//! Journal files that were given up and may be used again: filling a new one costs as much as all that is written to it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::StoreError;

/// Files that may be used again, already of the right size.
#[derive(Debug)]
pub(super) struct Spares {
    list: Mutex<Vec<PathBuf>>,
    /// How large they all are.
    pub(super) segment_bytes: u64,
}

impl Spares {
    /// These were found.
    pub(super) const fn new(list: Vec<PathBuf>, segment_bytes: u64) -> Self {
        Self { list: Mutex::new(list), segment_bytes }
    }

    /// One to use.
    pub(super) fn take(&self) -> Option<PathBuf> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a file for later, or deletes it. It is not read: a disk may give room back that hands out nothing.
    pub(super) fn retire(&self, path: &Path) -> Result<(), StoreError> {
        let capacity = std::fs::metadata(path).map_err(StoreError::io("look at", path))?.len();
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < SPARES_MAX && capacity == self.segment_bytes {
            let spare = path.with_extension(SPARE);
            std::fs::rename(path, &spare).map_err(StoreError::io("rename", path))?;
            list.push(spare);
            Ok(())
        } else {
            std::fs::remove_file(path).map_err(StoreError::io("remove", path))
        }
    }
}

/// How a spare file's name ends.
pub(super) const SPARE: &str = "free";
/// How many are kept: as fast as one is used up, the next one is given up.
pub(super) const SPARES_MAX: usize = 1;
