//! What a connection works with during its turn, and leaves to the next one on the same worker.
//!
//! An idle connection holds no buffer and no list: with ten thousand of them, that is what they would cost.

use std::cell::Cell;
use std::task::Waker;

use bytes::BytesMut;
use model::delivery::Delivery;
use model::event::Event;
use model::outbox::Outbox;

use crate::pacing::{READ_BYTES, READ_BYTES_MIN};

/// Buffers and lists, empty between turns.
#[derive(Debug, Default)]
pub(crate) struct Workbench {
    /// What is read goes in here first.
    read: BytesMut,
    /// What the session hands back.
    pub(crate) out: Outbox,
    /// Answers and news for the session.
    pub(crate) events: Vec<Event>,
    /// Messages for the session.
    pub(crate) deliveries: Vec<Delivery>,
    /// Who let the next one on this worker go first.
    pub(crate) gave_way: Option<GaveWay>,
    /// How many turns there were on this worker since it had nothing to do; `None` where nobody tells when that is.
    pub(crate) turns: Option<u32>,
}

/// A connection that has an answer to write and lets another one go first. It is woken when this is dropped, so that no
/// way of losing it leaves the answer unwritten.
#[derive(Debug)]
pub(crate) struct GaveWay(pub(crate) Waker);

impl Drop for GaveWay {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

thread_local! {
    static BENCH: Cell<Option<Box<Workbench>>> = const { Cell::new(None) };
}

impl Workbench {
    /// The one of this thread; a new one if somebody has it or broke it.
    pub(crate) fn borrow() -> Box<Self> {
        BENCH.take().unwrap_or_default()
    }

    /// Back to its place, tidy.
    pub(crate) fn give_back(mut self: Box<Self>) {
        self.out.requests.clear();
        self.out.close = None;
        self.events.clear();
        self.deliveries.clear();
        BENCH.set(Some(self));
    }

    /// A buffer to read into, empty and with room. What is split off it shares its memory, and what nobody holds on to
    /// is used again.
    pub(crate) fn read_buffer(&mut self) -> &mut BytesMut {
        if !self.read.try_reclaim(READ_BYTES) && self.read.capacity() < READ_BYTES_MIN {
            self.read = BytesMut::with_capacity(READ_BYTES);
        }
        &mut self.read
    }

    /// What was read.
    pub(crate) fn take_read(&mut self) -> BytesMut {
        self.read.split()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_buffer_is_used_again_when_nobody_holds_on_to_it() {
        let mut bench = Workbench::default();
        let first = bench.read_buffer().as_ptr();
        bench.read_buffer().extend_from_slice(b"gone soon");
        drop(bench.read_buffer().split());
        assert_eq!(bench.read_buffer().as_ptr(), first);
        assert!(bench.read_buffer().capacity() >= READ_BYTES);
    }

    #[test]
    fn small_pieces_that_are_held_share_a_buffer() {
        let mut bench = Workbench::default();
        let start = bench.read_buffer().as_ptr() as usize;
        let held: Vec<BytesMut> = (0..10)
            .map(|_| {
                bench.read_buffer().extend_from_slice(b"kept");
                bench.read_buffer().split()
            })
            .collect();
        assert!(held.iter().all(|piece| (start..start + READ_BYTES).contains(&(piece.as_ptr() as usize))));
    }
}
