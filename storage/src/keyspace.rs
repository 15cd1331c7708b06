//! sled: one tree, a prefix per kind, then the shard.
//!
//! A value says where in the journal its record lies, and holds a copy of the change unless that is large: sled writes
//! what is above 16 KB to files of their own, which it never syncs.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::shard::Shard;

use crate::error::StoreError;
use crate::position::Position;

/// What a key starts with. Never reused: they are on disk.
pub(crate) mod kind {
    pub(crate) const META: u8 = b'm';
    pub(crate) const EXCHANGE: u8 = b'x';
    pub(crate) const QUEUE: u8 = b'q';
    pub(crate) const BINDING: u8 = b'b';
    pub(crate) const EXCHANGE_BINDING: u8 = b'e';
    pub(crate) const SESSION: u8 = b's';
    pub(crate) const DEDUP: u8 = b'd';
    pub(crate) const PUBLICATION: u8 = b'p';
    pub(crate) const RETAINED: u8 = b'r';
    pub(crate) const BAN: u8 = b'o';
    pub(crate) const POLICY: u8 = b'l';
}

/// A key of sled.
pub(crate) type Key = Vec<u8>;

/// Starts a key of an object whose home is `shard`.
pub(crate) fn start(kind: u8, shard: Shard) -> Key {
    vec![kind, shard.0]
}

/// Adds a name to a key, so that no name is the start of another. Of a long one there is its start and a hash, which
/// starts from `salt` so that nobody outside can choose two that collide.
pub(crate) fn put_name(key: &mut Key, salt: u64, name: &[u8]) {
    match u16::try_from(name.len()) {
        Ok(length) if name.len() <= NAME_BYTES_MAX => {
            key.extend_from_slice(&length.to_be_bytes());
            key.extend_from_slice(name);
        }
        Ok(_) | Err(_) => {
            key.extend_from_slice(&u16::MAX.to_be_bytes());
            key.extend_from_slice(name.get(..NAME_BYTES_MAX).unwrap_or_default());
            key.extend_from_slice(&hash(salt, name).to_be_bytes());
            key.extend_from_slice(&hash(!salt, name).to_be_bytes());
        }
    }
}

/// What follows the name that [`put_name`] put at the start of `key`.
pub(crate) fn skip_name(key: &[u8]) -> Option<&[u8]> {
    let (length, rest) = key.split_first_chunk()?;
    let bytes = match u16::from_be_bytes(*length) {
        u16::MAX => NAME_BYTES_MAX + 2 * size_of::<u64>(),
        length => length.into(),
    };
    rest.get(bytes..)
}

/// FNV-1a from a start of our own: it must give the same answer in every version.
fn hash(salt: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ salt;
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Where the record of an object lies, and how large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) position: Position,
    /// In the journal.
    pub(crate) bytes: u32,
}

/// Makes a value: with a copy of the record if that is small.
pub(crate) fn value(stored: Stored, record: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(VALUE_HEADER_BYTES + record.len().min(INLINE_BYTES_MAX));
    value.push(VALUE_VERSION);
    value.extend_from_slice(&stored.position.to_bits().to_be_bytes());
    value.extend_from_slice(&stored.bytes.to_be_bytes());
    if record.len() <= INLINE_BYTES_MAX {
        value.extend_from_slice(record);
    }
    value
}

/// Reads a value: where the record lies, and the copy of it if there is one.
pub(crate) fn read_value(value: &[u8]) -> Option<(Stored, Option<&[u8]>)> {
    let (version, rest) = value.split_first()?;
    if *version != VALUE_VERSION {
        return None;
    }
    let (position, rest) = rest.split_first_chunk()?;
    let (bytes, record) = rest.split_first_chunk()?;
    let position = Position::from_bits(u64::from_be_bytes(*position));
    let stored = Stored { position, bytes: u32::from_be_bytes(*bytes) };
    Some((stored, (!record.is_empty()).then_some(record)))
}

/// What sled says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Of which store it is.
    pub(crate) store: u64,
    /// How far it has come in the journal.
    pub(crate) applied: Position,
    /// How far it had come when it was last made to last.
    pub(crate) checkpoint: Position,
    /// Whether it was closed in order.
    pub(crate) clean: bool,
}

/// The open tree.
#[derive(Debug)]
pub(crate) struct Keyspace {
    tree: Tree,
    directory: PathBuf,
}

#[derive(Debug)]
enum Tree {
    Sled(sled::Db),
    /// Nothing of it lasts: the journal alone is enough.
    Memory(Mutex<BTreeMap<Key, Vec<u8>>>),
}

type Entries<'a> = Box<dyn Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + 'a>;

