//! Digest: what a sealed segment adds up to, so that a start need not read its records.
//!
//! It lies beside the segment, and everything in it can be made again: one that is missing, damaged, of another version or of
//! another segment is not believed, and the records are read. What no longer waited when it was made is not in it; it is
//! therefore believed only if the journal reaches as far as it did then.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::change::Place;
use model::name::QueueId;
use model::time::WallMs;

use crate::error::StoreError;
use crate::position::Position;
use crate::record::wire::{Reader, RecordError, put_len, put_slice, put_u64};
use crate::segment::{StoreId, path_of};

/// Reads a record of a segment, by its offset.
pub(crate) type ReadRecord<'a> = dyn FnMut(u32) -> Result<Vec<u8>, StoreError> + 'a;

/// Of which segment a digest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heading {
    pub(crate) segment: u32,
    pub(crate) store: StoreId,
    pub(crate) salt: u64,
    /// Where its groups end.
    pub(crate) used: u32,
    /// The number of its first group, and of the first one of the next file.
    pub(crate) first: u64,
    pub(crate) next: u64,
    /// Over the headers of its groups, each of which has a checksum of the rest.
    pub(crate) crc: u32,
    /// What was still alive when the journal reached this far is in it.
    pub(crate) through: Position,
}

/// What a segment adds up to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    /// Above every number that it uses of a queue.
    pub(crate) floors: Vec<(QueueId, u64)>,
    /// What waits in it, in its order.
    pub(crate) waiting: Vec<Lying>,
    /// Entries that are gone, and that lay before it.
    pub(crate) removed: Vec<Place>,
    /// Entries that lie before it, and that it says the client has.
    pub(crate) received: Vec<Place>,
    /// All else that it says, in its order.
    pub(crate) others: Vec<Other>,
}

/// An entry, and what its queue must know of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lying {
    pub(crate) place: Place,
    pub(crate) offset: u32,
    /// Its share of the record.
    pub(crate) bytes: u32,
    /// The client has it.
    pub(crate) received: bool,
    pub(crate) published_at: WallMs,
    pub(crate) expires_at: Option<WallMs>,
    /// By [`model::message::Message::size_bytes`].
    pub(crate) size_bytes: u32,
    pub(crate) priority: u8,
    pub(crate) retain: bool,
}

/// Something that is about no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    /// The record that says it.
    pub(crate) offset: u32,
    pub(crate) said: Said,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// As a record with nothing else in it.
    Record(Vec<u8>),
    /// Too large to be here: the item of that number in its record.
    Item(u32),
}

/// The file beside that segment.
pub(crate) fn digest_path(directory: &Path, segment: u32) -> PathBuf {
    path_of(directory, segment).with_extension(SUFFIX)
}

/// Whether the name of that file says that it is a digest, or the start of one.
pub(crate) fn is_digest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == SUFFIX || extension == DRAFT)
}

/// The digest of that segment, if there is one that may be believed as far as it says itself; else why not.
pub(crate) fn read_digest(directory: &Path, segment: u32) -> Result<Option<(Heading, Digest)>, &'static str> {
    match fs::read(digest_path(directory, segment)) {
        Ok(bytes) => read(&bytes).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(_) => Err("it cannot be read"),
    }
}

/// Puts it beside its segment. It need not last: it can be made again.
pub(crate) fn write_digest(directory: &Path, heading: Heading, body: &[u8]) -> Result<u64, StoreError> {
    let path = digest_path(directory, heading.segment);
    let draft = path.with_extension(DRAFT);
    let mut bytes = put_heading(heading);
    put_len(&mut bytes, body.len());
    bytes.extend_from_slice(body);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(StoreError::io("make", &draft))?;
    file.write_all(&bytes).map_err(StoreError::io("write", &draft))?;
    fs::rename(&draft, &path).map_err(StoreError::io("rename", &draft))?;
    Ok(bytes.len() as u64)
}

fn put_heading(heading: Heading) -> Vec<u8> {
    let Heading { segment, store, salt, used, first, next, crc, through } = heading;
    let parts: [&[u8]; 10] = [
        MAGIC,
        &VERSION.to_le_bytes(),
        &segment.to_le_bytes(),
        &store.0.to_le_bytes(),
        &salt.to_le_bytes(),
        &used.to_le_bytes(),
        &first.to_le_bytes(),
        &next.to_le_bytes(),
        &crc.to_le_bytes(),
        &through.to_bits().to_le_bytes(),
    ];
    parts.concat()
}

