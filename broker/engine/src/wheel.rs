//! Wheel: what is due later, by tick; adding and taking back cost the same however much waits.

/// Things that are due at some tick, counted up from 0.
///
/// Eight rings of 64 slots: a slot of the first is one tick, a slot of each further one is as long as the whole ring
/// before it. Something waits in the ring where its tick first differs from the present one, and moves inwards as its time
/// comes near, so that it is touched eight times at most. Each slot is a list through one slab, in the order of asking.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    /// Everything before this tick was taken.
    now: u64,
    rings: [Ring; RINGS],
    slab: Vec<Place<T>>,
    /// The first place of the slab that is free; those follow each other by `next`.
    free: u32,
    waiting: usize,
    /// How many were ever added.
    added: u64,
}

#[derive(Debug, Clone, Copy)]
struct Ring {
    /// Which slots have something, a bit each.
    occupied: u64,
    slots: [List; SLOTS],
}

/// The ends of a list through the slab.
#[derive(Debug, Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

#[derive(Debug)]
struct Place<T> {
    /// What waits; `None`: the place is free.
    waits: Option<T>,
    tick: u64,
    previous: u32,
    next: u32,
    /// Which addition it holds: the ticket of an earlier one means nothing.
    added: u64,
    ring: u8,
    slot: u8,
}

/// Names something in a wheel, for taking it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    place: u32,
    added: u64,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        let ring = Ring { occupied: 0, slots: [List { first: NONE, last: NONE }; SLOTS] };
        Self { now: 0, rings: [ring; RINGS], slab: Vec::new(), free: NONE, waiting: 0, added: 0 }
    }
}

impl<T> Wheel<T> {
    /// Adds what is due at `tick`; what is due already is taken with the next [`Self::take`].
    pub(crate) fn insert(&mut self, tick: u64, waits: T) -> Ticket {
        let tick = tick.clamp(self.now, TICK_MAX.max(self.now));
        self.added += 1;
        self.waiting += 1;
        let at = self.vacant();
        let place = &mut self.slab[at as usize];
        (place.waits, place.tick, place.added) = (Some(waits), tick, self.added);
        self.append(at);
        Ticket { place: at, added: self.added }
    }

