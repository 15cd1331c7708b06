//! Sealed segments: what their digests are made for, and whether they are still what those say.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use crate::digest::{Heading, digest_path};
use crate::error::StoreError;
use crate::group::HEADER_BYTES;
use crate::position::Position;
use crate::segment::{Segment, StoreId};

/// Reads all groups of a segment up to `used`, and says for which digest they are.
///
/// # Errors
///
/// One of them is not whole.
pub(crate) fn heading_of(
    segment: &Segment,
    store: StoreId,
    used: u32,
    through: Position,
) -> Result<Heading, StoreError> {
    let (mut first, mut next, mut crc) = (None, 0, 0);
    segment.each_group(Segment::FIRST, used, &mut |at, bytes, found| {
        if *first.get_or_insert(found.number) != found.number && found.number != next {
            return Err(StoreError::damaged(segment.path(), at.into(), "groups are missing before this one"));
        }
        crc = crc32c::crc32c_append(crc, bytes.get(..HEADER_BYTES).unwrap_or_default());
        next = found.number + found.numbers;
        Ok(ControlFlow::Continue(()))
    })?;
    let Segment { id, salt, .. } = segment;
    let first = first.unwrap_or(next);
    Ok(Heading { segment: *id, store, salt: *salt, used, first, next, crc, through })
}

/// Reads, while a start goes on, the segments of which it read the digest alone: what is damaged in them must be known before
/// anybody is served.
#[derive(Debug)]
pub(crate) struct Verifier {
    directory: PathBuf,
    segments: Option<Sender<(Segment, Heading)>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<u32>, StoreError>>>,
}

impl Verifier {
    /// # Errors
    ///
    /// The system has no thread.
    pub(crate) fn start(directory: &Path) -> Result<Self, StoreError> {
        let (segments, queue) = crossbeam_channel::unbounded();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::Builder::new()
            .name("store-verify".into())
            .spawn(move || verify(&queue, &stop))
            .map_err(StoreError::io("start a thread for", directory))?;
        let directory = directory.to_path_buf();
        Ok(Self { directory, segments: Some(segments), stopping, thread: Some(thread) })
    }

    /// This one's digest was believed.
    pub(crate) fn push(&self, segment: Segment, heading: Heading) {
        if let Some(segments) = &self.segments {
            // A thread that has ended says why.
            let _ = segments.send((segment, heading));
        }
    }

    /// Whether all digests that were believed are what their segments add up to; those that are not are gone by now.
    ///
    /// # Errors
    ///
    /// A segment is damaged.
    pub(crate) fn finish(mut self) -> Result<bool, StoreError> {
        self.segments = None;
        let untrue = match self.thread.take().map(JoinHandle::join) {
            Some(Ok(verified)) => verified?,
            Some(Err(_)) | None => return Err(StoreError::Ended { thread: "verifier" }),
        };
        for segment in &untrue {
            let path = digest_path(&self.directory, *segment);
            tracing::warn!(file = %path.display(), "store.digest_untrue");
            std::fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
        Ok(untrue.is_empty())
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        // Nobody else may open the directory while it is read.
        self.stopping.store(true, Ordering::Relaxed);
        self.segments = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Which digests are not of their segments.
fn verify(segments: &Receiver<(Segment, Heading)>, stopping: &AtomicBool) -> Result<Vec<u32>, StoreError> {
    let mut untrue = Vec::new();
    for (segment, heading) in segments {
        if stopping.load(Ordering::Relaxed) {
            break;
        }
        let Heading { store, used, through, .. } = heading;
        if heading_of(&segment, store, used, through)? != heading {
            untrue.push(segment.id);
        }
    }
    Ok(untrue)
}
