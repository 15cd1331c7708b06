//! Absent: what waits, but for its messages, which whoever keeps them brings when they are wanted.

use std::collections::{BTreeMap, BTreeSet};

use model::time::WallMs;

/// What a queue knows of a message that it does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brief {
    /// By [`model::message::Message::size_bytes`].
    pub size_bytes: u32,
    /// From when on it must not be delivered, as the message itself says.
    pub expires_at: Option<WallMs>,
    /// When the broker took it in.
    pub published_at: WallMs,
    /// As the message says.
    pub priority: u8,
    /// With which RETAIN flag it is to be delivered.
    pub retain: bool,
    /// Whether it may have been delivered in an earlier life.
    pub was_sent: bool,
}

/// What is to be known of a message to say when its time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dates {
    /// Its number in the queue.
    pub sequence: u64,
    /// When the broker took it in.
    pub published_at: WallMs,
    /// From when on it must not be delivered, as it says itself.
    pub expires_at: Option<WallMs>,
    /// With which RETAIN flag it is to be delivered.
    pub retain: bool,
}

/// Entries without their messages: all of them durable, none of them ever sent in this life.
#[derive(Debug, Default)]
pub(crate) struct Absent {
    /// By priority; none of these is empty.
    lanes: BTreeMap<u8, Numbers>,
    len: usize,
    bytes: u64,
    /// Some of them are on their way back.
    pub(crate) fetching: bool,
    /// How much of what is here comes before all of them, in bytes: counted when messages have come, and otherwise about.
    pub(crate) ahead_bytes: u64,
    /// How much came at the last time, at most.
    portion: Option<(usize, u64)>,
    /// Their time is up, and their messages are wanted all the same: they go elsewhere.
    pub(crate) due: BTreeSet<u64>,
}

/// What is left of an entry whose message is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) sequence: u64,
    pub(crate) size_bytes: u32,
    /// It has an end, which is remembered elsewhere.
    pub(crate) expires: bool,
    pub(crate) was_sent: bool,
}

impl Absent {
    pub(crate) fn behind(ahead_bytes: u64) -> Self {
        Self { ahead_bytes, ..Self::default() }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// By [`model::message::Message::size_bytes`].
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn insert(&mut self, priority: u8, left: Left) {
        self.len += 1;
        self.bytes += u64::from(left.size_bytes);
        self.lanes.entry(priority).or_default().insert(left);
    }

    /// Priority and number of the one that comes first.
    pub(crate) fn front(&self) -> Option<(u8, u64)> {
        let (priority, lane) = self.lanes.last_key_value()?;
        Some((*priority, lane.first()?))
    }

    /// The first number of that priority.
    pub(crate) fn first(&self, priority: u8) -> Option<u64> {
        self.lanes.get(&priority)?.first()
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.lanes.values().any(|lane| lane.contains(sequence))
    }

    /// From that number on, with their sizes: each lane by number.
    pub(crate) fn from(&self, sequence: u64) -> impl Iterator<Item = impl Iterator<Item = (u64, u32)> + '_> {
        self.lanes.values().map(move |lane| lane.from(sequence))
    }

    /// The newest first: each lane by number.
    pub(crate) fn newest(&self) -> impl Iterator<Item = impl Iterator<Item = u64> + '_> {
        self.lanes.values().map(Numbers::newest)
    }

    /// It has an end from now on, which is remembered elsewhere.
    pub(crate) fn note_end(&mut self, sequence: u64) {
        for lane in self.lanes.values_mut() {
            lane.note_end(sequence);
        }
    }

    /// Those from that number on, in the order of their numbers: so many, and but for the first one so many bytes; and whether
    /// there are more.
    pub(crate) fn some(&self, next: u64, messages_max: usize, bytes_max: u64) -> (Vec<u64>, bool) {
        let lanes = self.lanes.values().map(|lane| lane.from(next).take(messages_max + 1));
        let mut all: Vec<(u64, u32)> = lanes.flatten().collect();
        all.sort_unstable();
        let mut bytes = 0;
        let room = |(_, size): &&(u64, u32)| {
            let has_room = bytes == 0 || bytes + u64::from(*size) <= bytes_max;
            bytes += u64::from(*size);
            has_room
        };
        let some: Vec<u64> =
            all.iter().take(messages_max).take_while(room).map(|(sequence, _)| *sequence).collect();
        let is_cut = some.len() < all.len();
        (some, is_cut)
    }

    /// Takes out that one.
    pub(crate) fn remove(&mut self, sequence: u64) -> Option<Left> {
        let (priority, left) =
            self.lanes.iter_mut().find_map(|(priority, lane)| Some((*priority, lane.remove(sequence)?)))?;
        self.forget(priority, left);
        Some(left)
    }

    /// Whether so much that may be taken is enough while the next portion is read: two portions are.
    pub(crate) fn suffices(&self, available: usize) -> bool {
        let (messages, bytes) = self.portion.unwrap_or((PORTION_MESSAGES, PORTION_BYTES));
        available >= messages.saturating_mul(2) || self.ahead_bytes >= bytes.saturating_mul(2)
    }

    /// Which to bring next: what is wanted for itself, then those that come first. They count as on their way.
    pub(crate) fn fetch(&mut self, messages_max: usize, bytes_max: u64) -> Vec<u64> {
        self.fetching = true;
        self.portion = Some((messages_max, bytes_max));
        self.next(messages_max, bytes_max)
    }

    fn next(&self, messages_max: usize, bytes_max: u64) -> Vec<u64> {
        let mut bytes = 0;
        let sized = self.lanes.values().rev().flat_map(|lane| lane.iter().zip(lane.sizes()));
        let first = sized.take_while(|(_, size)| {
            let room = bytes == 0 || bytes + u64::from(*size) <= bytes_max;
            bytes += u64::from(*size);
            room
        });
        let mut next: Vec<u64> = self.due.iter().copied().take(messages_max).collect();
        let left = messages_max - next.len();
        next.extend(first.map(|(sequence, _)| sequence).filter(|one| !self.due.contains(one)).take(left));
        next
    }

    fn forget(&mut self, priority: u8, left: Left) {
        self.len -= 1;
        self.bytes -= u64::from(left.size_bytes);
        self.due.remove(&left.sequence);
        if self.lanes.get(&priority).is_some_and(|lane| lane.blocks.is_empty()) {
            self.lanes.remove(&priority);
        }
    }
}

