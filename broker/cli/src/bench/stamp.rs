//! A stamp: what a payload of ours begins with, so that whoever gets it knows whose it is, which, and when it was due.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// What is written at the front of each payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The run of the command that sent it.
    pub(crate) run: u64,
    /// Which of its publishers did.
    pub(crate) publisher: u32,
    /// Its number among those of that publisher, from 0 on.
    pub(crate) sequence: u64,
    /// When it was to be sent, in nanoseconds since 1970.
    pub(crate) due_ns: u64,
}

/// How long a stamp is, in bytes: a payload is not shorter.
pub(crate) const STAMP_BYTES: usize = 36;

const MAGIC: [u8; 8] = *b"duetmqb1";

impl Stamp {
    /// A payload of `size` bytes with this at the front.
    pub(crate) fn payload(&self, size: usize) -> Bytes {
        let mut payload = Vec::with_capacity(size.max(STAMP_BYTES));
        payload.extend_from_slice(&MAGIC);
        payload.extend_from_slice(&self.run.to_be_bytes());
        payload.extend_from_slice(&self.publisher.to_be_bytes());
        payload.extend_from_slice(&self.sequence.to_be_bytes());
        payload.extend_from_slice(&self.due_ns.to_be_bytes());
        payload.resize(size.max(STAMP_BYTES), b'.');
        payload.into()
    }

    /// The stamp of a payload; `None` if it has none.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let rest = payload.strip_prefix(&MAGIC)?;
        let (run, rest) = rest.split_first_chunk()?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (due_ns, _) = rest.split_first_chunk()?;
        Some(Self {
            run: u64::from_be_bytes(*run),
            publisher: u32::from_be_bytes(*publisher),
            sequence: u64::from_be_bytes(*sequence),
            due_ns: u64::from_be_bytes(*due_ns),
        })
    }
}

/// Now, in nanoseconds since 1970: what processes of one machine agree on.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stamped_is_read_and_nothing_else_is() {
        let stamp = Stamp { run: 7, publisher: 3, sequence: u64::MAX, due_ns: 12 };
        for size in [0, STAMP_BYTES, 64] {
            let payload = stamp.payload(size);
            assert_eq!((payload.len(), Stamp::read(&payload)), (size.max(STAMP_BYTES), Some(stamp)));
            assert_eq!(Stamp::read(&payload[..STAMP_BYTES - 1]), None);
        }
        assert_eq!(Stamp::read(b"hello"), None);
    }
}
