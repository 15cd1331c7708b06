//! Waiting, in order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::mem;
use std::sync::Arc;

use model::delivery::Stage;
use model::time::WallMs;

use crate::queue::absent::{Absent, Brief, Dates, Left};
use crate::queue::entry::{Entry, Gone, Item, Rules, Unfit};
use crate::queue::pool::{Charge, Pool, Resident};

/// The entries that wait: the more urgent ones first, those of one priority by sequence number. Most queues know none.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    rules: Rules,
    /// What is not urgent, or all.
    plain: Lane,
    /// The rest, by priority. None of these is empty.
    urgent: BTreeMap<u8, Lane>,
    urgent_len: usize,
    bytes: u64,
    /// When entries expire, and which, the first on top. Those that were taken meanwhile are still in it.
    ends: BinaryHeap<Reverse<(WallMs, u64)>>,
    /// How many of the entries expire at all; about, after other rules came to hold.
    expiring: usize,
    /// Which entries have no end in `ends`, because other rules hold than when they came.
    untimed: Option<Box<Untimed>>,
    /// Those whose messages are not here, if there are any. Never empty.
    absent: Option<Box<Absent>>,
    /// What all queues together hold.
    charge: Charge,
}

/// Entries by their numbers.
#[derive(Debug, Clone, Copy)]
struct Untimed {
    next: u64,
    last: u64,
}

impl Ready {
    /// What is held here counts as part of that.
    pub(crate) fn join(&mut self, pool: &Arc<Pool>) {
        self.charge.join(pool, self.bytes_here());
    }

    fn bytes_here(&self) -> u64 {
        self.bytes - self.absent.as_ref().map_or(0, |absent| absent.bytes())
    }

    pub(crate) fn len(&self) -> usize {
        self.here() + self.absent.as_ref().map_or(0, |absent| absent.len())
    }

    /// How many there are with their messages.
    fn here(&self) -> usize {
        self.plain.entries.len() + self.urgent_len
    }

