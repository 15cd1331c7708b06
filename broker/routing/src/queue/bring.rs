//! Bring: what was there before the broker stopped, and messages that a queue let go of

use super::Queue;
use crate::queue::absent::Brief;
use crate::queue::entry::{Entry, Item};
use crate::wake::Wakes;

impl Queue {
    /// Puts back what was there before the broker stopped, in any order and beyond any limit, before the first consumer. What
    /// was in a stream comes in ascending order.
    pub fn restore(&self, sequence: u64, item: Item) {
        if let Some(stream) = &self.stream {
            let size = u32::try_from(item.message.size_bytes()).unwrap_or(u32::MAX);
            return stream.restore(sequence, size, item.message.published_at, Some(item));
        }
        let mut state = self.lock();
        state.sequence = state.sequence.max(sequence);
        state.ready.insert(Entry { sequence, item });
        self.note_expiry(&state);
    }

    /// The same for an entry without its message.
    pub fn restore_absent(&self, sequence: u64, brief: Brief) {
        if let Some(stream) = &self.stream {
            return stream.restore(sequence, brief.size_bytes, brief.published_at, None);
        }
        let mut state = self.lock();
        state.sequence = state.sequence.max(sequence);
        state.ready.restore(sequence, brief);
        self.note_expiry(&state);
    }

    /// The numbers of the entries whose messages are to be brought now, if any are: [`Self::fill`] or
    /// [`Self::fetch_failed`] must follow, and until then there are no others. To be asked when [`Taken::absent`] says so. At
    /// most `messages_max`, and, but for one message, `bytes_max`; of a stream, a page.
    pub fn begin_fetch(&self, messages_max: usize, bytes_max: u64) -> Option<Vec<u64>> {
        if let Some(stream) = &self.stream {
            return stream.begin_fetch();
        }
        let mut state = self.lock();
        if !state.ready.is_hungry() {
            return None;
        }
        Some(state.ready.absent_mut()?.fetch(messages_max.max(1), bytes_max))
    }

    /// What was found of those that were `asked` for. Returns which of them wait and were not found: they are gone from
    /// the queue.
    pub fn fill(&self, asked: &[u64], found: Vec<(u64, Item)>, wakes: &mut Wakes) -> Vec<u64> {
        if let Some(stream) = &self.stream {
            return stream.fill(found, wakes);
        }
        let mut state = self.lock();
        let entries = found.into_iter().map(|(sequence, item)| Entry { sequence, item });
        state.ready.fill(entries.collect());
        let lost = asked.iter().copied().filter(|one| state.ready.remove_absent(*one).is_some()).collect();
        if let Some(absent) = state.ready.absent_mut() {
            absent.fetching = false;
        }
        self.note_expiry(&state);
        state.offer(wakes);
        lost
    }

    /// They did not come this time. Whoever consumes is called, and asks again.
    pub fn fetch_failed(&self, wakes: &mut Wakes) {
        if let Some(stream) = &self.stream {
            return stream.fetch_failed(wakes);
        }
        let mut state = self.lock();
        if let Some(absent) = state.ready.absent_mut() {
            absent.fetching = false;
        }
        state.offer(wakes);
    }

    /// Whether something waits to go elsewhere until its message has come.
    pub fn has_due(&self) -> bool {
        self.lock().ready.absent().is_some_and(|absent| !absent.due.is_empty())
    }
}
