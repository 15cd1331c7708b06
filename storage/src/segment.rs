//! One journal file: made ahead of need, appended to, read.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::group::{self, Found, Look};

/// A journal file. Its bytes are all there from the start, so that fdatasync has no metadata to write: measured, that is
/// half as many syncs again per second.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    path: PathBuf,
    pub(crate) id: u32,
    pub(crate) capacity: u64,
    /// Starts every CRC in it.
    pub(crate) salt: u64,
}

/// Is shown a group: where it stands, the bytes from there on, and what it is; and says whether it wants another one.
pub(crate) type ShowGroup<'a> = dyn FnMut(u32, &[u8], &Found<'_>) -> Result<ControlFlow<()>, StoreError> + 'a;

/// What tells the files of one store from those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreId(pub(crate) u64);

impl Segment {
    /// Makes the file `id` in `directory`, of `capacity` bytes, from a spare one if there is one. It is on disk, with its
    /// name, when this returns.
    pub(crate) fn make(
        directory: &Path,
        store: StoreId,
        id: u32,
        capacity: u64,
        spare: Option<PathBuf>,
    ) -> Result<Self, StoreError> {
        let (raw, reused) = match spare {
            Some(spare) => (spare, true),
            None => (directory.join(format!("{id:010}.new")), false),
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&raw)
            .map_err(StoreError::io("make", &raw))?;
        if !reused && let Err(error) = fill(&file, capacity) {
            // What is there of it takes the room that others need.
            let _ = std::fs::remove_file(&raw);
            return Err(StoreError::io("reserve space for", &raw)(error));
        }
        let salt = random();
        file.write_all_at(&header(store, id, salt), 0).map_err(StoreError::io("write", &raw))?;
        file.sync_all().map_err(StoreError::io("sync", &raw))?;
        let path = path_of(directory, id);
        std::fs::rename(&raw, &path).map_err(StoreError::io("rename", &raw))?;
        sync_directory(directory)?;
        Ok(Self { file, path, id, capacity, salt })
    }

    /// Opens a file that is there.
    pub(crate) fn open(directory: &Path, id: u32, write: bool) -> Result<(Self, StoreId), StoreError> {
        let path = path_of(directory, id);
        let file =
            OpenOptions::new().read(true).write(write).open(&path).map_err(StoreError::io("open", &path))?;
        let capacity = file.metadata().map_err(StoreError::io("look at", &path))?.len();
        let mut header = [0; HEADER_BYTES];
        let start = usize::try_from(capacity).unwrap_or(usize::MAX).min(HEADER_BYTES);
        if let Some(start) = header.get_mut(..start) {
            file.read_exact_at(start, 0).map_err(StoreError::io("read", &path))?;
        }
        let (store, salt) = read_header(&path, id, &header)?;
        Ok((Self { file, path, id, capacity, salt }, store))
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes at that byte.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        self.file.write_all_at(bytes, offset).map_err(StoreError::io("write", &self.path))
    }

    /// What was written lasts.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(StoreError::io("sync", &self.path))
    }

    /// Makes it larger, for one group that has no room in a file of the usual size; or as small as it is full.
    pub(crate) fn resize(&mut self, capacity: u64) -> Result<(), StoreError> {
        self.file.set_len(capacity).map_err(StoreError::io("resize", &self.path))?;
        self.file.sync_all().map_err(StoreError::io("sync", &self.path))?;
        self.capacity = capacity;
        Ok(())
    }

    /// Reads exactly that part into `out`.
    pub(crate) fn read(&self, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let end = offset.saturating_add(length as u64);
        if end > self.capacity {
            return Err(StoreError::damaged(&self.path, offset, "it ends before what should be there"));
        }
        out.resize(length, 0);
        self.file.read_exact_at(out, offset).map_err(StoreError::io("read", &self.path))
    }

    /// The whole group at that byte of `bytes`, which are the file's from `base` on.
    pub(crate) fn look<'a>(&self, bytes: &'a [u8], at: usize) -> Result<Option<Found<'a>>, StoreError> {
        match group::look(bytes.get(at..).unwrap_or_default(), self.salt) {
            Look::Group(found) => Ok(Some(found)),
            Look::Unknown(found) => {
                Err(StoreError::UnknownVersion { file: self.path.clone(), found, known: VERSION })
            }
            Look::Nothing => Ok(None),
        }
    }

    /// Shows the groups between two borders of groups in their order, until one is enough. Returns the border that it came to.
    /// In memory is a part of the file at a time.
    ///
    /// # Errors
    ///
    /// A group is not whole, or a visitor says so.
    pub(crate) fn each_group(
        &self,
        start: u32,
        end: u32,
        show: &mut ShowGroup<'_>,
    ) -> Result<u32, StoreError> {
        let mut chunk = Vec::new();
        let mut base = start;
        while base < end {
            let left = (end - base) as usize;
            self.read(base.into(), left.min(CHUNK_BYTES), &mut chunk)?;
            // A group that is larger than a chunk is read as a whole.
            let first = group::announced_bytes(&chunk, self.salt).unwrap_or(0);
            if first > chunk.len() && first <= left {
                self.read(base.into(), first, &mut chunk)?;
            }
            let mut at = 0;
            while let Some(found) = self.look(&chunk, at)? {
                let bytes = chunk.get(at..).unwrap_or_default();
                let shown = show(base + at as u32, bytes, &found)?;
                at += found.size;
                if shown.is_break() {
                    return Ok(base + at as u32);
                }
            }
            if at == 0 {
                return Err(StoreError::damaged(&self.path, base.into(), "a group fails its checksum"));
            }
            base += at as u32;
        }
        Ok(end)
    }

    /// The end of its header: where the first group stands.
    pub(crate) const FIRST: u32 = HEADER_BYTES as u32;
}