    /// The lanes of what is here, each by number.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = &VecDeque<Entry>> {
        self.urgent.values().chain([&self.plain]).map(|lane| &lane.entries)
    }

    /// How many may be taken before one comes whose message is not here.
    pub(crate) fn available(&self) -> usize {
        let Some(absent) = &self.absent else { return self.here() };
        let Some((priority, first)) = absent.front() else { return self.here() };
        let before = |lane: &Lane| lane.before(first);
        if priority == 0 {
            return self.urgent_len + before(&self.plain);
        }
        let lanes = self.urgent.range(priority..);
        lanes.map(|(urgent, lane)| if *urgent == priority { before(lane) } else { lane.entries.len() }).sum()
    }

    /// The bytes of those that come first, so many of them.
    fn first_bytes(&self, count: usize) -> u64 {
        let lanes = self.urgent.values().rev().chain([&self.plain]);
        let entries = lanes.flat_map(|lane| &lane.entries).take(count);
        entries.map(|entry| entry.item.message.size_bytes() as u64).sum()
    }

    /// Whether messages are to be brought: before those that are here run out, so that whoever takes need not wait.
    pub(crate) fn is_hungry(&self) -> bool {
        let Some(absent) = self.absent.as_ref().filter(|absent| !absent.fetching) else { return false };
        let available = self.available();
        available == 0 || !absent.suffices(available) || !absent.due.is_empty()
    }

    /// Whether nothing can be taken before messages were brought, and nobody brings them.
    pub(crate) fn is_starved(&self) -> bool {
        self.absent.as_ref().is_some_and(|absent| !absent.fetching) && self.is_held_up()
    }

    /// What is not here.
    pub(crate) fn absent(&self) -> Option<&Absent> {
        self.absent.as_deref()
    }

    /// The same, to note what becomes of it.
    pub(crate) fn absent_mut(&mut self) -> Option<&mut Absent> {
        self.absent.as_deref_mut()
    }

    /// By [`Message::size_bytes`].
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts an entry in its place.
    pub(crate) fn insert(&mut self, entry: Entry) {
        let before = self.bytes;
        self.lane_for(&entry).insert(entry);
        self.recharge(before);
    }

    /// What waits has so many bytes no more: what is held of it may count for more, or less, now.
    fn recharge(&mut self, before: u64) {
        if self.absent.is_some() || Charge::differs(before, self.bytes) {
            self.charge.set(self.bytes_here());
        }
    }

    /// Puts an entry in its place, which the journal has; beyond what may be here, without its message. What comes before
    /// others of its priority stays: what may be taken now is not held up.
    pub(crate) fn admit(&mut self, entry: Entry, resident: Resident) {
        let here = self.here() as u64;
        let size = entry.item.message.size_bytes();
        let has_room = here < resident.messages_max
            && self.bytes_here() + size as u64 <= resident.bytes_max
            && !self.charge.is_full();
        let Some(size_bytes) = u32::try_from(size).ok().filter(|_| !has_room && here > 0) else {
            return self.insert(entry);
        };
        let Entry { sequence, item } = &entry;
        let priority = self.rules.priority_of(item);
        let lane = if priority == 0 { Some(&self.plain) } else { self.urgent.get(&priority) };
        let last = lane.and_then(|lane| lane.entries.back()).map_or(0, |last| last.sequence);
        let held_up = self.absent.as_ref().and_then(|absent| absent.first(priority));
        if !item.durable || (last > *sequence && held_up.is_none_or(|first| first > *sequence)) {
            return self.insert(entry);
        }
        let end = self.rules.end_of(item);
        let left = Left { sequence: *sequence, size_bytes, expires: end.is_some(), was_sent: false };
        self.leave(priority, left, end);
    }

    /// Adds an entry whose message is not here.
    pub(crate) fn restore(&mut self, sequence: u64, brief: Brief) {
        let Brief { size_bytes, expires_at, published_at, priority, retain, was_sent } = brief;
        let end = self.rules.end(expires_at, published_at, retain);
        let left = Left { sequence, size_bytes, expires: end.is_some(), was_sent };
        self.leave(priority.min(self.rules.priority_max()), left, end);
    }

    fn leave(&mut self, priority: u8, left: Left, end: Option<WallMs>) {
        self.bytes += u64::from(left.size_bytes);
        if let Some(end) = end {
            self.expiring += 1;
            self.ends.push(Reverse((end, left.sequence)));
        }
        let absent = self.absent.get_or_insert_with(|| {
            // All that is here.
            Box::new(Absent::behind(self.bytes - u64::from(left.size_bytes)))
        });
        absent.insert(priority, left);
    }

    /// Messages of absent entries have come. Whatever is not absent any more is dropped.
    pub(crate) fn fill(&mut self, found: Vec<Entry>) {
        let mut lanes: BTreeMap<u8, Vec<Entry>> = BTreeMap::new();
        for mut entry in found {
            let Some(absent) = &mut self.absent else { return };
            let is_due = absent.due.contains(&entry.sequence);
            let Some(left) = absent.remove(entry.sequence) else { continue };
            self.bytes += entry.item.message.size_bytes() as u64;
            self.bytes -= u64::from(left.size_bytes);
            if let Some(end) = self.rules.end_of(&entry.item).filter(|_| is_due) {
                self.ends.push(Reverse((end, entry.sequence)));
            }
            entry.item.attempts = u32::from(left.was_sent);
            lanes.entry(self.rules.priority_of(&entry.item)).or_default().push(entry);
        }
        for (priority, entries) in lanes {
            if priority > 0 {
                self.urgent_len += entries.len();
                self.urgent.entry(priority).or_default().merge(entries);
            } else {
                self.plain.merge(entries);
            }
        }
        self.tidy();
        self.charge.set(self.bytes_here());
        let ahead_bytes = self.first_bytes(self.available());
        if let Some(absent) = &mut self.absent {
            absent.ahead_bytes = ahead_bytes;
        }
    }

    /// Takes out an entry whose message is not here.
    pub(crate) fn remove_absent(&mut self, sequence: u64) -> Option<Left> {
        let left = self.absent.as_mut()?.remove(sequence)?;
        self.forget_absent(left);
        self.tidy();
        Some(left)
    }

    fn forget_absent(&mut self, left: Left) {
        self.bytes -= u64::from(left.size_bytes);
        self.expiring = self.expiring.saturating_sub(usize::from(left.expires));
    }

    /// Of nothing, nothing is kept.
    fn tidy(&mut self) {
        if self.absent.as_ref().is_some_and(|absent| absent.len() == 0) {
            self.absent = None;
        }
    }

    /// The lane that the entry is about to join; it is counted already.
    fn lane_for(&mut self, entry: &Entry) -> &mut Lane {
        self.bytes += entry.item.message.size_bytes() as u64;
        if let Some(end) = self.rules.end_of(&entry.item) {
            self.expiring += 1;
            self.ends.push(Reverse((end, entry.sequence)));
        }
        match self.rules.priority_of(&entry.item) {
            0 => &mut self.plain,
            priority => {
                self.urgent_len += 1;
                self.urgent.entry(priority).or_default()
            }
        }
    }

    /// Forgets an entry that is taken out.
    fn forget(&mut self, entry: &Entry) {
        let size = entry.item.message.size_bytes() as u64;
        self.bytes -= size;
        if let Some(absent) = &mut self.absent {
            absent.ahead_bytes = absent.ahead_bytes.saturating_sub(size);
        }
        self.recharge(self.bytes + size);
        if self.rules.end_of(&entry.item).is_some() {
            self.expiring = self.expiring.saturating_sub(1);
            // Whoever takes all before its time must not pile up the ends of what he took.
            if self.ends.len() > 2 * self.expiring + STALE_ENDS_MIN {
                self.rebuild_ends();
            }
        }
    }

    /// How many ends are remembered, those of entries that are gone among them.
    #[cfg(test)]
    pub(crate) fn ends_len(&self) -> usize {
        self.ends.len()
    }

    fn rebuild_ends(&mut self) {
        let rules = self.rules;
        let entries = self.urgent.values().chain([&self.plain]).flat_map(|lane| &lane.entries);
        let ends = entries.filter_map(|entry| Some(Reverse((rules.end_of(&entry.item)?, entry.sequence))));
        let mut known = std::mem::take(&mut self.ends).into_vec();
        match &self.absent {
            Some(absent) => known.retain(|Reverse((_, sequence))| absent.contains(*sequence)),
            None => known.clear(),
        }
        known.extend(ends);
        self.expiring = known.len();
        self.ends = known.into();
    }

    /// Other rules hold from now on; `last` is the highest number of an entry. Returns whether they give other ends to what
    /// waits: [`Self::retime`] is to be called until it has none to tell, and until then what has expired is found when it is
    /// about to be taken. `wanted`: as for [`Self::expire`].
    pub(crate) fn follow(&mut self, rules: Rules, last: u64, wanted: bool) -> bool {
        let alike = self.rules.times_alike(rules);
        self.rules = rules;
        let due = self.absent.as_mut().filter(|_| !alike || !wanted).map(|absent| mem::take(&mut absent.due));
        if alike || self.len() == 0 {
            // They waited for their messages, which are of no use any more.
            self.ends.extend(due.into_iter().flatten().map(|sequence| Reverse((WallMs(0), sequence))));
            return false;
        }
        self.ends = BinaryHeap::new();
        self.expiring = 0;
        self.untimed = Some(Box::new(Untimed { next: 0, last }));
        true
    }

    /// Gives the next entries their ends, and returns those of which nobody here knows when they came: [`Self::time`] says it.
    /// `None`: all have their ends. At most so many of each priority, and of those that are returned, so many bytes.
    pub(crate) fn retime(&mut self, messages_max: usize, bytes_max: u64) -> Option<Vec<u64>> {
        let Untimed { next, last } = *self.untimed.take()?;
        let messages_max = messages_max.max(1);
        let unknown = self.absent.as_ref().map(|absent| absent.some(next, messages_max, bytes_max));
        let (mut unknown, is_cut) = unknown.unwrap_or_default();
        let mut through = if is_cut { unknown.last().map_or(last, |far| last.min(*far)) } else { last };
        for lane in self.urgent.values().chain([&self.plain]) {
            let at = lane.before(next) + messages_max - 1;
            through = lane.entries.get(at).map_or(through, |entry| through.min(entry.sequence));
        }
        unknown.retain(|sequence| *sequence <= through);
        for lane in self.urgent.values().chain([&self.plain]) {
            let some = lane.entries.range(lane.before(next)..);
            for entry in some.take_while(|entry| entry.sequence <= through) {
                if let Some(end) = self.rules.end_of(&entry.item) {
                    self.expiring += 1;
                    self.ends.push(Reverse((end, entry.sequence)));
                }
            }
        }
        self.untimed = (through < last).then(|| Box::new(Untimed { next: through + 1, last }));
        Some(unknown)
    }

    /// When that entry came, and what it says of its end.
    pub(crate) fn time(&mut self, dates: Dates) {
        let Dates { sequence, published_at, expires_at, retain } = dates;
        // It may have come meanwhile, or be gone: an end too many does no harm.
        let Some(end) = self.rules.end(expires_at, published_at, retain) else { return };
        if let Some(absent) = &mut self.absent {
            absent.note_end(sequence);
        }
        self.expiring += 1;
        self.ends.push(Reverse((end, sequence)));
    }

    /// Nobody could say when those came: they are asked for again.
    pub(crate) fn retime_again(&mut self, unknown: &[u64]) {
        let (Some(first), Some(last)) = (unknown.first(), unknown.last()) else { return };
        let untimed = self.untimed.get_or_insert_with(|| Box::new(Untimed { next: *first, last: *last }));
        untimed.next = untimed.next.min(*first);
    }

    /// Nothing expires before; `None`: nothing ever does.
    pub(crate) fn expires_first(&self) -> Option<WallMs> {
        self.ends.peek().map(|Reverse((end, _))| *end)
    }

    /// Whether the entry that comes first is one whose message is not here.
    pub(crate) fn is_held_up(&self) -> bool {
        let Some(first) = self.absent.as_ref().and_then(|absent| absent.front()) else { return false };
        let (priority, lane) = match self.urgent.last_key_value() {
            Some((priority, lane)) => (*priority, lane),
            None => (0, &self.plain),
        };
        let here = lane.entries.front().map(|entry| (Reverse(priority), entry.sequence));
        here.is_none_or(|here| (Reverse(first.0), first.1) < here)
    }

    /// Takes the entry that comes first, whether or not its message is here.
    pub(crate) fn pop_any(&mut self) -> Option<Gone> {
        if !self.is_held_up() {
            return self.pop().map(Gone::Here);
        }
        let absent = self.absent.as_mut()?;
        let (_, first) = absent.front()?;
        self.remove_absent(first).map(Gone::Absent)
    }

    /// Takes the entry that comes first; none if its message is not here.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        if self.is_held_up() {
            return None;
        }
        let entry = match self.urgent.last_entry() {
            None => self.plain.pop()?,
            Some(mut lane) => {
                let entry = lane.get_mut().pop()?;
                self.urgent_len -= 1;
                if lane.get().entries.is_empty() {
                    lane.remove();
                }
                entry
            }
        };
        self.forget(&entry);
        Some(entry)
    }

    /// Why that entry must not be delivered, if it must not.
    pub(crate) fn unfit(&self, item: &Item, now: WallMs) -> Option<Unfit> {
        if item.is_expired(self.rules, now) {
            return Some(Unfit::Expired);
        }
        let limit = self.rules.delivery_limit()?;
        (item.attempts > limit && item.stage == Stage::Published).then_some(Unfit::TooOften)
    }

    /// Takes out what has expired, first come first; of very much that has, a part. What is not here, and is `wanted`, is due
    /// and stays until it comes.
    pub(crate) fn expire(&mut self, now: WallMs, wanted: bool) -> Vec<Gone> {
        let mut due = Vec::new();
        while let Some(Reverse((end, sequence))) = self.ends.peek().copied()
            && end <= now
            && due.len() < EXPIRED_AT_ONCE
        {
            self.ends.pop();
            due.push(sequence);
        }
        let mut gone = Vec::new();
        if due.is_empty() {
            return Vec::new();
        }
        due.sort_unstable();
        let rules = self.rules;
        for lane in self.urgent.values_mut().rev().chain([&mut self.plain]) {
            lane.expire(&due, rules, now, &mut gone);
        }
        if self.urgent_len > 0 {
            self.urgent.retain(|_, lane| !lane.entries.is_empty());
            self.urgent_len = self.urgent.values().map(|lane| lane.entries.len()).sum();
        }
        for entry in &gone {
            self.forget(entry);
        }
        let mut gone: Vec<Gone> = gone.into_iter().map(Gone::Here).collect();
        self.expire_absent(due, wanted, &mut gone);
        gone
    }

    fn expire_absent(&mut self, due: Vec<u64>, wanted: bool, gone: &mut Vec<Gone>) {
        for sequence in due {
            let Some(absent) = &mut self.absent else { return };
            if !wanted {
                gone.extend(self.remove_absent(sequence).map(Gone::Absent));
            } else if absent.contains(sequence) {
                absent.due.insert(sequence);
            }
        }
    }

    /// Takes so many, first come first, but nothing that a client has begun to receive: that is to be released.
    pub(crate) fn take_first(&mut self, most: usize) -> Vec<Gone> {
        let mut gone = Vec::with_capacity(self.len().min(most));
        let mut begun = Vec::new();
        while gone.len() < most
            && let Some(one) = self.pop_any()
        {
            match one {
                Gone::Here(entry) if entry.item.stage == Stage::Received => begun.push(entry),
                Gone::Here(_) | Gone::Absent(_) => gone.push(one),
            }
        }
        begun.into_iter().for_each(|entry| self.insert(entry));
        gone
    }
}

