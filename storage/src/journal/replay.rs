//! Every group of every file in order, and where they end.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::group::{ALIGNMENT, announced_bytes};
use crate::journal::spares::{SPARE, SPARES_MAX};
use crate::log::Visit;
use crate::position::Position;
use crate::segment::{Segment, StoreId, id_of, path_of, sync_directory};

/// A journal as it was found on disk.
pub(super) struct Replayed {
    /// Where each file's groups end.
    pub(super) used: BTreeMap<u32, u32>,
    /// The file to append to.
    pub(super) tail: Segment,
    /// The file after it, if it was made already.
    pub(super) next: Option<Segment>,
    /// Of the next group.
    pub(super) number: u64,
    pub(super) cut_bytes: u64,
    pub(super) spares: Vec<PathBuf>,
}

/// Reads the journal in `directory`, or makes an empty one.
pub(super) fn replay(
    directory: &Path,
    store: StoreId,
    segment_bytes: u64,
    visit: &mut Visit<'_>,
) -> Result<Replayed, StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(StoreError::io("make", directory))?;
    if let Some(parent) = directory.parent() {
        sync_directory(parent)?;
    }
    let listing = list(directory, segment_bytes)?;
    let mut walk = Walk { number: None, used: BTreeMap::new(), tail: None, cut_bytes: 0 };
    let mut bytes = Vec::new();
    let mut unused = Vec::new();
    for id in &listing.ids {
        let (segment, found) = Segment::open(directory, *id, true)?;
        if found != store {
            return Err(StoreError::damaged(segment.path(), 0, "it belongs to another store"));
        }
        match walk.read(segment, &mut bytes, visit)? {
            Some(empty) => unused.push(empty),
            None if unused.is_empty() => {}
            None => return Err(missing(directory, *id - 1)),
        }
    }
    let mut unused = unused.into_iter();
    let tail = match walk.tail.or_else(|| unused.next()) {
        Some(tail) => tail,
        None => Segment::make(directory, store, 1, segment_bytes, None)?,
    };
    walk.used.entry(tail.id).or_insert(Segment::FIRST);
    let next = unused.next();
    // More than one file ahead is never made; should there be, they are in the way.
    for extra in unused {
        fs::remove_file(extra.path()).map_err(StoreError::io("remove", extra.path()))?;
    }
    Ok(Replayed {
        used: walk.used,
        tail,
        next,
        number: walk.number.unwrap_or(1),
        cut_bytes: walk.cut_bytes,
        spares: listing.spares,
    })
}

struct Listing {
    ids: Vec<u32>,
    spares: Vec<PathBuf>,
}

