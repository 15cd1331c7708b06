//! The end of the journal, where groups are appended.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::group::Group;
use crate::journal::spares::Spares;
use crate::position::Position;
use crate::segment::{Segment, StoreId};
use crate::space::Space;

/// Appends to the last file, and has the next one ready before it is needed.
#[derive(Debug)]
pub(super) struct Writer {
    directory: PathBuf,
    store: StoreId,
    spares: Arc<Spares>,
    space: Arc<Space>,
    current: Segment,
    offset: u64,
    next: Next,
    /// When it could not be made the last time.
    failed_at: Option<Instant>,
    /// Of the next group.
    number: u64,
    /// Of the last group that lasts.
    synced: u64,
}

/// The file after the current one.
#[derive(Debug)]
enum Next {
    /// Not needed yet.
    Unmade,
    /// A thread is making it: filling a file takes longer than anybody would wait.
    Making(JoinHandle<Result<Segment, StoreError>>),
    /// Ready.
    Made(Segment),
}

impl Writer {
    pub(super) fn new(
        directory: PathBuf,
        store: StoreId,
        (spares, space): (Arc<Spares>, Arc<Space>),
        current: Segment,
        offset: u64,
        next: Option<Segment>,
        number: u64,
    ) -> Self {
        let next = next.map_or(Next::Unmade, Next::Made);
        Self {
            directory,
            store,
            spares,
            space,
            current,
            offset,
            next,
            failed_at: None,
            number,
            synced: number - 1,
        }
    }

    /// Returns where the file ended that was left for this group, if it was.
    pub(super) fn append(&mut self, group: &mut Group) -> Result<Option<Position>, StoreError> {
        let size = group.bytes_len() as u64;
        if size > GROUP_BYTES_MAX {
            return Err(StoreError::TooLarge { bytes: size });
        }
        let mut sealed = None;
        if self.offset + size > self.current.capacity {
            sealed = Some(self.rotate(size)?);
        }
        let bytes = group.seal(self.number, self.synced, self.current.salt);
        // Bytes of a write that was cut short are written again, in the same place.
        self.space.wait_for(|| self.current.write(bytes, self.offset))?;
        self.offset += size;
        self.number += 1;
        self.prepare();
        Ok(sealed)
    }

    /// Goes on in the next file if this one has this many bytes, so that it gets a digest. Returns where it ended.
    pub(super) fn begin_file(&mut self, used_min: u64) -> Result<Option<Position>, StoreError> {
        if self.offset < used_min {
            return Ok(None);
        }
        let old = self.current.id;
        let sealed = self.rotate(0)?;
        // What it was made for beyond that is not needed: nothing is appended to it any more.
        let (mut file, _) = Segment::open(&self.directory, old, true)?;
        file.resize(sealed.offset.into())?;
        Ok(Some(sealed))
    }

    pub(super) fn sync(&mut self) -> Result<Position, StoreError> {
        self.current.sync()?;
        self.synced = self.number - 1;
        Ok(self.end())
    }

    fn end(&self) -> Position {
        Position { segment: self.current.id, offset: u32::try_from(self.offset).unwrap_or(u32::MAX) }
    }

    /// Goes on in the next file. The old one is synced first: a file with a group in it proves that the files before it
    /// are complete.
    fn rotate(&mut self, size: u64) -> Result<Position, StoreError> {
        let sealed = self.sync()?;
        let made = match std::mem::replace(&mut self.next, Next::Unmade) {
            Next::Made(segment) => Some(segment),
            Next::Making(thread) => join(thread).inspect_err(warn).ok(),
            Next::Unmade => None,
        };
        let mut next = match made {
            Some(segment) => segment,
            // Not ready, or it failed: perhaps there is room by now.
            None => self.space.wait_for(|| self.make(sealed.segment + 1))?,
        };
        let needed = u64::from(Segment::FIRST) + size;
        if needed > next.capacity {
            self.space.wait_for(|| next.resize(needed))?;
        }
        self.current = next;
        self.offset = Segment::FIRST.into();
        Ok(sealed)
    }

    /// Starts making the next file when half of this one is used.
    fn prepare(&mut self) {
        match &self.next {
            Next::Unmade if self.offset > self.current.capacity / 2 && self.may_make() => {
                let (directory, store, spares) =
                    (self.directory.clone(), self.store, Arc::clone(&self.spares));
                let id = self.current.id + 1;
                let make = move || Segment::make(&directory, store, id, spares.segment_bytes, spares.take());
                let thread = std::thread::Builder::new().name("journal-next".into()).spawn(make);
                // Without a thread the file is made when it is needed.
                if let Ok(thread) = thread {
                    self.next = Next::Making(thread);
                }
            }
            Next::Making(thread) if thread.is_finished() => {
                if let Next::Making(thread) = std::mem::replace(&mut self.next, Next::Unmade) {
                    match join(thread).inspect_err(warn) {
                        Ok(segment) => self.next = Next::Made(segment),
                        Err(_) => self.failed_at = Some(Instant::now()),
                    }
                }
            }
            Next::Unmade | Next::Making(_) | Next::Made(_) => {}
        }
    }

    /// Not again and again where there is no room.
    fn may_make(&self) -> bool {
        self.failed_at.is_none_or(|failed| failed.elapsed() >= MAKE_AGAIN)
    }

    fn make(&self, id: u32) -> Result<Segment, StoreError> {
        Segment::make(&self.directory, self.store, id, self.spares.segment_bytes, self.spares.take())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Nobody else may open the directory while a file is still being made in it.
        if let Next::Making(thread) = std::mem::replace(&mut self.next, Next::Unmade) {
            let _ = join(thread).inspect_err(warn);
        }
    }
}

fn join(thread: JoinHandle<Result<Segment, StoreError>>) -> Result<Segment, StoreError> {
    thread.join().unwrap_or(Err(StoreError::Ended { thread: "maker of journal files" }))
}

fn warn(error: &StoreError) {
    // It is tried again when it is needed.
    tracing::warn!(%error, "store.next_file_failed");
}

/// Positions are 32 bits wide.
const GROUP_BYTES_MAX: u64 = 1 << 31;
const MAKE_AGAIN: Duration = Duration::from_secs(1);