/// Entries by sequence number. New ones come at the end, old ones go at the front; what comes back goes near the front.
#[derive(Debug, Default)]
struct Lane {
    entries: VecDeque<Entry>,
}

impl Lane {
    fn insert(&mut self, entry: Entry) {
        if self.entries.back().is_none_or(|last| last.sequence < entry.sequence) {
            self.entries.push_back(entry);
        } else if self.entries.front().is_some_and(|first| entry.sequence < first.sequence) {
            self.entries.push_front(entry);
        } else {
            let at = self.entries.partition_point(|other| other.sequence < entry.sequence);
            self.entries.insert(at, entry);
        }
    }

    /// Adds many at once, which mostly come first.
    fn merge(&mut self, mut entries: Vec<Entry>) {
        entries.sort_unstable_by_key(|entry| entry.sequence);
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let (first, last) = (first.sequence, last.sequence);
        if self.entries.back().is_none_or(|back| back.sequence < first) {
            self.entries.extend(entries);
            return;
        }
        while self.entries.front().is_some_and(|first| first.sequence < last) {
            entries.extend(self.entries.pop_front());
        }
        entries.sort_unstable_by_key(|entry| entry.sequence);
        for entry in entries.into_iter().rev() {
            self.entries.push_front(entry);
        }
    }

