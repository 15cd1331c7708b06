//! What is whole in each file of the journal.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use model::change::Change;
use model::name::{QueueId, QueueName};

use crate::error::StoreError;
use crate::group::{Found, Look, look};
use crate::journal::replay::places_behind;
use crate::position::Position;
use crate::queues::{Live, Queues};
use crate::record::{Item, Items};
use crate::segment::{self, HEADER_BYTES, Segment, StoreId, id_of, path_of, read_header, salt_of};
use crate::topology;

/// The journal, as far as it is whole.
#[derive(Debug)]
pub(super) struct Surveyed {
    /// Of which store it is, if anything says so.
    pub(super) store: Option<StoreId>,
    /// By number, without a gap: missing ones are in it.
    pub(super) files: Vec<FileFound>,
    /// As far as they are known.
    pub(super) names: BTreeMap<QueueId, QueueName>,
    /// What waits by all that is whole.
    pub(super) queues: Queues,
}

/// One file.
#[derive(Debug)]
pub(super) struct FileFound {
    pub(super) id: u32,
    pub(super) path: PathBuf,
    pub(super) exists: bool,
    pub(super) length: u64,
    pub(super) salt: u64,
    /// What is wrong with its header.
    pub(super) header: Option<&'static str>,
    pub(super) groups: Vec<Sound>,
}

/// A group that is as it was written.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) at: u64,
    pub(super) size: u64,
    pub(super) number: u64,
    pub(super) numbers: u64,
    pub(super) synced: u64,
    pub(super) records: u64,
    /// Left by a repair.
    pub(super) is_gap: bool,
    /// It is whole, and a record in it makes no sense.
    pub(super) trouble: Option<&'static str>,
}

/// Reads all of it. `store`: what the directory says that it is.
pub(super) fn survey(journal: &Path, store: Option<StoreId>) -> Result<Surveyed, StoreError> {
    let mut ids: Vec<u32> = Vec::new();
    if journal.exists() {
        for entry in fs::read_dir(journal).map_err(StoreError::io("list", journal))? {
            ids.extend(id_of(&entry.map_err(StoreError::io("list", journal))?.path()));
        }
    }
    let mut surveyed =
        Surveyed { store, files: Vec::new(), names: BTreeMap::new(), queues: Queues::default() };
    let (Some(first), Some(last)) = (ids.iter().min().copied(), ids.iter().max().copied()) else {
        return Ok(surveyed);
    };
    for id in first..=last {
        let file = if ids.contains(&id) { surveyed.read(journal, id)? } else { missing(journal, id) };
        surveyed.files.push(file);
    }
    Ok(surveyed)
}

fn missing(journal: &Path, id: u32) -> FileFound {
    FileFound {
        id,
        path: path_of(journal, id),
        exists: false,
        length: 0,
        salt: segment::random(),
        header: Some("the file is missing"),
        groups: Vec::new(),
    }
}

impl Surveyed {
    fn read(&mut self, journal: &Path, id: u32) -> Result<FileFound, StoreError> {
        let path = path_of(journal, id);
        let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
        let mut file = FileFound { exists: true, length: bytes.len() as u64, path, ..missing(journal, id) };
        file.header = None;
        match read_header(&file.path, id, bytes.first_chunk::<HEADER_BYTES>().unwrap_or(&[0; HEADER_BYTES])) {
            Ok((store, salt)) => {
                file.salt = salt;
                if *self.store.get_or_insert(store) != store {
                    file.header = Some("it belongs to another store");
                    return Ok(file);
                }
            }
            Err(StoreError::Damaged { what, .. }) => {
                file.header = Some(what);
                file.salt = salt_of(&bytes).unwrap_or(file.salt);
            }
            Err(error) => return Err(error),
        }
        let mut at = Segment::FIRST as usize;
        while at < bytes.len() {
            at = match look(bytes.get(at..).unwrap_or_default(), file.salt) {
                Look::Group(found) => {
                    file.groups.push(self.understand(id, at, found));
                    at + found.size
                }
                Look::Unknown(found) => {
                    let (file, known) = (file.path, segment::VERSION);
                    return Err(StoreError::UnknownVersion { file, found, known });
                }
                Look::Nothing => {
                    let is_one = |at: &usize| {
                        !matches!(look(bytes.get(*at..).unwrap_or_default(), file.salt), Look::Nothing)
                    };
                    places_behind(&bytes, at).find(is_one).unwrap_or(bytes.len())
                }
            };
        }
        Ok(file)
    }

    fn understand(&mut self, id: u32, at: usize, found: Found<'_>) -> Sound {
        let mut sound = Sound {
            at: at as u64,
            size: found.size as u64,
            number: found.number,
            numbers: found.numbers,
            synced: found.synced,
            records: 0,
            is_gap: found.is_gap,
            trouble: None,
        };
        for (distance, record) in found.records() {
            sound.records += 1;
            let position = Position { segment: id, offset: u32::try_from(at + distance).unwrap_or(u32::MAX) };
            if let Err(trouble) = self.read_record(position, record) {
                sound.trouble = Some(trouble.text());
            }
        }
        sound
    }

    fn read_record(&mut self, at: Position, record: &[u8]) -> Result<(), crate::record::wire::RecordError> {
        let mut items = Items::of(record)?;
        while let Some(item) = items.next()? {
            match item {
                Item::Enqueue { body, entries } => {
                    drop(body.read()?);
                    for entry in entries {
                        self.queues.put(entry.place, at, 0, &mut Live::default());
                    }
                }
                Item::Change(Change::Receive(place)) => self.queues.receive(place, at.segment),
                Item::Change(Change::Remove(place)) => self.queues.remove(place, &mut Live::default()),
                Item::Change(Change::DeleteQueue(queue)) => {
                    self.queues.delete(queue, &mut Live::default());
                }
                Item::Change(Change::DeclareQueue(queue)) => {
                    self.queues.declare(queue.id, topology::shard(&queue.options.name));
                    self.names.insert(queue.id, queue.options.name);
                }
                Item::Change(_) | Item::Note(_) => {}
            }
        }
        Ok(())
    }
}
