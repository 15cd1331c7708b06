//! Fsck: every byte of the journal read; what is damaged is found and named, and put aside if that is wanted.
//!
//! A repair deletes nothing. What was damaged is moved to `quarantine/`, a copy without the damage takes its place under the
//! same name, and sled goes aside as well: the next start fills it again from what is sound. Each file is replaced in one
//! step, so whoever is interrupted begins again.

mod damage;
mod digests;
mod judge;
mod repair;
mod survey;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

pub use crate::check::damage::{Damage, Held};
use crate::check::digests::useless_digests;
use crate::check::judge::judge;
use crate::check::repair::repair;
use crate::check::survey::survey;
use crate::directory::{FORMAT, is_used, lock, read_format};
use crate::error::StoreError;
use crate::keyspace::Keyspace;
use crate::position::Position;
use crate::segment::path_of;

/// What was found in a store.
#[derive(Debug, Default)]
pub struct Checked {
    /// Journal files.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Groups that are whole.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes behind the end of the journal, of a write that a crash cut short; nobody was told that they are there, and the
    /// next start cuts them off.
    pub torn_bytes: u64,
    /// Earlier repairs left so many gaps.
    pub gaps: u64,
    /// sled is of no use; nothing is lost by that, and the next start fills it again.
    pub state_useless: bool,
    /// Digests that are damaged, or do not say what the records do. Nothing is lost by that: a repair removes them, and the
    /// next start reads the records.
    pub digests_useless: u64,
    /// What is damaged, in the order of the journal.
    pub damages: Vec<Damage>,
    /// Where the damaged files are now, after a repair that had something to do.
    pub quarantine: Option<PathBuf>,
}

/// Checks the store in `directory`, which no broker may have open, and repairs it if `repairing`.
///
/// # Errors
///
/// There is no store; another process has it; it is of a newer version; the system refuses.
pub fn check(directory: &Path, repairing: bool) -> Result<Checked, StoreError> {
    let journal = directory.join("journal");
    if !directory.join(FORMAT).exists() && !journal.exists() {
        return Err(StoreError::NoStore { directory: directory.to_path_buf() });
    }
    // What nobody has served yet, such as a backup, stays as it is.
    let _lock = if repairing || is_used(directory) { Some(lock(directory)?) } else { None };
    let mut checked = Checked::default();
    let format = match read_format(directory) {
        Err(error @ StoreError::Damaged { .. }) => Err(error),
        Err(error) => return Err(error),
        Ok(store) => Ok(store),
    };
    let surveyed = survey(&journal, format.as_ref().ok().copied().flatten())?;
    if let Err(StoreError::Damaged { file, offset, what }) = format {
        let damage = Damage { file, offset, bytes: 0, what, groups: 0, held: Held::default() };
        checked.damages.push(damage);
    }
    checked.segments = surveyed.files.iter().filter(|file| file.exists).count();
    checked.bytes = surveyed.files.iter().map(|file| file.length).sum();
    let sound = || surveyed.files.iter().flat_map(|file| &file.groups);
    checked.groups = sound().count() as u64;
    checked.records = sound().map(|group| group.records).sum();
    checked.gaps = sound().filter(|group| group.is_gap).count() as u64;
    let useless = useless_digests(&journal, &surveyed)?;
    checked.digests_useless = useless.len() as u64;
    let judged = judge(&surveyed);
    checked.torn_bytes = judged.torn_bytes;
    checked.damages.extend(judged.damages.iter().cloned());
    look_at_state(directory, &journal, judged.end, &mut checked);
    if repairing {
        for digest in &useless {
            fs::remove_file(digest).map_err(StoreError::io("remove", digest))?;
        }
    }
    if repairing && !checked.damages.is_empty() {
        let aside = repair(directory, &surveyed, &judged, &checked.damages)?;
        checked.quarantine = Some(aside);
    }
    Ok(checked)
}

/// Whether sled opens, and whether it once knew of more than the journal has now.
fn look_at_state(directory: &Path, journal: &Path, end: Position, checked: &mut Checked) {
    let state = directory.join("state");
    if !state.exists() {
        return;
    }
    // sled panics on some kinds of damage.
    let read = || Keyspace::open(&state, STATE_CACHE_BYTES).and_then(|keyspace| keyspace.meta());
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(Some(meta))) => {
            if meta.checkpoint > end && checked.damages.is_empty() {
                checked.damages.push(Damage {
                    file: path_of(journal, end.segment.max(1)),
                    offset: end.offset.into(),
                    bytes: 0,
                    what: "the journal ends here, and it once was longer",
                    groups: 0,
                    held: Held::default(),
                });
            }
        }
        Ok(Ok(None) | Err(_)) | Err(_) => checked.state_useless = true,
    }
}

const STATE_CACHE_BYTES: u64 = 16 << 20;
