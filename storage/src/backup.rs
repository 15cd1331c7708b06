//! Backup: the journal up to a moment, copied while it goes on; and the way back.
//!
//! Groups are written one after the other and are there as a whole or not at all, so the groups of a copy that follow each
//! other without a gap are the store at a moment: everything that was acknowledged before the copy began, and no half of
//! anything. sled is not copied; it is filled again from the journal. Each vhost has a store of its own, and so a moment of its own.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::check::{Checked, check};
use crate::directory::FORMAT;
use crate::error::StoreError;
use crate::group::{Look, look};
use crate::segment::{HEADER_BYTES, Segment, id_of, path_of, read_header, sync_directory};
use crate::vhosts::VhostPlaces;

/// Copies the store in `from`, which may be open, to `to`, which must be empty or not there. Every group of the copy has
/// been read again and checked when this returns.
///
/// # Errors
///
/// There is no store; `to` has something in it; the store is damaged; what the system says.
pub fn backup(from: &Path, to: &Path) -> Result<Checked, StoreError> {
    if !from.join(FORMAT).exists() {
        return Err(StoreError::NoStore { directory: from.to_path_buf() });
    }
    make_empty(to)?;
    let mut vhosts = Checked::default();
    copy_vhosts(from, to, backup, &mut vhosts)?;
    let mut left = ATTEMPTS;
    loop {
        copy_journal(&from.join("journal"), &to.join("journal"))?;
        copy_format(from, to)?;
        let mut checked = check(to, false)?;
        left -= 1;
        match checked.damages.first() {
            None => {
                add(&mut checked, &vhosts);
                return Ok(checked);
            }
            // A file that was begun in the middle of it may be ahead of the one before it.
            Some(_) if left > 0 => {
                let journal = to.join("journal");
                fs::remove_dir_all(&journal).map_err(StoreError::io("remove", &journal))?;
            }
            Some(damage) => {
                return Err(StoreError::damaged(&damage.file, damage.offset, damage.what));
            }
        }
    }
}

/// Puts a backup where a broker is to find it: in `to`, which must be empty or not there.
///
/// # Errors
///
/// As [`backup`].
pub fn restore(from: &Path, to: &Path) -> Result<Checked, StoreError> {
    let mut checked = check(from, false)?;
    if let Some(damage) = checked.damages.first() {
        return Err(StoreError::damaged(&damage.file, damage.offset, damage.what));
    }
    make_empty(to)?;
    copy_vhosts(from, to, restore, &mut checked)?;
    copy_journal(&from.join("journal"), &to.join("journal"))?;
    // Last: without it nobody opens what is not complete.
    copy_format(from, to)?;
    Ok(checked)
}

/// Those of all vhosts, each as `copy` does it, before that of the default one: without that nobody opens what is not complete.
fn copy_vhosts(
    from: &Path,
    to: &Path,
    copy: fn(&Path, &Path) -> Result<Checked, StoreError>,
    sum: &mut Checked,
) -> Result<(), StoreError> {
    let (there, here) = (VhostPlaces::of(from), VhostPlaces::of(to));
    for name in there.names()? {
        let limits = match there.read(&name) {
            Ok(limits) => limits,
            // Deleted meanwhile.
            Err(_) if !there.directory(&name).exists() => continue,
            Err(error) => return Err(error),
        };
        match copy(&there.directory(&name), &here.directory(&name)) {
            Ok(checked) => add(sum, &checked),
            // It was made, and never opened.
            Err(StoreError::NoStore { .. }) => {}
            Err(error) => return Err(error),
        }
        here.write(&name, &limits)?;
    }
    Ok(())
}

fn add(sum: &mut Checked, more: &Checked) {
    sum.segments += more.segments;
    sum.bytes += more.bytes;
    sum.groups += more.groups;
    sum.records += more.records;
}

fn make_empty(directory: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(StoreError::io("make", directory))?;
    let mut entries = fs::read_dir(directory).map_err(StoreError::io("list", directory))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(StoreError::NotEmpty { directory: directory.to_path_buf() }),
    }
}

/// In ascending order, until there is no new file: what is alive of one that was given up meanwhile is in a later one.
fn copy_journal(from: &Path, to: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(StoreError::io("make", to))?;
    let mut next = 0;
    loop {
        let mut ids: Vec<u32> = Vec::new();
        for entry in fs::read_dir(from).map_err(StoreError::io("list", from))? {
            ids.extend(id_of(&entry.map_err(StoreError::io("list", from))?.path()));
        }
        ids.retain(|id| *id >= next);
        let Some(id) = ids.into_iter().min() else { break };
        if !copy_file(from, to, id)? {
            // Given up, and everything before it.
            for gone in 0..=id {
                let _ = fs::remove_file(path_of(to, gone));
            }
        }
        next = id + 1;
    }
    sync_directory(to)
}

/// Copies what is whole of a file, from its start. `false`: it was given up meanwhile, and may be another by now.
fn copy_file(from: &Path, to: &Path, id: u32) -> Result<bool, StoreError> {
    let (source, target) = (path_of(from, id), path_of(to, id));
    let number = |path: &Path| fs::metadata(path).map(|found| found.ino()).ok();
    let before = number(&source);
    let Ok(mut bytes) = fs::read(&source) else { return Ok(false) };
    if before.is_none() || number(&source) != before {
        return Ok(false);
    }
    let start = bytes.first_chunk::<HEADER_BYTES>().unwrap_or(&[0; HEADER_BYTES]);
    let (_, salt) = read_header(&source, id, start)?;
    let mut end = Segment::FIRST as usize;
    while let Look::Group(found) = look(bytes.get(end..).unwrap_or_default(), salt) {
        end += found.size;
    }
    // What is behind was being written, and nobody was told of it.
    let length = bytes.len();
    bytes.truncate(end);
    bytes.resize(length, 0);
    write(&target, &bytes)?;
    Ok(true)
}

fn copy_format(from: &Path, to: &Path) -> Result<(), StoreError> {
    let path = from.join(FORMAT);
    let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
    write(&to.join(FORMAT), &bytes)?;
    sync_directory(to)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::io("make", path))?;
    file.write_all(bytes).map_err(StoreError::io("write", path))?;
    file.sync_all().map_err(StoreError::io("sync", path))
}

const ATTEMPTS: u32 = 5;