/// Numbers in blocks: 4 bytes each, and 2 for its share of the block.
#[derive(Debug, Default)]
struct Numbers {
    /// By number / [`BLOCK`]; none is empty.
    blocks: BTreeMap<u64, Block>,
}

/// A bit for each number in every word.
#[derive(Debug, Default)]
struct Block {
    present: u64,
    expiring: u64,
    sent: u64,
    /// Of those that are present, in their order.
    sizes: Vec<u32>,
}

impl Numbers {
    fn insert(&mut self, left: Left) {
        let bit = 1 << (left.sequence % BLOCK);
        let block = self.blocks.entry(left.sequence / BLOCK).or_default();
        let at = block.rank(bit);
        block.present |= bit;
        block.expiring |= if left.expires { bit } else { 0 };
        block.sent |= if left.was_sent { bit } else { 0 };
        block.sizes.insert(at, left.size_bytes);
    }

    fn contains(&self, sequence: u64) -> bool {
        let block = self.blocks.get(&(sequence / BLOCK));
        block.is_some_and(|block| block.present & (1 << (sequence % BLOCK)) != 0)
    }

    fn remove(&mut self, sequence: u64) -> Option<Left> {
        let block = self.blocks.get_mut(&(sequence / BLOCK))?;
        let bit = 1 << (sequence % BLOCK);
        if block.present & bit == 0 {
            return None;
        }
        let size_bytes = block.sizes.remove(block.rank(bit));
        let (expires, was_sent) = (block.expiring & bit != 0, block.sent & bit != 0);
        block.present &= !bit;
        block.expiring &= !bit;
        block.sent &= !bit;
        if block.present == 0 {
            self.blocks.remove(&(sequence / BLOCK));
        }
        Some(Left { sequence, size_bytes, expires, was_sent })
    }

    fn note_end(&mut self, sequence: u64) {
        if let Some(block) = self.blocks.get_mut(&(sequence / BLOCK)) {
            block.expiring |= block.present & (1 << (sequence % BLOCK));
        }
    }

    fn first(&self) -> Option<u64> {
        let (number, block) = self.blocks.first_key_value()?;
        Some(number * BLOCK + u64::from(block.present.trailing_zeros()))
    }

    fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.blocks.iter().flat_map(|(number, block)| block.numbers(*number))
    }

    fn from(&self, sequence: u64) -> impl Iterator<Item = (u64, u32)> + '_ {
        let blocks = self.blocks.range(sequence / BLOCK..);
        let all = blocks.flat_map(|(number, block)| block.numbers(*number).zip(block.sizes.iter().copied()));
        all.filter(move |(one, _)| *one >= sequence)
    }

    fn newest(&self) -> impl Iterator<Item = u64> + '_ {
        self.blocks.iter().rev().flat_map(|(number, block)| block.numbers(*number).rev())
    }

    fn sizes(&self) -> impl Iterator<Item = u32> + '_ {
        self.blocks.values().flat_map(|block| block.sizes.iter().copied())
    }
}

impl Block {
    /// Those that are present of the block of that number.
    fn numbers(&self, number: u64) -> impl DoubleEndedIterator<Item = u64> + use<> {
        let present = self.present;
        (0..BLOCK).filter(move |bit| present & (1 << bit) != 0).map(move |bit| number * BLOCK + bit)
    }

    /// How many are before that one.
    const fn rank(&self, bit: u64) -> usize {
        (self.present & (bit - 1)).count_ones() as usize
    }
}

/// What a portion is taken to be before there was one.
const PORTION_MESSAGES: usize = 256;
/// The same, in bytes.
const PORTION_BYTES: u64 = 512 << 10;

/// As many as there are bits in a word.
const BLOCK: u64 = 64;