fn list(directory: &Path, segment_bytes: u64) -> Result<Listing, StoreError> {
    let mut listing = Listing { ids: Vec::new(), spares: Vec::new() };
    for entry in fs::read_dir(directory).map_err(StoreError::io("list", directory))? {
        let path = entry.map_err(StoreError::io("list", directory))?.path();
        if let Some(id) = id_of(&path) {
            listing.ids.push(id);
        } else if path.extension().is_some_and(|extension| extension == SPARE)
            && listing.spares.len() < SPARES_MAX
            && fs::metadata(&path).is_ok_and(|found| found.len() == segment_bytes)
        {
            listing.spares.push(path);
        } else if path.extension().is_some_and(|extension| extension == "new" || extension == SPARE) {
            // Half made when the last life ended, or of no use.
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
    }
    listing.ids.sort_unstable();
    for (id, next) in listing.ids.iter().zip(listing.ids.iter().skip(1)) {
        if id + 1 != *next {
            return Err(missing(directory, id + 1));
        }
    }
    sync_directory(directory)?;
    Ok(listing)
}

struct Walk {
    /// Of the group that must come next; unknown before the first.
    number: Option<u64>,
    used: BTreeMap<u32, u32>,
    tail: Option<Segment>,
    cut_bytes: u64,
}

impl Walk {
    /// Shows the groups of one file; gives it back if it has none.
    fn read(
        &mut self,
        segment: Segment,
        bytes: &mut Vec<u8>,
        visit: &mut Visit<'_>,
    ) -> Result<Option<Segment>, StoreError> {
        let length = usize::try_from(segment.capacity).unwrap_or(usize::MAX);
        segment.read(0, length, bytes)?;
        let first = Segment::FIRST as usize;
        let mut at = first;
        while let Some(found) = segment.look(bytes, at)? {
            if *self.number.get_or_insert(found.number) != found.number {
                return Err(StoreError::damaged(
                    segment.path(),
                    at as u64,
                    "groups are missing before this one",
                ));
            }
            for (distance, record) in found.records() {
                visit(Position { segment: segment.id, offset: (at + distance) as u32 }, record)?;
            }
            self.number = Some(found.number + found.numbers);
            at += found.size;
        }
        self.look_behind(&segment, bytes, at)?;
        if at == first {
            return Ok(Some(segment));
        }
        self.used.insert(segment.id, at as u32);
        let torn = announced_bytes(bytes.get(at..).unwrap_or_default(), segment.salt).unwrap_or(0);
        self.cut_bytes = torn.min(length.saturating_sub(at)) as u64;
        self.tail = Some(segment);
        Ok(None)
    }

    /// No group starts at `at`. That is the end, unless a later group knows that there was one.
    fn look_behind(&self, segment: &Segment, bytes: &[u8], at: usize) -> Result<(), StoreError> {
        let expected = self.number.unwrap_or(0);
        let mut unsynced = false;
        for later in places_behind(bytes, at) {
            if let Some(found) = segment.look(bytes, later)? {
                if found.synced >= expected {
                    return Err(StoreError::damaged(segment.path(), at as u64, "a group fails its checksum"));
                }
                unsynced = true;
            }
        }
        if unsynced {
            // Written before the crash behind a group that did not make it. It must not come back to life when the
            // groups to come happen to end where it starts.
            let zeros = vec![0; bytes.len().saturating_sub(at)];
            segment.write(&zeros, at as u64)?;
            segment.sync()?;
        }
        Ok(())
    }
}

/// Where behind `at` a later group could start. No group starts in a stretch of nothing but zeros, and behind the end of a
/// file that was made ahead there is little else: to compare such a stretch at once is far faster than to look at each of
/// its places.
pub(crate) fn places_behind(bytes: &[u8], at: usize) -> impl Iterator<Item = usize> + '_ {
    let start = (at + ALIGNMENT).min(bytes.len());
    let stretches = bytes.get(start..).unwrap_or_default().chunks(STRETCH_BYTES).enumerate();
    stretches.filter(|(_, stretch)| ZEROS.get(..stretch.len()) != Some(*stretch)).flat_map(
        move |(index, stretch)| {
            let from = start + index * STRETCH_BYTES;
            (from..from + stretch.len()).step_by(ALIGNMENT)
        },
    )
}

/// Whole places, so that each stretch starts at one.
const STRETCH_BYTES: usize = 512 * ALIGNMENT;
static ZEROS: [u8; STRETCH_BYTES] = [0; STRETCH_BYTES];

fn missing(directory: &Path, id: u32) -> StoreError {
    StoreError::damaged(&path_of(directory, id), 0, "the file is missing or empty, and there are later ones")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_that_is_not_zero_is_looked_at_and_no_stretch_of_zeros() {
        let at = 64;
        let length = 5 * STRETCH_BYTES + 24;
        for marked in (at + ALIGNMENT..length).step_by(ALIGNMENT) {
            let mut bytes = vec![0; length];
            // Of all that a group starts with, the first byte alone.
            bytes[marked] = b'D';
            let places: Vec<usize> = places_behind(&bytes, at).collect();
            assert!(places.contains(&marked), "{marked} is passed over");
            assert!(places.len() <= STRETCH_BYTES / ALIGNMENT, "{} places for one byte", places.len());
            assert!(places.iter().all(|place| place % ALIGNMENT == 0 && *place > at), "{places:?}");
        }
        assert_eq!(places_behind(&vec![0; length], at).count(), 0);
        assert_eq!(places_behind(&[1; 8], 8).count(), 0);
    }
}
