//! Every group of every file in order, or what it adds up to, and where they end.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::digest::{Digest, Heading, ReadRecord, digest_path, is_digest, read_digest};
use crate::error::StoreError;
use crate::group::{ALIGNMENT, HEADER_BYTES, announced_bytes};
use crate::journal::fetch::fetch;
use crate::journal::sealed::Verifier;
use crate::journal::spares::{SPARE, SPARES_MAX};
use crate::log::Seen;
use crate::position::Position;
use crate::segment::{Segment, StoreId, id_of, path_of, sync_directory};

/// A journal as it was found on disk.
pub(super) struct Replayed {
    /// Where each file's groups end.
    pub(super) used: BTreeMap<u32, u32>,
    /// How many bytes the digests take that were believed.
    pub(super) digests: BTreeMap<u32, u64>,
    /// The file to append to.
    pub(super) tail: Segment,
    /// The file after it, if it was made already.
    pub(super) next: Option<Segment>,
    /// Of the next group.
    pub(super) number: u64,
    pub(super) cut_bytes: u64,
    pub(super) spares: Vec<PathBuf>,
}

/// Something of a journal.
pub(crate) enum Shown<'a> {
    /// A record, and where it lies.
    Record(Position, &'a [u8]),
    /// What all records of a segment add up to, and how one of them is read.
    Digest(&'a Heading, &'a Digest, &'a mut ReadRecord<'a>),
}

/// Sees all of a journal, in order.
pub(crate) type Show<'a> = dyn FnMut(Shown<'_>) -> Result<(), StoreError> + 'a;

/// Reads the journal in `directory`, or makes an empty one.
pub(super) struct Replay<'a> {
    pub(super) directory: &'a Path,
    pub(super) store: StoreId,
    pub(super) segment_bytes: u64,
    pub(super) verifier: &'a Verifier,
}

impl Replay<'_> {
    pub(super) fn run(&self, show: &mut Show<'_>) -> Result<Replayed, StoreError> {
        let Self { directory, store, segment_bytes, verifier } = *self;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(StoreError::io("make", directory))?;
        if let Some(parent) = directory.parent() {
            sync_directory(parent)?;
        }
        let listing = list(directory, segment_bytes)?;
        let last = self.last_begun(&listing.ids)?;
        let mut walk = Walk { number: None, used: BTreeMap::new(), tail: None, cut_bytes: 0 };
        let mut digests = BTreeMap::new();
        let (mut bytes, mut unused) = (Vec::new(), Vec::new());
        for id in &listing.ids {
            let segment = self.open(*id)?;
            // Whatever follows the last one is still to be written, perhaps into that one.
            if *id < last
                && unused.is_empty()
                && let Some((heading, digest)) = self.believed(&walk, &segment)
            {
                walk.take(&segment, &heading, &digest, show)?;
                digests.insert(*id, fs::metadata(digest_path(directory, *id)).map_or(1, |found| found.len()));
                verifier.push(segment, heading);
                continue;
            }
            match walk.read(segment, &mut bytes, show)? {
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
            digests,
            tail,
            next,
            number: walk.number.unwrap_or(1),
            cut_bytes: walk.cut_bytes,
            spares: listing.spares,
        })
    }

    fn open(&self, id: u32) -> Result<Segment, StoreError> {
        let (segment, found) = Segment::open(self.directory, id, true)?;
        if found == self.store {
            Ok(segment)
        } else {
            Err(StoreError::damaged(segment.path(), 0, "it belongs to another store"))
        }
    }

    /// The last file that has a group.
    fn last_begun(&self, ids: &[u32]) -> Result<u32, StoreError> {
        let mut bytes = Vec::new();
        for id in ids.iter().rev() {
            let segment = self.open(*id)?;
            let left = segment.capacity.saturating_sub(Segment::FIRST.into());
            let head = usize::try_from(left).unwrap_or(HEADER_BYTES).min(HEADER_BYTES);
            segment.read(Segment::FIRST.into(), head, &mut bytes)?;
            let Some(size) = announced_bytes(&bytes, segment.salt).filter(|size| *size as u64 <= left) else {
                continue;
            };
            segment.read(Segment::FIRST.into(), size, &mut bytes)?;
            if segment.look(&bytes, 0)?.is_some() {
                return Ok(*id);
            }
        }
        Ok(0)
    }

    /// Its digest, as far as it and what came before it say that it may be believed.
    fn believed(&self, walk: &Walk, segment: &Segment) -> Option<(Heading, Digest)> {
        match read_digest(self.directory, segment.id) {
            Ok(Some((heading, digest))) => {
                let is_its = heading.segment == segment.id
                    && (heading.store, heading.salt) == (self.store, segment.salt)
                    && u64::from(heading.used) <= segment.capacity
                    && walk.number.is_none_or(|number| number == heading.first);
                is_its.then_some((heading, digest))
            }
            Ok(None) => None,
            Err(why) => {
                let file = digest_path(self.directory, segment.id);
                // The records say the same.
                tracing::warn!(file = %file.display(), why, "store.digest_useless");
                None
            }
        }
    }
}

struct Listing {
    ids: Vec<u32>,
    spares: Vec<PathBuf>,
}

fn list(directory: &Path, segment_bytes: u64) -> Result<Listing, StoreError> {
    let mut listing = Listing { ids: Vec::new(), spares: Vec::new() };
    let mut digests = Vec::new();
    for entry in fs::read_dir(directory).map_err(StoreError::io("list", directory))? {
        let path = entry.map_err(StoreError::io("list", directory))?.path();
        if let Some(id) = id_of(&path) {
            listing.ids.push(id);
        } else if is_digest(&path) {
            digests.push(path);
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
    // Half made, or of a segment that was given up.
    let of_some = |path: &PathBuf| listing.ids.iter().any(|id| digest_path(directory, *id) == *path);
    for path in digests.iter().filter(|path| !of_some(path)) {
        fs::remove_file(path).map_err(StoreError::io("remove", path))?;
    }
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
    /// Shows what the records of one file add up to.
    fn take(
        &mut self,
        segment: &Segment,
        heading: &Heading,
        digest: &Digest,
        show: &mut Show<'_>,
    ) -> Result<(), StoreError> {
        let mut read = |offset| {
            let (wanted, mut record) = ([Position { segment: segment.id, offset }], Vec::new());
            fetch(segment, heading.used, &wanted, &mut None, &mut |_, found| {
                record.extend_from_slice(found);
                Ok(Seen::Enough)
            })?;
            Ok(record)
        };
        show(Shown::Digest(heading, digest, &mut read))?;
        self.number = Some(heading.next);
        self.used.insert(segment.id, heading.used);
        Ok(())
    }

    /// Shows the groups of one file; gives it back if it has none.
    fn read(
        &mut self,
        segment: Segment,
        bytes: &mut Vec<u8>,
        show: &mut Show<'_>,
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
                let at = Position { segment: segment.id, offset: (at + distance) as u32 };
                show(Shown::Record(at, record))?;
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
