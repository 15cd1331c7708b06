//! Space: what the disk has left, and the wait for more of it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::StoreError;

/// Whether the journal waits for room on the disk. A full disk is no failure: nothing that was written is lost by it, and
/// what could not be written is written once there is room.
#[derive(Debug, Default)]
pub struct Space {
    blocked: AtomicBool,
    closing: AtomicBool,
}

/// A disk at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// What it may still take, in bytes.
    pub free_bytes: u64,
    /// How large it is.
    pub total_bytes: u64,
}

impl Disk {
    /// The disk that has this directory.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub fn of(directory: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(directory)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { free_bytes: bytes(found.f_bavail), total_bytes: bytes(found.f_blocks) })
    }
}

impl Space {
    /// Whether something could not be written, and is tried again.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// From now on it is not waited for long.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Tries something until it is not for want of room that it fails. Nothing is acknowledged meanwhile.
    pub(crate) fn wait_for<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut left = ATTEMPTS_AT_CLOSE;
        loop {
            match attempt() {
                Err(error) if error.is_full_disk() && left > 0 => {
                    if !self.blocked.swap(true, Ordering::Relaxed) {
                        tracing::error!(%error, "store.disk_full: nothing more is acknowledged until there is room");
                    }
                    if self.closing.load(Ordering::Relaxed) {
                        left -= 1;
                    }
                    std::thread::sleep(WAIT);
                }
                done => {
                    if self.is_blocked() && self.blocked.swap(false, Ordering::Relaxed) && done.is_ok() {
                        tracing::info!("store.disk_has_room");
                    }
                    return done;
                }
            }
        }
    }
}

/// How large the files of a journal may be on this disk, if they should be of `wanted` bytes: several must have room.
pub(crate) fn fitting(directory: &Path, wanted: u64) -> u64 {
    Disk::of(directory).map_or(wanted, |disk| wanted.min(disk.total_bytes / FILES_ON_DISK_MIN))
}

/// By how much a directory on this disk may be larger than twice what is alive, if that should be `wanted` bytes.
pub(crate) fn fitting_surplus(directory: &Path, wanted: u64) -> u64 {
    Disk::of(directory).map_or(wanted, |disk| wanted.min(disk.total_bytes / 2))
}

/// Whether there is so little left that nothing should be written that need not be. Publishers are held long before.
pub(crate) fn is_scarce(directory: &Path) -> bool {
    Disk::of(directory).is_ok_and(|disk| disk.free_bytes < SCARCE_BYTES.min(disk.total_bytes / SCARCE_PART))
}

const SCARCE_BYTES: u64 = 16 << 20;
const SCARCE_PART: u64 = 64;
/// Between two attempts.
const WAIT: Duration = Duration::from_millis(50);
/// Five seconds.
const ATTEMPTS_AT_CLOSE: u32 = 100;
const FILES_ON_DISK_MIN: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_no_room_is_tried_again_and_no_other_failure_is() {
        let fail =
            |kind: io::ErrorKind| StoreError::Io { doing: "write", path: "x".into(), source: kind.into() };
        let (space, mut tries) = (Space::default(), 0);
        let written = space.wait_for(|| {
            tries += 1;
            assert_eq!(space.is_blocked(), tries > 1);
            if tries < 3 { Err(fail(io::ErrorKind::StorageFull)) } else { Ok(tries) }
        });
        assert!(matches!(written, Ok(3)) && !space.is_blocked());
        let failed: Result<(), _> = space.wait_for(|| Err(fail(io::ErrorKind::Other)));
        assert!(failed.is_err() && !space.is_blocked());
    }
}