/// The file of that number.
pub(crate) fn path_of(directory: &Path, id: u32) -> PathBuf {
    directory.join(format!("{id:010}.{SUFFIX}"))
}

/// The number of that file, if its name says that it is a segment.
pub(crate) fn id_of(path: &Path) -> Option<u32> {
    if path.extension()? != SUFFIX {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// Names in a directory last only when the directory was synced.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    let handle = File::open(directory).map_err(StoreError::io("open", directory))?;
    handle.sync_all().map_err(StoreError::io("sync", directory))
}

/// Not secret, but nobody outside knows it: the standard library's hash seeds come from the system's random source.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

fn fill(file: &File, capacity: u64) -> std::io::Result<()> {
    file.set_len(capacity)?;
    let zeros = vec![0; FILL_BYTES];
    let mut offset = 0;
    while offset < capacity {
        let length = usize::try_from(capacity - offset).unwrap_or(FILL_BYTES).min(FILL_BYTES);
        file.write_all_at(zeros.get(..length).unwrap_or_default(), offset)?;
        offset += length as u64;
    }
    Ok(())
}

/// What a file starts with.
pub(crate) fn header(store: StoreId, id: u32, salt: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let parts: [&[u8]; 5] =
        [MAGIC, &VERSION.to_le_bytes(), &id.to_le_bytes(), &store.0.to_le_bytes(), &salt.to_le_bytes()];
    let bytes: Vec<u8> = parts.concat();
    let crc = crc32c::crc32c(&bytes).to_le_bytes();
    for (place, byte) in header.iter_mut().zip(bytes.into_iter().chain(crc)) {
        *place = byte;
    }
    header
}

/// What a header says, whole or not: the salt with which the groups behind it would be found.
pub(crate) fn salt_of(bytes: &[u8]) -> Option<u64> {
    bytes.get(BODY_BYTES - 8..)?.first_chunk().map(|salt| u64::from_le_bytes(*salt))
}

/// Reads the header of the file `id`: of which store it is, and its salt.
pub(crate) fn read_header(
    path: &Path,
    id: u32,
    header: &[u8; HEADER_BYTES],
) -> Result<(StoreId, u64), StoreError> {
    let damaged = |what| StoreError::damaged(path, 0, what);
    let body = header.get(..BODY_BYTES).unwrap_or_default();
    let crc =
        header.get(BODY_BYTES..).and_then(<[u8]>::first_chunk).map_or(0, |crc| u32::from_le_bytes(*crc));
    if !body.starts_with(MAGIC) {
        return Err(damaged("it is no journal file"));
    }
    if crc32c::crc32c(body) != crc {
        return Err(damaged("its header fails its checksum"));
    }
    let fields = || {
        let rest = body.get(MAGIC.len()..)?;
        let (version, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (store, rest) = rest.split_first_chunk()?;
        let salt = rest.first_chunk()?;
        let (version, number) = (u32::from_le_bytes(*version), u32::from_le_bytes(*number));
        Some((version, number, u64::from_le_bytes(*store), u64::from_le_bytes(*salt)))
    };
    let (version, number, store, salt) = fields().ok_or_else(|| damaged("its header is too short"))?;
    if version != VERSION {
        return Err(StoreError::UnknownVersion { file: path.to_path_buf(), found: version, known: VERSION });
    }
    if number != id {
        return Err(damaged("its name is not the one it was written with"));
    }
    Ok((StoreId(store), salt))
}

const SUFFIX: &str = "seg";
const MAGIC: &[u8; 8] = b"DuetMQ\0J";
/// Of the file's layout, and of the groups' in it.
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 64;
const BODY_BYTES: usize = 8 + 4 + 4 + 8 + 8;
/// So much of a file is in memory while its groups are shown.
const CHUNK_BYTES: usize = 1 << 20;
const FILL_BYTES: usize = 1 << 20;
