//! Completion: what happens once a changeset is on disk.

/// Called once, on the store's own thread, in the order of the commits. Dropped without a call if the store fails first:
/// then nothing was promised, and nothing is to be acknowledged.
pub trait Completion: Send {
    /// It is on disk. Must not block, and must not close the store.
    fn committed(self: Box<Self>);
}
