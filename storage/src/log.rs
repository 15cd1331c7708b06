//! Log: the door to any journal.

use crate::error::StoreError;
use crate::group::Group;
use crate::position::Position;

/// A journal that acknowledgements wait for. One thread appends; any thread may read what is durable.
///
/// Opening is each maker's own affair and includes recovery: whatever was damaged by a crash in the middle of a write is
/// cut off before anybody reads.
pub trait Log: Send + Sync {
    /// Writes a group behind all others; it lasts only after [`Self::sync`]. The group is left as it was written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] if somebody else owns the journal now. After any error nothing more may be appended.
    fn append(&self, group: &mut Group) -> Result<(), StoreError>;

    /// Makes everything that was appended last. Returns where it ends.
    ///
    /// # Errors
    ///
    /// After any error nobody knows what is on disk: nothing more may be appended, nothing acknowledged.
    fn sync(&self) -> Result<Position, StoreError>;

    /// Where that which lasts ends.
    fn durable(&self) -> Position;

    /// Shows every durable record from `from`, which is the start or the end of a group, up to `to`, in order, until
    /// `visit` says that it has seen enough. Returns where it stopped, behind a whole group.
    ///
    /// # Errors
    ///
    /// Damage, or what `visit` returns.
    fn scan(&self, from: Position, to: Position, visit: &mut Visit<'_>) -> Result<Position, StoreError>;

    /// One record, by its position.
    ///
    /// # Errors
    ///
    /// Damage, or that it is not there any more.
    fn read(&self, at: Position) -> Result<Vec<u8>, StoreError>;

    /// The records at these positions, which ascend and of which none is twice, each shown once. What `visit` says changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::read`], or what `visit` returns; some may have been shown before.
    fn read_each(&self, wanted: &[Position], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for at in wanted {
            visit(*at, &self.read(*at)?)?;
        }
        Ok(())
    }

    /// Puts a digest beside a segment that is complete: what was alive of it when the journal reached `through`. A journal that
    /// has another way to start fast needs none.
    ///
    /// # Errors
    ///
    /// The segment is damaged, or what the system says. Nothing depends on it.
    fn put_digest(&self, _segment: u32, _through: Position, _body: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    /// What there is, oldest first. The last one is being written.
    fn segments(&self) -> Vec<SegmentSummary>;

    /// Gives up everything before this segment.
    ///
    /// # Errors
    ///
    /// Whatever the system says. What could not be given up is still there, and does no harm; it may be tried again, unless it is
    /// that names could not be synced.
    fn trim(&self, before: u32) -> Result<(), StoreError>;
}

/// Sees records, each with its position.
pub type Visit<'a> = dyn FnMut(Position, &[u8]) -> Result<Seen, StoreError> + 'a;

/// What a visitor says after each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The next, please.
    More,
    /// No further group, please; the records of this one still come.
    Enough,
}

/// One part of a journal that is given up as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Counts up from 1.
    pub id: u32,
    /// How many bytes of it are used.
    pub used: u32,
    /// How many bytes its digest takes; 0: it has none.
    pub digest_bytes: u64,
}