    /// Takes something back; `None`: its time came before.
    pub(crate) fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        let place = self.slab.get(ticket.place as usize)?;
        if place.added != ticket.added || place.waits.is_none() {
            return None;
        }
        self.unlink(ticket.place);
        self.vacate(ticket.place)
    }

    /// Takes the first of what is due at `tick` or before, by tick, and by the order of asking where that is the same.
    pub(crate) fn take(&mut self, tick: u64) -> Option<T> {
        loop {
            let Some((ring, slot, start)) = self.first_slot() else {
                self.now = self.now.max(tick);
                return None;
            };
            if start > tick {
                // No slot starts on the way there, so nothing lies in a ring that would be wrong then.
                self.now = self.now.max(tick);
                return None;
            }
            self.now = start;
            let at = self.rings[ring].slots[slot].first;
            if ring == 0 {
                self.unlink(at);
                return self.vacate(at);
            }
            self.move_inwards(ring, slot);
        }
    }

    /// The first tick at which [`Self::take`] may have something to give, or to move; `None`: nothing waits.
    pub(crate) fn next(&self) -> Option<u64> {
        self.first_slot().map(|(_, _, start)| start)
    }

    /// The slot whose time comes first, and the tick it starts at. Whatever lies in a ring comes before all that lies in
    /// the rings outside of it.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        let ring = self.rings.iter().position(|ring| ring.occupied != 0)?;
        let slot = self.rings[ring].occupied.trailing_zeros();
        let shift = BITS * ring as u32;
        // What the rings outside say, then the slot, then nothing.
        let outer = self.now >> (shift + BITS) << (shift + BITS);
        Some((ring, slot as usize, outer | (u64::from(slot) << shift)))
    }

    /// The time of a slot of an outer ring has come: what is in it is parted among the rings inside, in its order.
    fn move_inwards(&mut self, ring: usize, slot: usize) {
        let mut at = self.rings[ring].slots[slot].first;
        self.rings[ring].slots[slot] = List { first: NONE, last: NONE };
        self.rings[ring].occupied &= !(1 << slot);
        while at != NONE {
            let next = self.slab[at as usize].next;
            self.append(at);
            at = next;
        }
    }

    /// Puts a place at the end of the list it belongs to.
    fn append(&mut self, at: u32) {
        let tick = self.slab[at as usize].tick;
        let differs = (tick ^ self.now).checked_ilog2().unwrap_or(0);
        let ring = (differs / BITS) as usize;
        let slot = (tick >> (BITS * ring as u32)) as usize % SLOTS;
        let list = &mut self.rings[ring].slots[slot];
        let last = std::mem::replace(&mut list.last, at);
        if last == NONE {
            list.first = at;
            self.rings[ring].occupied |= 1 << slot;
        } else {
            self.slab[last as usize].next = at;
        }
        let place = &mut self.slab[at as usize];
        (place.previous, place.next) = (last, NONE);
        (place.ring, place.slot) = (ring as u8, slot as u8);
    }

    /// Takes a place out of its list.
    fn unlink(&mut self, at: u32) {
        let Place { previous, next, ring, slot, .. } = self.slab[at as usize];
        let ring = &mut self.rings[usize::from(ring)];
        let list = &mut ring.slots[usize::from(slot)];
        match previous {
            NONE => list.first = next,
            previous => self.slab[previous as usize].next = next,
        }
        match next {
            NONE => list.last = previous,
            next => self.slab[next as usize].previous = previous,
        }
        if list.first == NONE {
            ring.occupied &= !(1 << slot);
        }
    }

    fn vacant(&mut self) -> u32 {
        if self.free == NONE {
            let at = u32::try_from(self.slab.len()).ok().filter(|at| *at < NONE);
            let at = at.expect("four billion timers do not fit in memory");
            self.slab.push(Place {
                waits: None,
                tick: 0,
                previous: NONE,
                next: NONE,
                added: 0,
                ring: 0,
                slot: 0,
            });
            return at;
        }
        let at = self.free;
        self.free = self.slab[at as usize].next;
        at
    }

    fn vacate(&mut self, at: u32) -> Option<T> {
        let free = self.free;
        let place = &mut self.slab[at as usize];
        place.next = free;
        let waits = place.waits.take();
        self.free = at;
        self.waiting -= 1;
        if self.waiting == 0 {
            // After a storm: nothing waits, so the room may go.
            self.free = NONE;
            self.slab = Vec::new();
        }
        waits
    }
}

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const RINGS: usize = 8;
/// The last tick there is: in milliseconds, in nine thousand years.
const TICK_MAX: u64 = (1 << (BITS * RINGS as u32)) - 1;
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_due_comes_in_its_order_and_only_once() {
        let mut wheel = Wheel::default();
        for tick in [200_000, 1, 70, 70, 64, 0] {
            wheel.insert(tick, tick);
        }
        assert_eq!(taken(&mut wheel, 63), [0, 1]);
        assert_eq!(taken(&mut wheel, 70), [64, 70, 70]);
        assert_eq!(taken(&mut wheel, 199_999), [0; 0]);
        assert_eq!(taken(&mut wheel, 200_000), [200_000]);
        assert_eq!((taken(&mut wheel, u64::from(u32::MAX)), wheel.next()), (vec![], None));
    }

    #[test]
    fn the_order_of_asking_holds_where_the_tick_is_the_same() {
        let mut wheel = Wheel::default();
        wheel.insert(5000, 1);
        taken(&mut wheel, 4000);
        wheel.insert(5000, 2);
        taken(&mut wheel, 4999);
        wheel.insert(5000, 3);
        wheel.insert(10, 0);
        assert_eq!(taken(&mut wheel, 5000), [0, 1, 2, 3]);
    }

    #[test]
    fn what_was_taken_back_leaves_nothing() {
        let mut wheel = Wheel::default();
        let stale = wheel.insert(9, 0);
        for round in 0..1000 {
            let ticket = wheel.insert(u64::MAX - round, round);
            assert_eq!(wheel.cancel(ticket), Some(round));
            assert_eq!(wheel.cancel(ticket), None);
        }
        assert_eq!((wheel.waiting, wheel.slab.len(), wheel.next().is_some()), (1, 2, true));
        assert_eq!(wheel.cancel(stale), Some(0));
        assert_eq!((wheel.slab.capacity(), wheel.next()), (0, None));
        // Its place has another one now.
        wheel.insert(9, 7);
        assert_eq!(wheel.cancel(stale), None);
        assert_eq!(taken(&mut wheel, 9), [7]);
    }

    /// One thing that is done to a wheel.
    #[derive(Debug, Clone)]
    enum Step {
        Insert { after: u64 },
        Cancel { which: usize },
        Take { after: u64, max: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // As near and as far as each ring reaches, and around its ends.
        let after = || (0..50u32).prop_flat_map(|bits| 0..=(1u64 << bits));
        let step = prop_oneof![
            4 => after().prop_map(|after| Step::Insert { after }),
            1 => any::<usize>().prop_map(|which| Step::Cancel { which }),
            2 => (after(), 0..20usize).prop_map(|(after, max)| Step::Take { after, max }),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn it_does_as_an_ordered_map_does(steps in steps()) {
            let mut wheel = Wheel::default();
            let mut model: BTreeMap<(u64, u64), u64> = BTreeMap::new();
            let mut tickets = Vec::new();
            let (mut now, mut added) = (0u64, 0);
            for step in steps {
                match step {
                    Step::Insert { after } => {
                        added += 1;
                        let tick = (now + after).min(TICK_MAX);
                        tickets.push((wheel.insert(tick, added), (tick, added)));
                        model.insert((tick, added), added);
                    }
                    Step::Cancel { which } if !tickets.is_empty() => {
                        let (ticket, key) = tickets[which % tickets.len()];
                        prop_assert_eq!(wheel.cancel(ticket), model.remove(&key));
                    }
                    Step::Cancel { .. } => {}
                    Step::Take { after, max } => {
                        now = (now + after).min(TICK_MAX);
                        for _ in 0..max {
                            let due = model.first_entry().filter(|first| first.key().0 <= now);
                            let due = due.map(|first| first.remove());
                            prop_assert_eq!(wheel.take(now), due);
                            if due.is_none() {
                                break;
                            }
                        }
                    }
                }
                prop_assert_eq!(wheel.waiting, model.len());
                let next = model.first_key_value().map(|((tick, _), _)| *tick);
                prop_assert_eq!(wheel.next().is_some(), next.is_some());
                prop_assert!(wheel.next() <= next, "what is due must not be slept through");
            }
        }
    }

    fn taken(wheel: &mut Wheel<u64>, tick: u64) -> Vec<u64> {
        std::iter::from_fn(|| wheel.take(tick)).collect()
    }
}
