//! A disk with a journal on it: what was written, what of it lasts, and what a crash leaves.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use storage::StoreError;
use storage::group::{Group, Look, look};
use storage::log::{Log, Seen, SegmentSummary, Visit};
use storage::position::Position;

use crate::dice::Dice;

/// One file, in which groups follow each other.
pub(crate) struct Disk(Mutex<Image>);

struct Image {
    /// What whoever reads now sees.
    bytes: Vec<u8>,
    /// All before is on disk; of what is behind, a crash leaves what it likes.
    synced: usize,
    /// Of the next group.
    number: u64,
    synced_number: u64,
    fails: bool,
}

impl Disk {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Image {
            bytes: vec![0; BASE],
            synced: BASE,
            number: 1,
            synced_number: 0,
            fails: false,
        })))
    }

    /// The next fdatasync fails. Nobody knows then what is on disk.
    pub(crate) fn fail(&self) {
        self.image().fails = true;
    }

    /// It does not, after all.
    pub(crate) fn heal(&self) {
        self.image().fails = false;
    }

    /// How much was written that does not last yet, in bytes.
    pub(crate) fn unsynced(&self) -> usize {
        let image = self.image();
        image.bytes.len() - image.synced
    }

    /// What is left of it after a crash. Of the sectors that were not synced, some are there, and the last one may be torn.
    pub(crate) fn crash(&self, dice: &mut Dice) -> Result<Arc<Self>, String> {
        let image = self.image();
        let mut bytes = image.bytes.clone();
        let end = match dice.roll(4) {
            0 => image.synced,
            1 => bytes.len(),
            2 => image.synced + dice.roll(bytes.len() - image.synced + 1),
            _ => {
                let mut at = image.synced;
                while at < bytes.len() {
                    let next = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
                    let next = next.min(bytes.len());
                    if dice.percent(40) {
                        bytes[at..next].fill(0);
                    }
                    at = next;
                }
                image.synced + dice.roll(bytes.len() - image.synced + 1)
            }
        };
        bytes.truncate(end);
        Self::read(bytes, image.synced)
    }

    /// As the journal is read at a start: up to the first thing that is no whole group.
    fn read(mut bytes: Vec<u8>, synced: usize) -> Result<Arc<Self>, String> {
        let (mut at, mut number) = (BASE, 1);
        while let Look::Group(found) = look(&bytes[at..], SALT) {
            if found.number != number {
                return Err(format!("group {} stands where group {number} should be", found.number));
            }
            number += found.numbers;
            at += found.size;
        }
        if at < synced {
            return Err(format!("what was synced up to {synced} ends at {at}"));
        }
        bytes.truncate(at);
        Ok(Arc::new(Self(Mutex::new(Image {
            bytes,
            synced: at,
            number,
            synced_number: number - 1,
            fails: false,
        }))))
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Image {
    fn durable(&self) -> Position {
        Position { segment: SEGMENT, offset: self.synced as u32 }
    }
}

impl Log for Disk {
    fn append(&self, group: &mut Group) -> Result<(), StoreError> {
        let mut image = self.image();
        let sealed = group.seal(image.number, image.synced_number, SALT);
        image.bytes.extend_from_slice(sealed);
        image.number += 1;
        Ok(())
    }

    fn sync(&self) -> Result<Position, StoreError> {
        let mut image = self.image();
        if image.fails {
            let (doing, source) = ("sync", io::Error::other("the disk says no"));
            return Err(StoreError::Io { doing, path: PathBuf::from("simulated"), source });
        }
        image.synced = image.bytes.len();
        image.synced_number = image.number - 1;
        Ok(image.durable())
    }

    fn durable(&self) -> Position {
        self.image().durable()
    }

    fn scan(&self, from: Position, to: Position, visit: &mut Visit<'_>) -> Result<Position, StoreError> {
        let image = self.image();
        let (mut at, end) = ((from.offset as usize).max(BASE), (to.offset as usize).min(image.synced));
        while at < end {
            let Look::Group(found) = look(&image.bytes[at..], SALT) else {
                panic!("nothing can be read at {at}")
            };
            let mut enough = false;
            for (distance, record) in found.records() {
                let position = Position { segment: SEGMENT, offset: (at + distance) as u32 };
                enough |= visit(position, record)? == Seen::Enough;
            }
            at += found.size;
            if enough {
                break;
            }
        }
        Ok(Position { segment: SEGMENT, offset: at as u32 })
    }

    fn read(&self, at: Position) -> Result<Vec<u8>, StoreError> {
        let image = self.image();
        let (length, rest) = image.bytes[at.offset as usize..].split_first_chunk().expect("a record");
        Ok(rest[..u32::from_le_bytes(*length) as usize].to_vec())
    }

    fn segments(&self) -> Vec<SegmentSummary> {
        vec![SegmentSummary { id: SEGMENT, used: self.image().synced as u32, digest_bytes: 0 }]
    }

    fn trim(&self, _: u32) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Smaller than a real one, so that a group lies in several.
const SECTOR_BYTES: usize = 512;
/// Where the first group starts: behind all that a real file has before it.
const BASE: usize = 4096;
const SEGMENT: u32 = 1;
const SALT: u64 = 7;
