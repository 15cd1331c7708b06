//! Spots: where the entries of one queue lie, in few bytes each.

use std::collections::BTreeMap;

use crate::position::Position;

/// Where one entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The record with its message.
    pub(crate) position: Position,
    /// Its share of that record.
    pub(crate) bytes: u32,
    /// The segment that says that the client has it (PUBREC); 0: none does.
    pub(crate) received: u32,
}

/// Where the entries of a queue lie, by number. Numbers are given in order and mostly go in order, so they are kept in
/// blocks: 12 bytes an entry and 2 for its share of the block. A map would take four times as much, and there may be ten
/// million of them.
#[derive(Debug, Default)]
pub(crate) struct Spots {
    /// By number / [`BLOCK`]; none is empty.
    blocks: BTreeMap<u64, Block>,
    /// Which entries the client has, and the segments that say so. Those are few.
    received: BTreeMap<u64, u32>,
    len: usize,
}

/// The entries of [`BLOCK`] numbers in a row.
#[derive(Debug, Default)]
struct Block {
    /// A bit for each number that is there.
    present: u64,
    /// Those, in their order.
    places: Vec<Lying>,
}

#[derive(Debug, Clone, Copy)]
struct Lying {
    segment: u32,
    offset: u32,
    bytes: u32,
}

impl Spots {
    /// How many entries there are.
    #[cfg(test)]
    const fn len(&self) -> usize {
        self.len
    }

    /// Where that one lies.
    pub(crate) fn get(&self, sequence: u64) -> Option<Spot> {
        let lying = self.blocks.get(&(sequence / BLOCK))?.get(sequence % BLOCK)?;
        Some(self.spot(sequence, lying))
    }

    /// Shows where those lie that are there, of numbers in ascending order: much faster than to ask for each.
    pub(crate) fn find(&self, sequences: &[u64], mut show: impl FnMut(u64, Position)) {
        for near in sequences.chunk_by(|one, other| one / BLOCK == other / BLOCK) {
            let block = near.first().and_then(|first| self.blocks.get(&(first / BLOCK)));
            let Some(block) = block else { continue };
            for sequence in near {
                if let Some(Lying { segment, offset, .. }) = block.get(sequence % BLOCK) {
                    show(*sequence, Position { segment, offset });
                }
            }
        }
    }

    /// It lies here now. Returns where it lay before.
    pub(crate) fn insert(&mut self, sequence: u64, position: Position, bytes: u32) -> Option<Spot> {
        let Position { segment, offset } = position;
        let block = self.blocks.entry(sequence / BLOCK).or_default();
        let before = block.insert(sequence % BLOCK, Lying { segment, offset, bytes });
        self.len += usize::from(before.is_none());
        before.map(|lying| self.spot(sequence, lying))
    }

    /// That segment says that the client has it.
    pub(crate) fn receive(&mut self, sequence: u64, segment: u32) {
        if self.get(sequence).is_some() {
            self.received.insert(sequence, segment);
        }
    }

    /// It is gone. Returns where it lay.
    pub(crate) fn remove(&mut self, sequence: u64) -> Option<Spot> {
        let block = self.blocks.get_mut(&(sequence / BLOCK))?;
        let lying = block.remove(sequence % BLOCK)?;
        if block.present == 0 {
            self.blocks.remove(&(sequence / BLOCK));
        }
        self.len -= 1;
        let spot = self.spot(sequence, lying);
        if spot.received != 0 {
            self.received.remove(&sequence);
        }
        Some(spot)
    }

    /// All of them, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Spot)> + '_ {
        self.blocks.iter().flat_map(move |(number, block)| {
            let bits = (0..BLOCK).filter(|bit| block.present & (1 << bit) != 0);
            bits.zip(&block.places).map(move |(bit, lying)| {
                let sequence = number * BLOCK + bit;
                (sequence, self.spot(sequence, *lying))
            })
        })
    }

    fn spot(&self, sequence: u64, lying: Lying) -> Spot {
        let Lying { segment, offset, bytes } = lying;
        let received = self.received.get(&sequence).copied().unwrap_or(0);
        Spot { position: Position { segment, offset }, bytes, received }
    }
}

impl Block {
    /// How many are before that one.
    const fn rank(&self, bit: u64) -> usize {
        (self.present & ((1 << bit) - 1)).count_ones() as usize
    }

    fn get(&self, bit: u64) -> Option<Lying> {
        (self.present & (1 << bit) != 0).then(|| self.places.get(self.rank(bit)).copied())?
    }

    fn insert(&mut self, bit: u64, lying: Lying) -> Option<Lying> {
        let at = self.rank(bit);
        if self.present & (1 << bit) != 0 {
            return self.places.get_mut(at).map(|place| std::mem::replace(place, lying));
        }
        self.present |= 1 << bit;
        self.places.insert(at, lying);
        None
    }

    fn remove(&mut self, bit: u64) -> Option<Lying> {
        if self.present & (1 << bit) == 0 {
            return None;
        }
        let at = self.rank(bit);
        self.present &= !(1 << bit);
        Some(self.places.remove(at))
    }
}

/// As many as there are bits in a word.
const BLOCK: u64 = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64, u32),
        Remove(u64),
        Receive(u64, u32),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..300_u64, any::<u32>()).prop_map(|(at, offset)| Step::Insert(at, offset)),
            (0..300_u64).prop_map(Step::Remove),
            (0..300_u64, 1..9_u32).prop_map(|(at, segment)| Step::Receive(at, segment)),
        ];
        prop::collection::vec(step, 1..600)
    }

    proptest! {
        #[test]
        fn blocks_do_what_a_map_does(steps in steps()) {
            let (mut spots, mut map) = (Spots::default(), BTreeMap::<u64, Spot>::new());
            for step in steps {
                match step {
                    Step::Insert(at, offset) => {
                        let position = Position { segment: 7, offset };
                        let before = map.get(&at).copied();
                        let received = before.map_or(0, |before| before.received);
                        map.insert(at, Spot { position, bytes: offset / 2, received });
                        prop_assert_eq!(spots.insert(at, position, offset / 2), before);
                    }
                    Step::Remove(at) => prop_assert_eq!(spots.remove(at), map.remove(&at)),
                    Step::Receive(at, segment) => {
                        spots.receive(at, segment);
                        map.entry(at).and_modify(|spot| spot.received = segment);
                    }
                }
                prop_assert_eq!(spots.len(), map.len());
            }
            prop_assert!(spots.iter().eq(map.iter().map(|(at, spot)| (*at, *spot))));
            prop_assert!((0..300).all(|at| spots.get(at) == map.get(&at).copied()));
            for step in 1..5 {
                let asked: Vec<u64> = (0..300).step_by(step).collect();
                let mut found = Vec::new();
                spots.find(&asked, |at, position| found.push((at, position)));
                let there = asked.iter().filter_map(|at| Some((*at, map.get(at)?.position)));
                prop_assert_eq!(found, there.collect::<Vec<_>>());
            }
            prop_assert!(spots.received.keys().all(|at| map.contains_key(at)));
        }
    }
}
