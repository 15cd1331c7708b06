//! Undone: what of a disk is gone after a power cut, by the log of durability/shim/faults.c.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::dice::Dice;

/// How much of what was not synced is gone. Whatever was synced stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    All,
    /// Whatever came after some moment; the last write that is left is torn.
    Suffix,
    /// Of each sector as much as it happens: writeback has no order.
    Sectors,
}

impl Extent {
    /// One of them.
    pub fn any(dice: &mut Dice) -> Self {
        match dice.below(4) {
            0 | 1 => Self::All,
            2 => Self::Suffix,
            _ => Self::Sectors,
        }
    }
}

/// One entry of the log.
#[derive(Debug, Clone)]
struct Entry {
    kind: u64,
    number: u64,
    file: u64,
    offset: u64,
    length: u64,
    old_size: u64,
    path: String,
    /// The bytes that were there, or where what was removed is kept.
    old: Vec<u8>,
}

/// Undoes it in the files below `data`, and gives how many changes were undone. The log must be that of a process that has ended.
pub(crate) fn undo(log: &Path, data: &Path, extent: Extent, dice: &mut Dice) -> Result<usize> {
    let entries = read(&fs::read(log).unwrap_or_default())?;
    let mut undone = 0;
    let files = files(data)?;
    let changes = open_changes(&entries);
    // What lasts stays anyway, so the moment is one of those at which something happened that does not.
    let open: Vec<u64> =
        changes.values().flatten().filter(|(_, lasts)| !lasts).map(|(it, _)| it.number).collect();
    let moment = usize::try_from(dice.below(open.len() as u64))
        .ok()
        .and_then(|at| open.get(at))
        .map_or(0, |number| number.saturating_sub(1));
    for (file, changes) in changes {
        // One that was removed, and nobody keeps, matters to nobody.
        let Some(path) = files.get(&file) else { continue };
        let handle = OpenOptions::new().read(true).write(true).open(path)?;
        undone += undo_bytes(&handle, &changes, extent, moment, dice)?;
    }
    Ok(undone + undo_names(&entries, extent, moment, dice)?)
}

/// Cuts the log into entries. The last may be half there: then what it stands for had not happened.
fn read(mut bytes: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
        let mut words = head.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
        let mut word = || words.next().unwrap_or(0);
        let [kind, number, file, offset, length, old_size, path, old] = std::array::from_fn(|_| word());
        ensure!((WRITTEN..=FOLDER_SYNCED).contains(&kind), "the log of the faults is damaged");
        let size = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
        let Some((path, rest)) = rest.split_at_checked(size(path)) else { break };
        let zeros = old == ZEROS;
        let Some((old, rest)) = rest.split_at_checked(if zeros { 0 } else { size(old) }) else { break };
        let path = String::from_utf8(path.to_vec())?;
        entries.push(Entry { kind, number, file, offset, length, old_size, path, old: old.to_vec() });
        bytes = rest;
    }
    Ok(entries)
}

/// By inode.
fn files(data: &Path) -> Result<HashMap<u64, PathBuf>> {
    let mut found = HashMap::new();
    let mut folders = vec![data.to_owned(), kept(data)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.insert(entry.metadata()?.ino(), entry.path());
            }
        }
    }
    Ok(found)
}

/// What happened to each file, in order, and whether it lasts.
fn open_changes(entries: &[Entry]) -> BTreeMap<u64, Vec<(&Entry, bool)>> {
    let mut files: BTreeMap<u64, Vec<(&Entry, bool)>> = BTreeMap::new();
    // Until which number a failed fsync has dropped what was not yet on disk.
    let mut lost: HashMap<u64, u64> = HashMap::new();
    for entry in entries {
        let changes = files.entry(entry.file).or_default();
        match entry.kind {
            WRITTEN | SIZED => changes.push((entry, false)),
            SYNCED => {
                let lost = lost.get(&entry.file).copied().unwrap_or(0);
                for (change, lasts) in changes {
                    *lasts |= change.number <= entry.length && change.number > lost;
                }
            }
            LOST => {
                lost.insert(entry.file, entry.length);
            }
            _ => {}
        }
    }
    files
}

