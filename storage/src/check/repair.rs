//! Damaged files are put aside, and sound copies take their place.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::check::damage::Damage;
use crate::check::judge::{Judged, Plan};
use crate::check::survey::{FileFound, Surveyed};
use crate::digest::SUFFIX as DIGEST;
use crate::directory::{FORMAT, read_format, write_format};
use crate::error::StoreError;
use crate::group::{ALIGNMENT, HEADER_BYTES as GROUP_BYTES, gap};
use crate::segment::{HEADER_BYTES, StoreId, header, sync_directory};

/// Repairs what was judged. Returns where the damaged files are now.
pub(super) fn repair(
    directory: &Path,
    surveyed: &Surveyed,
    judged: &Judged,
    damages: &[Damage],
) -> Result<PathBuf, StoreError> {
    let aside = make_aside(directory)?;
    let Some(store) = surveyed.store else {
        let path = directory.join(FORMAT);
        let what = "nothing in this directory says which store it was";
        return Err(StoreError::damaged(&path, 0, what));
    };
    note(&aside, damages)?;
    // The end of the journal may be gone: the file stays where it is, so what is kept of it is a copy.
    if judged.damages.is_empty() {
        for damage in damages.iter().filter(|damage| damage.file.exists()) {
            let name = damage.file.file_name().unwrap_or_default();
            let kept = aside.join(name);
            fs::copy(&damage.file, &kept).map_err(StoreError::io("copy", &damage.file))?;
        }
    }
    let state = directory.join("state");
    if state.exists() {
        fs::rename(&state, aside.join("state")).map_err(StoreError::io("rename", &state))?;
    }
    sync_directory(&aside)?;
    sync_directory(directory)?;
    let usual = surveyed.files.iter().map(|file| file.length).max().unwrap_or(0);
    for (file, plan) in surveyed.files.iter().zip(&judged.plans) {
        // What was left out of it may be gone from where it was.
        match fs::remove_file(file.path.with_extension(DIGEST)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove the digest of", &file.path)(error));
            }
            Ok(()) | Err(_) => {}
        }
        if plan.drop {
            fs::rename(&file.path, aside.join(name_of(&file.path)))
                .map_err(StoreError::io("rename", &file.path))?;
        } else if plan.new_header || !plan.gaps.is_empty() {
            replace(store, file, plan, usual, &aside)?;
        }
    }
    if matches!(read_format(directory), Err(StoreError::Damaged { .. })) {
        let format = directory.join(FORMAT);
        if format.exists() {
            fs::rename(&format, aside.join(FORMAT)).map_err(StoreError::io("rename", &format))?;
        }
        write_format(directory, store)?;
    }
    sync_directory(&aside)?;
    if let Some(journal) = surveyed.files.first().and_then(|file| file.path.parent()) {
        sync_directory(journal)?;
    }
    Ok(aside)
}

/// What stands between the damage goes into a new file, which takes the place of the old one in one step.
fn replace(
    store: StoreId,
    file: &FileFound,
    plan: &Plan,
    usual: u64,
    aside: &Path,
) -> Result<(), StoreError> {
    let mut bytes = if file.exists {
        fs::read(&file.path).map_err(StoreError::io("read", &file.path))?
    } else {
        Vec::new()
    };
    let mut length = bytes.len().max(HEADER_BYTES);
    if !file.exists {
        length = length.max(usize::try_from(usual).unwrap_or(length));
    }
    bytes.resize(length, 0);
    put(&mut bytes, 0, &header(store, file.id, file.salt));
    for missing in &plan.gaps {
        let from = usize::try_from(missing.from).unwrap_or(usize::MAX);
        let to = missing.to.map(|to| usize::try_from(to).unwrap_or(usize::MAX));
        let end = to.unwrap_or(from + GROUP_BYTES.next_multiple_of(ALIGNMENT));
        if to.is_none() {
            // Nothing of what is behind the last sound group may look like one later on.
            bytes.truncate(from);
            bytes.resize(length.max(end), 0);
        }
        put(&mut bytes, from, &gap(missing.number, missing.numbers, end - from, file.salt));
    }
    let draft = file.path.with_extension("repaired");
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(StoreError::io("make", &draft))?;
    out.write_all(&bytes).map_err(StoreError::io("write", &draft))?;
    out.sync_all().map_err(StoreError::io("sync", &draft))?;
    if file.exists {
        let kept = aside.join(name_of(&file.path));
        // Another name for the same file: it is never without one.
        fs::hard_link(&file.path, &kept)
            .or_else(|_| fs::copy(&file.path, &kept).map(drop))
            .map_err(StoreError::io("put aside", &file.path))?;
        sync_directory(aside)?;
    }
    fs::rename(&draft, &file.path).map_err(StoreError::io("rename", &draft))
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + what.len()) {
        place.copy_from_slice(what);
    }
}

fn name_of(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}

/// A folder that is not there yet, below `quarantine/`.
fn make_aside(directory: &Path) -> Result<PathBuf, StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let above = directory.join("quarantine");
    let aside = (0..).map(|again| above.join(format!("{now}-{again}"))).find(|path| !path.exists());
    let aside = aside.unwrap_or_else(|| above.join("last"));
    DirBuilder::new().recursive(true).mode(0o700).create(&aside).map_err(StoreError::io("make", &aside))?;
    sync_directory(&above)?;
    sync_directory(directory)?;
    Ok(aside)
}

/// What was lost, beside what is left of it.
fn note(aside: &Path, damages: &[Damage]) -> Result<(), StoreError> {
    let path = aside.join("damage.txt");
    let text: String = damages.iter().map(|damage| format!("{damage}\n")).collect();
    fs::write(&path, text).map_err(StoreError::io("write", &path))
}
