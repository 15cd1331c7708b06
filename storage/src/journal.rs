//! Segments in order: the truth.
//!
//! Groups are numbered without gaps through all files, and each says up to which one everything was on disk when it was
//! written. So a hole that a crash may leave at the end is told from damage to what was acknowledged.

mod fetch;
pub(crate) mod replay;
pub(crate) mod sealed;
mod spares;
mod writer;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::{Digest, digest_path, read_digest, write_digest};
use crate::error::StoreError;
use crate::group::Group;
use crate::journal::fetch::fetch;
use crate::journal::replay::{Replay, Show};
use crate::journal::sealed::{Verifier, heading_of};
use crate::journal::spares::Spares;
use crate::journal::writer::Writer;
use crate::log::{Log, Seen, SegmentSummary, Visit};
use crate::position::Position;
use crate::segment::{Segment, StoreId, path_of, sync_directory};
use crate::space::Space;

/// The journal of one node, in files.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    store: StoreId,
    writer: Mutex<Writer>,
    /// Apart from the writer, whose lock is held over I/O.
    extent: Mutex<Extent>,
    /// Where the last group starts that was read for a record in it: the next record that is wanted is not far, mostly.
    border: Mutex<Position>,
    spares: Arc<Spares>,
}

/// What there is of it that lasts.
#[derive(Debug, Default)]
struct Extent {
    used: BTreeMap<u32, u32>,
    /// How many bytes the digest of each takes that has one.
    digests: BTreeMap<u32, u64>,
    durable: Position,
}

impl Extent {
    /// The file was synced before the next one was begun; of that one, nothing lasts yet.
    fn seal(&mut self, sealed: Position) {
        self.used.insert(sealed.segment, sealed.offset);
        self.used.insert(sealed.segment + 1, Segment::FIRST);
        self.durable = sealed;
    }
}

/// What opening a journal found.
#[derive(Debug)]
pub(crate) struct Opened {
    /// How many files.
    pub(crate) segments: usize,
    /// How many bytes of an unfinished write were cut off.
    pub(crate) cut_bytes: u64,
    /// Those of which the digest was read in place of the records.
    pub(crate) digested: Vec<u32>,
    /// Reads them meanwhile.
    pub(crate) verifier: Verifier,
}

impl Journal {
    /// Opens the journal in `directory`, or makes one, and shows all of it, in order: a digest in place of the records of
    /// each segment that has one.
    ///
    /// # Errors
    ///
    /// Damage before the end; a version that is not known; what the system says.
    pub(crate) fn open(
        directory: &Path,
        store: StoreId,
        segment_bytes: u64,
        space: &Arc<Space>,
        show: &mut Show<'_>,
    ) -> Result<(Self, Opened), StoreError> {
        let segment_bytes = segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let verifier = Verifier::start(directory)?;
        let found = Replay { directory, store, segment_bytes, verifier: &verifier }.run(show)?;
        let spares = Arc::new(Spares::new(found.spares, segment_bytes));
        let opened = Opened {
            segments: found.used.len(),
            cut_bytes: found.cut_bytes,
            digested: found.digests.keys().copied().collect(),
            verifier,
        };
        let durable = Position {
            segment: found.tail.id,
            offset: found.used.get(&found.tail.id).copied().unwrap_or(Segment::FIRST),
        };
        let writer = Writer::new(
            directory.to_path_buf(),
            store,
            (Arc::clone(&spares), Arc::clone(space)),
            found.tail,
            durable.offset.into(),
            found.next,
            found.number,
        );
        let journal = Self {
            directory: directory.to_path_buf(),
            store,
            writer: Mutex::new(writer),
            extent: Mutex::new(Extent { used: found.used, digests: found.digests, durable }),
            border: Mutex::new(Position::START),
            spares,
        };
        Ok((journal, opened))
    }

    /// Begins a new file if much is in the last one, which then gets a digest: what is in none, every start has to read record
    /// by record, and a file that nobody fills would be read by all starts to come.
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    pub(crate) fn begin_file(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let used_min = self.spares.segment_bytes / UNREAD_PART;
        if let Some(sealed) = writer.begin_file(used_min)? {
            self.extent().seal(sealed);
        }
        Ok(())
    }

    /// The digest of that segment, which was believed when the journal was opened.
    ///
    /// # Errors
    ///
    /// It is not there any more.
    pub(crate) fn digest(&self, segment: u32) -> Result<Digest, StoreError> {
        let path = digest_path(&self.directory, segment);
        match read_digest(&self.directory, segment) {
            Ok(Some((_, digest))) => Ok(digest),
            Ok(None) => Err(StoreError::damaged(&path, 0, "it was there a moment ago")),
            Err(why) => Err(StoreError::damaged(&path, 0, why)),
        }
    }

