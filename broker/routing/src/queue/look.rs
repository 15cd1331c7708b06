//! Look: what is in a queue, seen without taking it

use model::stream::Start;
use model::time::WallMs;

use super::Queue;
use crate::queue::entry::Item;
use crate::queue::ready::Ready;
use crate::queue::report::Looked;

impl Queue {
    /// Entries from there on in the order of their numbers, at most so many, and of these, but for one, no more bytes by
    /// [`model::message::Message::size_bytes`]: those whose messages are not here without them. What is on loan is left out.
    pub fn look(&self, start: Start, max: usize, bytes_max: u64) -> Looked {
        if let Some(stream) = &self.stream {
            return stream.look(start, max, bytes_max);
        }
        let state = self.lock();
        let next = state.sequence + 1;
        let (from, since): (u64, Option<WallMs>) = match start {
            Start::First => (0, None),
            Start::Next => (next, None),
            Start::Offset(offset) => (offset, None),
            Start::At(at) => (0, Some(at)),
            Start::Last(count) => (last(&state.ready, count).unwrap_or(next), None),
        };
        // Of each lane so many, and of those the first.
        let mut all: Vec<(u64, u32, Option<Item>)> = Vec::new();
        for lane in state.ready.lanes() {
            let at = lane.partition_point(|entry| entry.sequence < from);
            all.extend(lane.iter().skip(at).take(max + 1).map(|entry| {
                let size = u32::try_from(entry.item.message.size_bytes()).unwrap_or(u32::MAX);
                (entry.sequence, size, Some(entry.item.clone()))
            }));
        }
        if let Some(absent) = state.ready.absent() {
            for lane in absent.from(from) {
                all.extend(lane.take(max + 1).map(|(sequence, size)| (sequence, size, None)));
            }
        }
        drop(state);
        all.sort_unstable_by_key(|(sequence, ..)| *sequence);
        Looked::some(all, since, max, bytes_max)
    }

    /// The number of the newest entry that ever was in it.
    pub fn newest(&self) -> u64 {
        match &self.stream {
            Some(stream) => stream.ends().next.saturating_sub(1),
            None => self.lock().sequence,
        }
    }
}

/// The number of the one behind which there are `count - 1`; of the oldest, where there are not so many.
fn last(ready: &Ready, count: u64) -> Option<u64> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut newest: Vec<u64> = Vec::new();
    for lane in ready.lanes() {
        newest.extend(lane.iter().rev().take(count).map(|entry| entry.sequence));
    }
    if let Some(absent) = ready.absent() {
        for lane in absent.newest() {
            newest.extend(lane.take(count));
        }
    }
    newest.sort_unstable_by_key(|sequence| std::cmp::Reverse(*sequence));
    newest.get(count - 1).or_else(|| newest.last()).copied()
}
