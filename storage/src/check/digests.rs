//! Whether the digests say what the records do.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use model::change::Place;

use crate::check::survey::{FileFound, Surveyed};
use crate::digest::{Digest, Lying, digest_path, read_digest};
use crate::error::StoreError;
use crate::journal::sealed::heading_of;
use crate::log::Seen;
use crate::position::Position;
use crate::record::{Item, Items};
use crate::seal::Seal;
use crate::segment::Segment;

/// Those that would not be believed, or should not.
pub(super) fn useless_digests(journal: &Path, surveyed: &Surveyed) -> Result<Vec<PathBuf>, StoreError> {
    let mut useless = Vec::new();
    for file in &surveyed.files {
        let path = digest_path(journal, file.id);
        if path.exists() && !is_true(journal, surveyed, file)? {
            useless.push(path);
        }
    }
    Ok(useless)
}

fn is_true(journal: &Path, surveyed: &Surveyed, file: &FileFound) -> Result<bool, StoreError> {
    let (Ok(Some((heading, digest))), None) = (read_digest(journal, file.id), file.header) else {
        return Ok(false);
    };
    let (segment, store) = Segment::open(journal, file.id, false)?;
    let end = file.groups.last().map_or(u64::from(Segment::FIRST), |group| group.at + group.size);
    let end = u32::try_from(end).unwrap_or(u32::MAX);
    let found = heading_of(&segment, store, end, heading.through);
    // A damaged segment is told of by itself.
    if !found.is_ok_and(|found| found == heading) {
        return Ok(false);
    }
    let mut again = Again { seal: Seal::new(store.0, true), enqueued: HashSet::new() };
    let mut whole = true;
    segment.each_group(Segment::FIRST, end, &mut |at, _, group| {
        for (distance, record) in group.records() {
            let position = Position { segment: file.id, offset: at + distance as u32 };
            whole &= again.take(surveyed, position, record) == Some(Seen::More);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(whole && again.agrees(&digest))
}

/// The digest made again, of what is alive by now.
struct Again {
    seal: Seal,
    /// All places in the segment, alive or not.
    enqueued: HashSet<(Place, u32)>,
}

impl Again {
    fn take(&mut self, surveyed: &Surveyed, at: Position, record: &[u8]) -> Option<Seen> {
        self.seal.take(&surveyed.queues, at, record).ok()?;
        let mut items = Items::of(record).ok()?;
        while let Some(item) = items.next().ok()? {
            if let Item::Enqueue { entries, .. } = item {
                self.enqueued.extend(entries.iter().map(|entry| (entry.place, at.offset)));
            }
        }
        Some(Seen::More)
    }

    /// What waits by the records waits by the digest as well, in the same words; and what waits by the digest alone was there,
    /// and is gone since.
    fn agrees(self, digest: &Digest) -> bool {
        let again = self.seal.finish();
        let mut rest = digest.waiting.iter();
        // Who has it may have said so again, elsewhere.
        let alike = |one: &Lying, other: &Lying| Lying { received: one.received, ..*other } == *one;
        let has_all = again.waiting.iter().all(|lying| rest.any(|other| alike(lying, other)));
        let were_there = |lying: &Lying| self.enqueued.contains(&(lying.place, lying.offset));
        let removed: HashSet<&Place> = digest.removed.iter().collect();
        let own: HashSet<Place> = self.enqueued.iter().map(|(place, _)| *place).collect();
        has_all
            && digest.waiting.iter().all(were_there)
            && again.removed.iter().all(|place| removed.contains(place) || own.contains(place))
            && again.received.iter().all(|place| digest.received.contains(place))
            && again.floors.iter().all(|floor| digest.floors.contains(floor))
            && again.others == digest.others
    }
}