    /// How many come before that number.
    fn before(&self, sequence: u64) -> usize {
        if self.entries.back().is_none_or(|last| last.sequence < sequence) {
            return self.entries.len();
        }
        self.entries.partition_point(|entry| entry.sequence < sequence)
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        if self.entries.is_empty() && self.entries.capacity() > KEPT_ENTRIES_MAX {
            self.entries.shrink_to(KEPT_ENTRIES_MAX);
        }
        Some(entry)
    }

    /// Moves those that have expired, of the ones that are `due` by number, to `gone`.
    fn expire(&mut self, due: &[u64], rules: Rules, now: WallMs, gone: &mut Vec<Entry>) {
        if due.len() > ONE_BY_ONE_MAX {
            let mut due = due.iter().peekable();
            let mut stay = Vec::new();
            // No further than the last of them: where all wait equally long, that is right at the front.
            while due.peek().is_some()
                && let Some(entry) = self.entries.pop_front()
            {
                while due.next_if(|sequence| **sequence < entry.sequence).is_some() {}
                let is_due = due.next_if(|sequence| **sequence == entry.sequence).is_some();
                let list = if is_due && entry.item.is_expired(rules, now) { &mut *gone } else { &mut stay };
                list.push(entry);
            }
            for entry in stay.into_iter().rev() {
                self.entries.push_front(entry);
            }
            return;
        }
        for sequence in due {
            let at = self.entries.partition_point(|entry| entry.sequence < *sequence);
            // It may have been taken before; and what a client has begun to receive does not expire.
            let is_due = |entry: &Entry| entry.sequence == *sequence && entry.item.is_expired(rules, now);
            if self.entries.get(at).is_some_and(is_due) {
                gone.extend(self.entries.remove(at));
            }
        }
    }
}

/// So many are taken out before others have their turn.
const EXPIRED_AT_ONCE: usize = 1 << 14;

/// An empty queue keeps room for this many entries, and gives back what it had beyond.
const KEPT_ENTRIES_MAX: usize = 1024;

/// So many ends of entries that are gone are never worth a clean-up.
const STALE_ENDS_MIN: usize = 64;

/// More than so many are taken out together, in one pass over all.
const ONE_BY_ONE_MAX: usize = 8;