fn read(bytes: &[u8]) -> Result<(Heading, Digest), &'static str> {
    let (whole, crc) = bytes.split_last_chunk::<4>().ok_or("it is too short")?;
    if crc32c::crc32c(whole) != u32::from_le_bytes(*crc) {
        return Err("it fails its checksum");
    }
    let mut from = Reader::new(whole);
    let heading = read_heading(&mut from)?;
    let mut understood = || {
        let mut body = Reader::new(from.slice()?);
        from.end()?;
        let digest = read_body(&mut body)?;
        body.end().map(|()| digest)
    };
    understood().map(|digest| (heading, digest)).map_err(RecordError::text)
}

fn read_heading(from: &mut Reader<'_>) -> Result<Heading, &'static str> {
    let short = |_: RecordError| "it is too short";
    if from.take(MAGIC.len()).map_err(short)? != MAGIC {
        return Err("it is no digest");
    }
    if from.fixed_u32().map_err(short)? != VERSION {
        return Err("it is of another version");
    }
    let mut read = || {
        Ok(Heading {
            segment: from.fixed_u32()?,
            store: StoreId(fixed_u64(from)?),
            salt: fixed_u64(from)?,
            used: from.fixed_u32()?,
            first: fixed_u64(from)?,
            next: fixed_u64(from)?,
            crc: from.fixed_u32()?,
            through: Position::from_bits(fixed_u64(from)?),
        })
    };
    read().map_err(short)
}

fn fixed_u64(from: &mut Reader<'_>) -> Result<u64, RecordError> {
    let low = u64::from(from.fixed_u32()?);
    Ok(u64::from(from.fixed_u32()?) << 32 | low)
}

/// As bytes.
pub(crate) fn put_body(digest: &Digest) -> Vec<u8> {
    let Digest { floors, waiting, removed, received, others } = digest;
    let mut out = Vec::with_capacity(waiting.len() * LYING_BYTES + removed.len() * PLACE_BYTES);
    put_len(&mut out, floors.len());
    for (queue, next) in floors {
        put_u64(&mut out, queue.0);
        put_u64(&mut out, *next);
    }
    put_len(&mut out, waiting.len());
    let mut before = Before::default();
    for lying in waiting {
        before.put(&mut out, lying);
    }
    for places in [removed, received] {
        put_len(&mut out, places.len());
        let mut last = Place { queue: QueueId(0), sequence: 0 };
        for place in places {
            put_u64(&mut out, place.queue.0);
            put_step(&mut out, last.sequence, place.sequence);
            last = *place;
        }
    }
    put_len(&mut out, others.len());
    for Other { offset, said } in others {
        put_u64(&mut out, (*offset).into());
        match said {
            Said::Record(record) => {
                out.push(0);
                put_slice(&mut out, record);
            }
            Said::Item(number) => {
                out.push(1);
                put_u64(&mut out, (*number).into());
            }
        }
    }
    out
}

fn read_body(from: &mut Reader<'_>) -> Result<Digest, RecordError> {
    let mut digest = Digest::default();
    for _ in 0..from.count()? {
        digest.floors.push((QueueId(from.u64()?), from.u64()?));
    }
    let count = from.count()?;
    digest.waiting.reserve_exact(count);
    let mut before = Before::default();
    for _ in 0..count {
        digest.waiting.push(before.read(from)?);
    }
    for places in [&mut digest.removed, &mut digest.received] {
        let mut last = 0;
        for _ in 0..from.count()? {
            let queue = QueueId(from.u64()?);
            last = read_step(from, last)?;
            places.push(Place { queue, sequence: last });
        }
    }
    for _ in 0..from.count()? {
        let offset = from.u32()?;
        let said = match from.u8()? {
            0 => Said::Record(from.slice()?.to_vec()),
            1 => Said::Item(from.u32()?),
            _ => return Err(RecordError::Tag),
        };
        digest.others.push(Other { offset, said });
    }
    Ok(digest)
}

/// The entry before: of most that follow there is little that is not the same, or one more.
#[derive(Debug, Default)]
struct Before {
    queue: u64,
    sequence: u64,
    offset: u32,
    published_at: u64,
}

impl Before {
    fn put(&mut self, out: &mut Vec<u8>, lying: &Lying) {
        let Place { queue, sequence } = lying.place;
        let flag = |bit: u8, is_set: bool| if is_set { bit } else { 0 };
        out.push(
            flag(OTHER_QUEUE, queue.0 != self.queue)
                | flag(RECEIVED, lying.received)
                | flag(RETAIN, lying.retain)
                | flag(EXPIRES, lying.expires_at.is_some())
                | flag(PRIORITY, lying.priority != 0),
        );
        if queue.0 != self.queue {
            put_u64(out, queue.0);
        }
        put_step(out, self.sequence, sequence);
        put_u64(out, lying.offset.wrapping_sub(self.offset).into());
        put_u64(out, lying.bytes.into());
        put_u64(out, lying.size_bytes.into());
        put_step(out, self.published_at, lying.published_at.0);
        if let Some(at) = lying.expires_at {
            put_u64(out, at.0);
        }
        if lying.priority != 0 {
            out.push(lying.priority);
        }
        self.follow(lying);
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<Lying, RecordError> {
        let flags = from.u8()?;
        if flags & !(OTHER_QUEUE | RECEIVED | RETAIN | EXPIRES | PRIORITY) != 0 {
            return Err(RecordError::Tag);
        }
        let is_set = |bit: u8| flags & bit != 0;
        let queue = QueueId(if is_set(OTHER_QUEUE) { from.u64()? } else { self.queue });
        let lying = Lying {
            place: Place { queue, sequence: read_step(from, self.sequence)? },
            offset: self.offset.checked_add(from.u32()?).ok_or(RecordError::Range)?,
            bytes: from.u32()?,
            received: is_set(RECEIVED),
            size_bytes: from.u32()?,
            published_at: WallMs(read_step(from, self.published_at)?),
            expires_at: if is_set(EXPIRES) { Some(WallMs(from.u64()?)) } else { None },
            priority: if is_set(PRIORITY) { from.u8()? } else { 0 },
            retain: is_set(RETAIN),
        };
        self.follow(&lying);
        Ok(lying)
    }

    const fn follow(&mut self, lying: &Lying) {
        self.queue = lying.place.queue.0;
        self.sequence = lying.place.sequence;
        self.offset = lying.offset;
        self.published_at = lying.published_at.0;
    }
}

/// How much more or less it is than the one before, small either way.
fn put_step(out: &mut Vec<u8>, before: u64, now: u64) {
    let step = now.wrapping_sub(before) as i64;
    put_u64(out, ((step << 1) ^ (step >> 63)) as u64);
}

fn read_step(from: &mut Reader<'_>, before: u64) -> Result<u64, RecordError> {
    let bits = from.u64()?;
    let step = (bits >> 1) as i64 ^ -((bits & 1) as i64);
    Ok(before.wrapping_add(step as u64))
}

/// How its file's name ends.
pub(crate) const SUFFIX: &str = "dig";
const DRAFT: &str = "dignew";
const MAGIC: &[u8; 8] = b"DuetMQ\0D";
const VERSION: u32 = 1;
const OTHER_QUEUE: u8 = 1;
const RECEIVED: u8 = 2;
const RETAIN: u8 = 4;
const EXPIRES: u8 = 8;
const PRIORITY: u8 = 16;
/// About as many bytes as one takes.
const LYING_BYTES: usize = 10;
const PLACE_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lying() -> impl Strategy<Value = Lying> {
        let place = (1..4_u64, any::<u64>());
        let sizes = (0..1_000_u32, any::<u32>(), any::<u32>());
        let times = (any::<u64>(), proptest::option::of(any::<u64>()));
        (place, sizes, times, any::<(bool, bool, u8)>()).prop_map(
            |(
                (queue, sequence),
                (offset, bytes, size_bytes),
                (at, expires),
                (received, retain, priority),
            )| {
                Lying {
                    place: Place { queue: QueueId(queue), sequence },
                    offset,
                    bytes,
                    received,
                    published_at: WallMs(at),
                    expires_at: expires.map(WallMs),
                    size_bytes,
                    priority,
                    retain,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(
            mut waiting in prop::collection::vec(lying(), 0..40),
            removed in prop::collection::vec((any::<u64>(), any::<u64>()), 0..9),
            others in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..9)), 0..5),
            cut in any::<prop::sample::Index>(),
        ) {
            waiting.sort_by_key(|lying| lying.offset);
            let place = |(queue, sequence)| Place { queue: QueueId(queue), sequence };
            let other = |(offset, bytes): (u32, Vec<u8>)| {
                let said = if bytes.is_empty() { Said::Item(offset / 2) } else { Said::Record(bytes) };
                Other { offset, said }
            };
            let digest = Digest {
                floors: waiting.iter().map(|lying| (lying.place.queue, lying.place.sequence)).collect(),
                waiting,
                received: removed.iter().rev().copied().map(place).collect(),
                removed: removed.into_iter().map(place).collect(),
                others: others.into_iter().map(other).collect(),
            };
            let bytes = put_body(&digest);
            let mut from = Reader::new(&bytes);
            prop_assert_eq!(read_body(&mut from).unwrap(), digest);
            prop_assert!(from.end().is_ok());
            let cut = cut.index(bytes.len());
            prop_assert!(read_body(&mut Reader::new(&bytes[..cut])).is_err(), "cut at {}", cut);
        }
    }
}
