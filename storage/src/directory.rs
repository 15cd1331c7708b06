//! The data directory: one process at a time, one format, nobody else's business.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::segment::{StoreId, random, sync_directory};

/// A directory that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    store: StoreId,
    /// Closing it gives the lock back.
    _lock: File,
}

impl Directory {
    /// Makes it if it does not exist, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io("make", path))?;
        if let Some(parent) = path.canonicalize().map_err(StoreError::io("look at", path))?.parent() {
            sync_directory(parent)?;
        }
        let lock = lock(path)?;
        let store = match read_format(path)? {
            Some(store) => store,
            None => {
                let store = StoreId(random());
                write_format(path, store)?;
                store
            }
        };
        Ok(Self { path: path.to_path_buf(), store, _lock: lock })
    }

    /// What tells this store from others.
    pub(crate) const fn store(&self) -> StoreId {
        self.store
    }

    /// Where the journal lies.
    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// Where sled lies.
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// Moves sled out of the way, for whoever wants to look at it; what was there from the last time goes.
    pub(crate) fn set_state_aside(&self) -> Result<PathBuf, StoreError> {
        let (state, aside) = (self.state(), self.path.join("state.damaged"));
        if aside.exists() {
            fs::remove_dir_all(&aside).map_err(StoreError::io("remove", &aside))?;
        }
        if state.exists() {
            fs::rename(&state, &aside).map_err(StoreError::io("rename", &state))?;
        }
        sync_directory(&self.path)?;
        Ok(aside)
    }
}

/// Whether it has been locked before.
pub(crate) fn is_used(directory: &Path) -> bool {
    directory.join(LOCK).exists()
}

/// Locks it; closing the file gives the lock back.
pub(crate) fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(StoreError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path).unwrap_or_default();
            let pid = if pid.trim().is_empty() { "unknown" } else { pid.trim() };
            return Err(StoreError::Locked { directory: directory.to_path_buf(), pid: pid.to_owned() });
        }
        Err(TryLockError::Error(source)) => {
            return Err(StoreError::Io { doing: "lock", path, source });
        }
    }
    file.set_len(0).map_err(StoreError::io("write", &path))?;
    writeln!(file, "{}", std::process::id()).map_err(StoreError::io("write", &path))?;
    Ok(file)
}

/// Of which store it is; `None`: this is no store yet.
pub(crate) fn read_format(directory: &Path) -> Result<Option<StoreId>, StoreError> {
    let path = directory.join(FORMAT);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let begun = directory.join("journal").exists();
            return if begun {
                Err(StoreError::damaged(&path, 0, "it is missing, and there is a journal"))
            } else {
                Ok(None)
            };
        }
        Err(source) => return Err(StoreError::Io { doing: "read", path, source }),
    };
    let mut lines = text.lines();
    let version: Option<u32> = lines.next().and_then(|line| line.strip_prefix(VERSION_IS)?.parse().ok());
    let found = version.ok_or_else(|| StoreError::damaged(&path, 0, "its first line is not understood"))?;
    if found != VERSION {
        return Err(StoreError::UnknownVersion { file: path, found, known: VERSION });
    }
    let store = lines.next().and_then(|line| u64::from_str_radix(line.strip_prefix(STORE_IS)?, 16).ok());
    match store {
        Some(store) => Ok(Some(StoreId(store))),
        None => Err(StoreError::damaged(&path, 0, "its second line is not understood")),
    }
}

/// Says of which store it is.
pub(crate) fn write_format(directory: &Path, store: StoreId) -> Result<(), StoreError> {
    replace(directory, FORMAT, &format!("{VERSION_IS}{VERSION}\n{STORE_IS}{:016x}\n", store.0))
}

/// Writes a file that is there as a whole, or as it was: beside it first, and then in its place.
pub(crate) fn replace(directory: &Path, name: &str, text: &str) -> Result<(), StoreError> {
    let (draft, path) = (directory.join(format!("{name}.new")), directory.join(name));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(StoreError::io("make", &draft))?;
    file.write_all(text.as_bytes()).map_err(StoreError::io("write", &draft))?;
    file.sync_all().map_err(StoreError::io("sync", &draft))?;
    fs::rename(&draft, &path).map_err(StoreError::io("rename", &draft))?;
    sync_directory(directory)
}

/// The file that says so.
pub(crate) const FORMAT: &str = "format";
/// The file that whoever has the directory keeps locked.
const LOCK: &str = "lock";
const VERSION_IS: &str = "DuetMQ store, version ";
const STORE_IS: &str = "id ";
/// Of the directory as a whole. The files in it have versions of their own.
const VERSION: u32 = 1;