fn undo_bytes(
    file: &File,
    changes: &[(&Entry, bool)],
    extent: Extent,
    moment: u64,
    dice: &mut Dice,
) -> Result<usize> {
    let size = file.metadata()?.len();
    let mut sectors: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, (change, _)) in changes.iter().enumerate() {
        if change.length > 0 {
            let last = (change.offset + change.length - 1) / SECTOR;
            (change.offset / SECTOR..=last).for_each(|sector| sectors.entry(sector).or_default().push(index));
        }
    }
    let mut undone = 0;
    for (sector, touching) in sectors {
        let lasting = touching.iter().rposition(|index| changes.get(*index).is_some_and(|(_, lasts)| *lasts));
        // What came before a write that lasts went to the disk with its sector.
        let open = touching.get(lasting.map_or(0, |last| last + 1)..).unwrap_or_default();
        let keep = match extent {
            Extent::All => 0,
            Extent::Suffix => open
                .iter()
                .filter(|index| changes.get(**index).is_some_and(|(change, _)| change.number <= moment))
                .count(),
            Extent::Sectors => usize::try_from(dice.below(open.len() as u64 + 1))?,
        };
        for index in open.iter().skip(keep).rev() {
            if let Some((change, _)) = changes.get(*index) {
                restore(file, change, sector * SECTOR..(sector + 1) * SECTOR)?;
                undone += 1;
            }
        }
        // The last one that is left is torn, somewhere between the small sectors of old disks.
        if extent != Extent::All
            && let Some((change, _)) =
                keep.checked_sub(1).and_then(|at| open.get(at)).and_then(|at| changes.get(*at))
            && dice.chance(20)
        {
            let from = sector * SECTOR + dice.below(8) * 512;
            restore(file, change, from..(sector + 1) * SECTOR)?;
            undone += 1;
        }
    }
    file.set_len(old_size(changes, extent, moment, dice)?.unwrap_or(size))?;
    Ok(undone)
}

/// Puts back what that change overwrote within the range.
fn restore(file: &File, change: &Entry, range: std::ops::Range<u64>) -> Result<()> {
    let start = change.offset.max(range.start);
    let end = (change.offset + change.length).min(range.end);
    let index = |at: u64| usize::try_from(at.saturating_sub(change.offset));
    // Where nothing was, there are zeros.
    let mut old: Vec<u8> = change.old.get(index(start)?..).unwrap_or_default().to_vec();
    old.resize(usize::try_from(end.saturating_sub(start))?, 0);
    Ok(file.write_all_at(&old, start)?)
}

/// Its size, if that goes back.
fn old_size(changes: &[(&Entry, bool)], extent: Extent, moment: u64, dice: &mut Dice) -> Result<Option<u64>> {
    let lasting = changes.iter().rposition(|(_, lasts)| *lasts).map_or(0, |last| last + 1);
    let open: Vec<&Entry> = changes.iter().skip(lasting).map(|(change, _)| *change).collect();
    let keep = match extent {
        Extent::All => 0,
        Extent::Suffix => open.iter().filter(|change| change.number <= moment).count(),
        Extent::Sectors => usize::try_from(dice.below(open.len() as u64 + 1))?,
    };
    Ok(open.get(keep).map(|change| change.old_size))
}

/// Names of files, made, changed and removed: in each folder in their order.
fn undo_names(entries: &[Entry], extent: Extent, moment: u64, dice: &mut Dice) -> Result<usize> {
    let mut folders: BTreeMap<PathBuf, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        let path = PathBuf::from(entry.path.split('\n').next_back().unwrap_or_default());
        match entry.kind {
            MADE | RENAMED | REMOVED => {
                folders.entry(path.parent().unwrap_or(&path).to_owned()).or_default().push(entry);
            }
            FOLDER_SYNCED => {
                folders.entry(path).or_default().retain(|change| change.number > entry.length);
            }
            _ => {}
        }
    }
    let mut undone = 0;
    for changes in folders.values() {
        let keep = match extent {
            Extent::All => 0,
            Extent::Suffix => changes.iter().filter(|change| change.number <= moment).count(),
            Extent::Sectors => usize::try_from(dice.below(changes.len() as u64 + 1))?,
        };
        for change in changes.iter().skip(keep).rev() {
            undo_name(change)?;
            undone += 1;
        }
    }
    Ok(undone)
}

fn undo_name(change: &Entry) -> Result<()> {
    let kept = String::from_utf8(change.old.clone())?;
    match (change.kind, change.path.split_once('\n')) {
        (RENAMED, Some((from, to))) => {
            // It may have been removed since, and its name not have come back.
            let _ = fs::rename(to, from);
            if !kept.is_empty() {
                fs::rename(&kept, to)?;
            }
        }
        // Its folder may be gone since.
        (REMOVED, _) => drop(fs::rename(&kept, &change.path)),
        // It may have been removed since.
        _ => drop(fs::remove_file(&change.path)),
    }
    Ok(())
}

/// Where the library keeps what was removed, beside the data.
pub(crate) fn kept(data: &Path) -> PathBuf {
    data.with_extension("kept")
}

const HEAD_BYTES: usize = 64;
const ZEROS: u64 = u64::MAX;
const SECTOR: u64 = 4096;