    fn extent(&self) -> MutexGuard<'_, Extent> {
        self.extent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Journal {
    fn append(&self, group: &mut Group) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sealed) = writer.append(group)? {
            self.extent().seal(sealed);
        }
        Ok(())
    }

    fn sync(&self) -> Result<Position, StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let durable = writer.sync()?;
        let mut extent = self.extent();
        extent.used.insert(durable.segment, durable.offset);
        extent.durable = durable;
        Ok(durable)
    }

    fn durable(&self) -> Position {
        self.extent().durable
    }

    fn scan(&self, from: Position, to: Position, visit: &mut Visit<'_>) -> Result<Position, StoreError> {
        let parts: Vec<SegmentSummary> = self.segments();
        let mut stopped = from;
        for part in parts.iter().filter(|part| part.id >= from.segment && part.id <= to.segment) {
            let start =
                if part.id == from.segment { from.offset.max(Segment::FIRST) } else { Segment::FIRST };
            let end = if part.id == to.segment { to.offset.min(part.used) } else { part.used };
            let (segment, _) = Segment::open(&self.directory, part.id, false)?;
            let (reached, seen) = scan_segment(&segment, start, end, visit)?;
            stopped = Position { segment: part.id, offset: reached };
            if seen == Seen::Enough {
                break;
            }
        }
        Ok(stopped)
    }

    fn read(&self, at: Position) -> Result<Vec<u8>, StoreError> {
        let mut record = Vec::new();
        self.read_each(&[at], &mut |_, found| {
            record.extend_from_slice(found);
            Ok(Seen::Enough)
        })?;
        Ok(record)
    }

    fn read_each(&self, wanted: &[Position], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for here in wanted.chunk_by(|one, other| one.segment == other.segment) {
            let Some(Position { segment: id, .. }) = here.first() else { continue };
            let end = self.extent().used.get(id).copied().unwrap_or(0);
            let (segment, _) = Segment::open(&self.directory, *id, false)?;
            let border = *self.border.lock().unwrap_or_else(PoisonError::into_inner);
            let mut known = (border.segment == *id).then_some(border.offset);
            fetch(&segment, end, here, &mut known, visit)?;
            if let Some(offset) = known {
                let border = Position { segment: *id, offset };
                *self.border.lock().unwrap_or_else(PoisonError::into_inner) = border;
            }
        }
        Ok(())
    }

    fn put_digest(&self, id: u32, through: Position, body: &[u8]) -> Result<(), StoreError> {
        let used = self.extent().used.get(&id).copied().unwrap_or(Segment::FIRST);
        let (segment, _) = Segment::open(&self.directory, id, false)?;
        let heading = heading_of(&segment, self.store, used, through)?;
        let bytes = write_digest(&self.directory, heading, body)?;
        self.extent().digests.insert(id, bytes);
        Ok(())
    }

    fn segments(&self) -> Vec<SegmentSummary> {
        let extent = self.extent();
        let summary = |(id, used): (&u32, &u32)| SegmentSummary {
            id: *id,
            used: *used,
            digest_bytes: extent.digests.get(id).copied().unwrap_or(0),
        };
        extent.used.iter().map(summary).collect()
    }

    fn trim(&self, before: u32) -> Result<(), StoreError> {
        let gone: Vec<u32> = {
            let extent = self.extent();
            let before = before.min(extent.durable.segment);
            extent.used.range(..before).map(|(id, _)| *id).collect()
        };
        // Oldest first: should this be cut short, what is left has no gap, and is given up the next time.
        for id in &gone {
            match std::fs::remove_file(digest_path(&self.directory, *id)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &digest_path(&self.directory, *id))(error));
                }
                Ok(()) | Err(_) => {}
            }
            self.extent().digests.remove(id);
            self.spares.retire(&path_of(&self.directory, *id))?;
            self.extent().used.remove(id);
        }
        if gone.is_empty() { Ok(()) } else { sync_directory(&self.directory) }
    }
}

/// Walks through the groups of one file between two borders of groups.
fn scan_segment(
    segment: &Segment,
    start: u32,
    end: u32,
    visit: &mut Visit<'_>,
) -> Result<(u32, Seen), StoreError> {
    let mut seen = Seen::More;
    let reached = segment.each_group(start, end, &mut |at, _, found| {
        for (distance, record) in found.records() {
            let position = Position { segment: segment.id, offset: at + distance as u32 };
            if visit(position, record)? == Seen::Enough {
                seen = Seen::Enough;
            }
        }
        Ok(if seen == Seen::Enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok((reached, seen))
}

/// What a start may find unread in the last file, as a part of a whole one.
const UNREAD_PART: u64 = 8;
const SEGMENT_BYTES_MIN: u64 = 4 << 10;
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
