//! Length and bytes, and what then.

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

/// How much may wait, and what is promised to entries that are on their way to the disk. They count as waiting from the
/// start, or a slow disk would let a queue grow past its limit.
#[derive(Debug)]
pub(crate) struct Limits {
    /// The highest number there is: as many as there are.
    ready_max: u64,
    ready_bytes_max: u64,
    reserved: u64,
    reserved_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ready_max: u64::MAX, ready_bytes_max: u64::MAX, reserved: 0, reserved_bytes: 0 }
    }
}

impl Limits {
    /// So much may wait from now on, whatever waits.
    pub(crate) fn set(&mut self, ready_max: Option<u64>, ready_bytes_max: Option<u64>) {
        self.ready_max = ready_max.unwrap_or(u64::MAX);
        self.ready_bytes_max = ready_bytes_max.unwrap_or(u64::MAX);
    }

    /// How many messages may wait, and how many bytes.
    pub(crate) const fn most(&self) -> (u64, u64) {
        (self.ready_max, self.ready_bytes_max)
    }

    /// Whether one more message of `bytes` has room beside the `ready` ones of `ready_bytes`.
    pub(crate) fn check(&self, ready: usize, ready_bytes: u64, bytes: usize) -> Result<(), Full> {
        if ready as u64 + self.reserved + 1 > self.ready_max {
            return Err(Full { what: "messages", max: self.ready_max });
        }
        if ready_bytes + self.reserved_bytes + bytes as u64 > self.ready_bytes_max {
            return Err(Full { what: "bytes", max: self.ready_bytes_max });
        }
        Ok(())
    }

    /// Whether more waits than may, though what is on its way to the disk is not there yet.
    pub(crate) fn is_over(&self, ready: usize, ready_bytes: u64) -> bool {
        ready as u64 > self.ready_max || ready_bytes > self.ready_bytes_max
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
