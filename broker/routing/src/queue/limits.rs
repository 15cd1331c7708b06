//! Length and bytes, and what then.

use model::queue::QueueOptions;

/// What waits in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Entries that may be taken.
    pub ready: u64,
    /// These, and those on their way to the disk.
    pub messages: u64,
    /// All of them in bytes by [`model::message::Message::size_bytes`].
    pub bytes: u64,
}

/// A queue takes no more: what waits has reached a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full: at most {max} {what} may wait")]
pub struct Full {
    /// What is limited: `messages` or `bytes`.
    pub what: &'static str,
    /// The limit.
    pub max: u64,
}

/// What is promised to entries that are on their way to the disk. They count as waiting from the start, or a slow disk
/// would let a queue grow past its limit.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    reserved: u64,
    reserved_bytes: u64,
}

impl Limits {
    /// Whether one more message of `bytes` has room beside the `ready` ones of `ready_bytes`.
    pub(crate) fn check(
        &self,
        options: &QueueOptions,
        ready: usize,
        ready_bytes: u64,
        bytes: usize,
    ) -> Result<(), Full> {
        let over = |max: Option<u64>, wanted: u64| max.filter(|max| wanted > *max);
        if let Some(max) = over(options.ready_max, ready as u64 + self.reserved + 1) {
            return Err(Full { what: "messages", max });
        }
        if let Some(max) = over(options.ready_bytes_max, ready_bytes + self.reserved_bytes + bytes as u64) {
            return Err(Full { what: "bytes", max });
        }
        Ok(())
    }

    /// Whether more waits than may, though what is on its way to the disk is not there yet.
    pub(crate) fn is_over(options: &QueueOptions, ready: usize, ready_bytes: u64) -> bool {
        options.ready_max.is_some_and(|max| ready as u64 > max)
            || options.ready_bytes_max.is_some_and(|max| ready_bytes > max)
    }

    /// How many entries are on their way, and their bytes.
    pub(crate) const fn reserved(&self) -> (u64, u64) {
        (self.reserved, self.reserved_bytes)
    }

    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.reserved += 1;
        self.reserved_bytes += bytes as u64;
    }

    /// The entry was shown, or will not come. More than was promised cannot be given back.
    pub(crate) fn unreserve(&mut self, bytes: usize) {
        self.reserved = self.reserved.saturating_sub(1);
        self.reserved_bytes = self.reserved_bytes.saturating_sub(bytes as u64);
    }
}