impl Keyspace {
    /// Opens it, or makes an empty one. sled may panic on a damaged file: the caller catches that.
    pub(crate) fn open(directory: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let db = sled::Config::new()
            .path(directory)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None)
            .open()
            .map_err(StoreError::state("open", directory))?;
        Ok(Self { tree: Tree::Sled(db), directory: directory.to_path_buf() })
    }

    /// An empty one, in memory.
    pub(crate) fn in_memory() -> Self {
        Self { tree: Tree::Memory(Mutex::default()), directory: PathBuf::new() }
    }

    /// What it says of itself; `None` if it is new, or of another version.
    pub(crate) fn meta(&self) -> Result<Option<Meta>, StoreError> {
        let value = self.get(&[kind::META])?;
        Ok(value.as_deref().and_then(read_meta))
    }

    /// Whether there is nothing in it at all.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.tree {
            Tree::Sled(db) => db.is_empty(),
            Tree::Memory(entries) => lock(entries).is_empty(),
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        match &self.tree {
            Tree::Sled(db) => db.get(key).map_err(StoreError::state("read", &self.directory)),
            Tree::Memory(entries) => Ok(lock(entries).get(key).map(|value| value.as_slice().into())),
        }
    }

    /// Everything whose key starts like that.
    pub(crate) fn scan(&self, prefix: &[u8]) -> Entries<'_> {
        match &self.tree {
            Tree::Sled(db) => {
                let read = |item: sled::Result<_>| item.map_err(StoreError::state("read", &self.directory));
                Box::new(db.scan_prefix(prefix).map(read))
            }
            Tree::Memory(entries) => {
                let entries = lock(entries);
                let all = entries.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
                let all: Vec<_> =
                    all.map(|(key, value)| Ok((key.as_slice().into(), value.as_slice().into()))).collect();
                Box::new(all.into_iter())
            }
        }
    }

    /// Writes and deletes (`None`), then says how far this brings it. In batches, because larger ones make sled hold on
    /// to memory without bound.
    pub(crate) fn write(
        &self,
        changes: impl IntoIterator<Item = (Key, Option<Vec<u8>>)>,
        meta: Meta,
    ) -> Result<(), StoreError> {
        let db = match &self.tree {
            Tree::Sled(db) => db,
            Tree::Memory(entries) => {
                let mut entries = lock(entries);
                for (key, value) in changes {
                    match value {
                        Some(value) => entries.insert(key, value),
                        None => entries.remove(&key),
                    };
                }
                entries.insert(vec![kind::META], write_meta(meta));
                return Ok(());
            }
        };
        let mut batch = sled::Batch::default();
        let mut operations = 0;
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
            operations += 1;
            if operations == BATCH_OPERATIONS_MAX {
                self.commit(db, std::mem::take(&mut batch), operations)?;
                operations = 0;
            }
        }
        batch.insert(vec![kind::META], write_meta(meta));
        self.commit(db, batch, operations + 1)
    }

    fn commit(&self, db: &sled::Db, batch: sled::Batch, operations: usize) -> Result<(), StoreError> {
        db.apply_batch(batch).map_err(StoreError::state("write", &self.directory))?;
        if operations > QUIET_OPERATIONS_MAX {
            // sled's garbage is collected when somebody pins, by few objects at a time; without this it piles up.
            for _ in 0..COLLECTIONS {
                crossbeam_epoch::pin().flush();
            }
        }
        Ok(())
    }

    /// What was written lasts when this returns. sled's own flush does not wait for the disk.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let Tree::Sled(db) = &self.tree else { return Ok(()) };
        db.flush().map_err(StoreError::state("flush", &self.directory))?;
        let path = self.directory.join("db");
        std::fs::File::open(&path)
            .and_then(|file| file.sync_data())
            .map_err(|source| StoreError::state("sync", &path)(source.into()))
    }

    /// An error that says that sled panicked.
    pub(crate) fn panicked(&self) -> StoreError {
        StoreError::state("use", &self.directory)(sled::Error::ReportableBug("it panicked".into()))
    }

    /// Closes it; it is empty then, and in memory. What sled panics about on that occasion is of no interest any more.
    pub(crate) fn close(&mut self) {
        let closed = std::mem::replace(&mut self.tree, Tree::Memory(Mutex::default()));
        let _ = catch_unwind(AssertUnwindSafe(|| drop(closed)));
    }

    /// An error that says that its content makes no sense.
    pub(crate) fn nonsense(&self) -> StoreError {
        StoreError::State {
            doing: "read",
            path: self.directory.clone(),
            source: sled::Error::Unsupported("a value is not what this program writes".into()),
        }
    }
}

fn lock(entries: &Mutex<BTreeMap<Key, Vec<u8>>>) -> MutexGuard<'_, BTreeMap<Key, Vec<u8>>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_meta(meta: Meta) -> Vec<u8> {
    let Meta { store, applied, checkpoint, clean } = meta;
    let mut value = vec![META_VERSION, u8::from(clean)];
    value.extend_from_slice(&store.to_be_bytes());
    value.extend_from_slice(&applied.to_bits().to_be_bytes());
    value.extend_from_slice(&checkpoint.to_bits().to_be_bytes());
    value
}

fn read_meta(value: &[u8]) -> Option<Meta> {
    let ([version, clean], rest) = value.split_first_chunk()?;
    if *version != META_VERSION {
        return None;
    }
    let (store, rest) = rest.split_first_chunk()?;
    let (applied, rest) = rest.split_first_chunk()?;
    let checkpoint = rest.first_chunk()?;
    Some(Meta {
        store: u64::from_be_bytes(*store),
        applied: Position::from_bits(u64::from_be_bytes(*applied)),
        checkpoint: Position::from_bits(u64::from_be_bytes(*checkpoint)),
        clean: *clean == 1,
    })
}

const META_VERSION: u8 = 1;
const VALUE_VERSION: u8 = 1;
const VALUE_HEADER_BYTES: usize = 1 + 8 + 4;
const INLINE_BYTES_MAX: usize = 7 << 10;
const NAME_BYTES_MAX: usize = 480;
const BATCH_OPERATIONS_MAX: usize = 399;
const QUIET_OPERATIONS_MAX: usize = 64;
const COLLECTIONS: usize = 4;
