//! Readers: how far each of those has come who read a stream

use std::collections::VecDeque;
use std::sync::Arc;

use model::time::WallMs;

use crate::queue::consumers::{ConsumerKey, ConsumerOptions};
use crate::wake::{Readiness, Wakes};

/// Somebody who reads, and what he has read and not settled.
pub(crate) struct Reader {
    pub(crate) options: ConsumerOptions,
    pub(crate) readiness: Arc<Readiness>,
    /// The lowest number that he may get next.
    pub(crate) next: u64,
    /// What came in before that is passed over, until something is not.
    pub(crate) since: Option<WallMs>,
    pub(crate) waits: Waits,
    /// What he has to settle, by number.
    loans: VecDeque<u64>,
}

/// What somebody who reads waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Nothing: he was called, and comes.
    Nothing,
    /// The next entry.
    Entry,
    /// Messages that are brought.
    Page(u64),
    /// Until he has settled something.
    Room,
}

impl Reader {
    /// How many more deliveries he may have unsettled.
    pub(crate) fn credit(&self) -> usize {
        match self.options.prefetch {
            None => usize::MAX,
            Some(prefetch) => (prefetch as usize).saturating_sub(self.loans.len()),
        }
    }

    /// How many he has not settled.
    pub(crate) fn loans(&self) -> usize {
        self.loans.len()
    }

    /// He gets the entry of that number, which is above all that he had, and has to settle it.
    pub(crate) fn lend(&mut self, number: u64) {
        self.loans.push_back(number);
    }

    /// Whether he has an entry of that number.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.loans.binary_search(&number).is_ok()
    }

    /// Settles an entry; `false`: he has none of that number.
    pub(crate) fn settle(&mut self, number: u64) -> bool {
        let found = self.loans.binary_search(&number);
        found.is_ok_and(|at| self.loans.remove(at).is_some())
    }

    /// Has him come, unless he was called already.
    pub(crate) fn call(&mut self, wakes: &mut Wakes) {
        if self.waits != Waits::Nothing {
            self.waits = Waits::Nothing;
            self.readiness.call(self.options.id, wakes);
        }
    }
}

/// All who read a stream. Nobody takes anything from another one.
#[derive(Default)]
pub(crate) struct Readers {
    slots: Vec<Slot>,
    free: Vec<u32>,
    len: usize,
    /// Who may wait for the next entry: whoever writes it calls them, and looks at nobody else.
    at_the_end: Vec<ConsumerKey>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    reader: Option<Reader>,
}

impl Readers {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Reader> {
        self.slots.iter().filter_map(|slot| slot.reader.as_ref())
    }

    pub(crate) fn get_mut(&mut self, key: ConsumerKey) -> Option<&mut Reader> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        slot.reader.as_mut().filter(|_| slot.generation == key.generation)
    }

    /// Somebody comes, and is called: he finds out himself whether there is something.
    pub(crate) fn attach(
        &mut self,
        options: ConsumerOptions,
        readiness: Arc<Readiness>,
        (next, since): (u64, Option<WallMs>),
        wakes: &mut Wakes,
    ) -> ConsumerKey {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let mut reader =
            Reader { options, readiness, next, since, waits: Waits::Entry, loans: VecDeque::new() };
        reader.call(wakes);
        let mut key = ConsumerKey { slot: at, generation: 0 };
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.generation = slot.generation.wrapping_add(1);
            slot.reader = Some(reader);
            key.generation = slot.generation;
            self.len += 1;
        }
        key
    }

    pub(crate) fn detach(&mut self, key: ConsumerKey) -> Option<Reader> {
        self.get_mut(key)?;
        let gone = self.slots.get_mut(key.slot as usize)?.reader.take()?;
        self.free.push(key.slot);
        self.len -= 1;
        self.at_the_end.retain(|other| *other != key);
        Some(gone)
    }

    /// That one has read all that there is.
    pub(crate) fn wait_for_more(&mut self, key: ConsumerKey) {
        self.at_the_end.push(key);
    }

    /// There is more.
    pub(crate) fn call_those_at_the_end(&mut self, wakes: &mut Wakes) {
        for key in std::mem::take(&mut self.at_the_end) {
            if let Some(reader) = self.get_mut(key).filter(|reader| reader.waits == Waits::Entry) {
                reader.call(wakes);
            }
        }
    }

    /// Has those come whose wait is such. Whether there are any.
    pub(crate) fn call_if(&mut self, is_such: impl Fn(Waits) -> bool, wakes: &mut Wakes) -> bool {
        let mut any = false;
        for reader in self.slots.iter_mut().filter_map(|slot| slot.reader.as_mut()) {
            if is_such(reader.waits) {
                any = true;
                reader.call(wakes);
            }
        }
        any
    }
}