// As in shim/faults.c.
const WRITTEN: u64 = 1;
const SIZED: u64 = 2;
const SYNCED: u64 = 3;
const LOST: u64 = 4;
const MADE: u64 = 5;
const RENAMED: u64 = 6;
const REMOVED: u64 = 7;
const FOLDER_SYNCED: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_takes_what_was_not_synced_and_nothing_else() -> Result<()> {
        let disk = Scratch::new(b"ABCD")?;
        disk.log(&[(WRITTEN, 1, 0, 4, b"...."), (SYNCED, 2, 0, 1, b""), (WRITTEN, 3, 1, 2, b"bc")])?;
        assert_eq!(disk.undone(Extent::All)?, b"AbcD");
        Ok(())
    }

    #[test]
    fn of_a_file_that_grew_nothing_is_left() -> Result<()> {
        let disk = Scratch::new(b"ABCD")?;
        disk.log(&[(WRITTEN, 1, 0, 4, b"")])?;
        assert_eq!(disk.undone(Extent::All)?, b"");
        Ok(())
    }

    #[test]
    fn a_failed_sync_loses_what_it_was_for_though_the_next_one_succeeds() -> Result<()> {
        let disk = Scratch::new(b"ABCD")?;
        disk.log(&[(WRITTEN, 1, 0, 4, b"abcd"), (LOST, 2, 0, 1, b""), (SYNCED, 3, 0, 2, b"")])?;
        assert_eq!(disk.undone(Extent::All)?, b"abcd");
        Ok(())
    }

    #[test]
    fn later_writes_never_come_back_older_than_those_that_stay() -> Result<()> {
        // "1", then "2", then "3": each of them may be what the power cut leaves, whatever the dice say.
        for seed in 0..50 {
            let disk = Scratch::new(b"3")?;
            disk.log(&[(WRITTEN, 1, 0, 1, b"1"), (WRITTEN, 2, 0, 1, b"2")])?;
            for extent in [Extent::Suffix, Extent::Sectors] {
                fs::write(disk.data().join("file"), b"3")?;
                undo(&disk.folder.path().join("log"), &disk.data(), extent, &mut Dice::new(seed))?;
                let left = fs::read(disk.data().join("file"))?;
                assert!([&b"1"[..], b"2", b"3"].contains(&left.as_slice()), "{left:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_name_lasts_when_its_folder_was_synced() -> Result<()> {
        let disk = Scratch::new(b"x")?;
        let path = disk.data().join("file").display().to_string();
        disk.put(&entry(MADE, 1, 0, 0, &path))?;
        disk.put(&entry(FOLDER_SYNCED, 2, 0, 1, &disk.data().display().to_string()))?;
        undo(&disk.folder.path().join("log"), &disk.data(), Extent::All, &mut Dice::new(1))?;
        assert!(disk.data().join("file").exists());
        disk.put(&entry(MADE, 3, 0, 0, &path))?;
        undo(&disk.folder.path().join("log"), &disk.data(), Extent::All, &mut Dice::new(1))?;
        assert!(!disk.data().join("file").exists());
        Ok(())
    }

    /// A data directory with one file, and a log.
    struct Scratch {
        folder: tempfile::TempDir,
        file: u64,
    }

    impl Scratch {
        fn new(content: &[u8]) -> Result<Self> {
            let folder = tempfile::tempdir()?;
            let data = folder.path().join("data");
            fs::create_dir_all(&data)?;
            fs::create_dir_all(kept(&data))?;
            fs::write(data.join("file"), content)?;
            let file = fs::metadata(data.join("file"))?.ino();
            Ok(Self { folder, file })
        }

        fn data(&self) -> PathBuf {
            self.folder.path().join("data")
        }

        /// Kind, number, offset, length, and what was there.
        fn log(&self, entries: &[(u64, u64, u64, u64, &[u8])]) -> Result<()> {
            for (kind, number, offset, length, old) in entries {
                let mut words = vec![*kind, *number, self.file, *offset, *length];
                let size = if old.is_empty() { 0 } else { fs::metadata(self.data().join("file"))?.len() };
                words.extend([size, 0, old.len() as u64]);
                let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
                bytes.extend_from_slice(old);
                self.put(&bytes)?;
            }
            Ok(())
        }

        fn put(&self, bytes: &[u8]) -> Result<()> {
            use std::io::Write;
            let log = OpenOptions::new().append(true).create(true).open(self.folder.path().join("log"));
            Ok(log?.write_all(bytes)?)
        }

        fn undone(&self, extent: Extent) -> Result<Vec<u8>> {
            undo(&self.folder.path().join("log"), &self.data(), extent, &mut Dice::new(1))?;
            Ok(fs::read(self.data().join("file"))?)
        }
    }

    fn entry(kind: u64, number: u64, offset: u64, length: u64, path: &str) -> Vec<u8> {
        let words = [kind, number, 0, offset, length, 0, path.len() as u64, 0];
        words.into_iter().flat_map(u64::to_le_bytes).chain(path.bytes()).collect()
    }
}
