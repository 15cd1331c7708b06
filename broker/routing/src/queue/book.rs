//! Book: all pages of a stream, of which few have their messages here

use std::collections::VecDeque;
use std::sync::Arc;

use model::stream::Start;
use model::time::WallMs;

use crate::queue::entry::Item;
use crate::queue::page::Page;
use crate::queue::pool::{Charge, Pool, Resident};

/// How much of a stream stays. What is `None` does not limit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Retention {
    /// The most entries.
    pub(crate) entries_max: Option<u64>,
    /// The most bytes, by [`model::message::Message::size_bytes`].
    pub(crate) bytes_max: Option<u64>,
    /// How long, in milliseconds.
    pub(crate) age_max_ms: Option<u64>,
}

/// All that is in a stream, by number. The newest page is always here, and grows.
#[derive(Debug)]
pub(crate) struct Book {
    pages: VecDeque<Page>,
    len: u64,
    bytes: u64,
    /// Of the pages whose messages are here.
    bytes_here: u64,
    /// Those of them that are not the newest, and may leave.
    idle: Vec<u64>,
    resident: Resident,
    charge: Charge,
    /// Counts readings.
    turn: u64,
    /// How long a page takes in entries at most, in milliseconds: so much longer one may stay than it was to.
    span_max_ms: u64,
}

/// What is at a number, or behind it.
#[derive(Debug)]
pub(crate) enum Opened<'a> {
    /// That page, and its messages are here.
    Here(&'a mut Page),
    /// A page of which the messages are to be brought, by its name.
    Away(u64),
    /// Nothing yet.
    End,
}

impl Book {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            pages: VecDeque::new(),
            len: 0,
            bytes: 0,
            bytes_here: 0,
            idle: Vec::new(),
            resident: Resident::ALL,
            charge: Charge::default(),
            turn: 0,
            span_max_ms: u64::MAX,
        }
    }

    /// From now on entries that stay so long at most stay hardly longer. Pages that take in more time are
    /// [cut](Self::trim_before).
    pub(crate) fn set_age(&mut self, age_max_ms: Option<u64>) {
        self.span_max_ms = age_max_ms.map_or(u64::MAX, |age| (age / SPANS_OF_AGE).max(1));
    }

    /// How many entries there are.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// What is in it, in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is held in memory of it, in bytes.
    #[cfg(test)]
    pub(crate) const fn bytes_here(&self) -> u64 {
        self.bytes_here
    }

    /// Numbers of the oldest and of the newest, and when they came in.
    pub(crate) fn ends(&self) -> Option<[(u64, WallMs); 2]> {
        let (first, last) = (self.pages.front()?, self.pages.back()?);
        Some([(first.first(), first.begun_at()), (last.last(), last.ended_at())])
    }

    /// What is held here counts as part of that.
    pub(crate) fn join(&mut self, pool: &Arc<Pool>) {
        self.charge.join(pool, self.bytes_here);
    }

    /// So much is held here, if the journal has it; but for the newest page, and one that is read.
    pub(crate) fn keep(&mut self, resident: Resident) {
        self.resident = resident;
    }

    /// Adds the next entry, whose number is above all others.
    pub(crate) fn append(&mut self, number: u64, size: u32, at: WallMs, item: Option<Item>) {
        let at = self.pages.back().map_or(at, |page| page.ended_at().max(at));
        let here = item.is_some();
        let (entries_max, bytes_max) = self.page_max();
        let span_max_ms = self.span_max_ms;
        let goes_on = |page: &Page| {
            page.len() < entries_max
                && page.bytes() + u64::from(size) <= bytes_max
                && page.reaches(number)
                && page.is_here() == here
                && at.0 - page.begun_at().0 <= span_max_ms
        };
        if !self.pages.back().is_some_and(goes_on) {
            self.idle.extend(self.pages.back().filter(|page| page.may_leave()).map(Page::id));
            self.pages.push_back(Page::new(number, at, here));
        }
        let turn = self.next_turn();
        let Some(page) = self.pages.back_mut() else { return };
        page.push(number, size, at, item);
        page.used = turn;
        self.len += 1;
        self.bytes += u64::from(size);
        if here {
            self.bytes_here += u64::from(size);
            self.make_room();
        }
    }

    /// What is at that number, or first behind it.
    pub(crate) fn open(&mut self, number: u64) -> Opened<'_> {
        let turn = self.next_turn();
        let at = self.page_at(number);
        match self.pages.get_mut(at) {
            None => Opened::End,
            Some(page) if page.is_here() => {
                page.used = turn;
                page.awaited = false;
                Opened::Here(page)
            }
            Some(page) => Opened::Away(page.id()),
        }
    }

    /// The entries from that number on, with their sizes.
    pub(crate) fn all_from(&self, number: u64) -> impl Iterator<Item = (u64, u32, Option<&Item>)> {
        self.pages
            .range(self.page_at(number).min(self.pages.len())..)
            .flat_map(move |page| page.all_from(number))
    }

    /// The page behind the one that has that number, if its messages are to be brought.
    pub(crate) fn away_behind(&self, number: u64) -> Option<u64> {
        let next = self.pages.get(self.page_at(number) + 1)?;
        (!next.is_here()).then(|| next.id())
    }

    /// Whether so many pages may be here at a time.
    pub(crate) fn has_room_for(&self, pages: usize) -> bool {
        let (entries_max, bytes_max) = self.page_max();
        !self.charge.is_full()
            && (pages as u64).saturating_mul(entries_max as u64) <= self.resident.messages_max
            && (pages as u64).saturating_mul(bytes_max) <= self.resident.bytes_max
    }

    /// The numbers on that page, if it is there and its messages are not.
    pub(crate) fn away(&self, id: u64) -> Option<Vec<u64>> {
        let page = self.pages.get(self.place_of(id)?).filter(|page| !page.is_here())?;
        Some(page.numbers().collect())
    }

    /// Messages of that page have come; `awaited`: somebody was called to read it. Returns which are lost.
    pub(crate) fn fill(&mut self, id: u64, found: Vec<(u64, Item)>, awaited: bool) -> Vec<u64> {
        let turn = self.next_turn();
        let Some(at) = self.place_of(id) else { return Vec::new() };
        let Some(page) = self.pages.get_mut(at).filter(|page| !page.is_here()) else { return Vec::new() };
        let (len, bytes) = (page.len(), page.bytes());
        let lost = page.fill(found);
        self.len -= (len - page.len()) as u64;
        self.bytes -= bytes - page.bytes();
        if page.len() == 0 {
            self.pages.remove(at);
            return lost;
        }
        page.used = turn;
        page.awaited = awaited;
        self.bytes_here += page.bytes_here();
        self.idle.push(id);
        self.make_room();
        lost
    }

    /// Nobody is waited for.
    pub(crate) fn await_nobody(&mut self) {
        for id in std::mem::take(&mut self.idle) {
            let page = self.place_of(id).and_then(|at| self.pages.get_mut(at));
            if let Some(page) = page {
                page.awaited = false;
                self.idle.push(id);
            }
        }
    }

    /// From which number on somebody reads who starts there; beyond that, only what came in then or later. `next`: what comes
    /// gets this number or a higher one.
    pub(crate) fn start(&self, start: Start, next: u64) -> (u64, Option<WallMs>) {
        match start {
            Start::First => (0, None),
            Start::Next => (next, None),
            Start::Offset(offset) => (offset, None),
            Start::Last(count) => (self.last(count).unwrap_or(next), None),
            Start::At(at) => {
                let found = self.pages.partition_point(|page| page.ended_at() < at);
                (self.pages.get(found).map_or(next, Page::first), Some(at))
            }
        }
    }

    /// The number of the one behind which there are `count - 1`; of the oldest, where there are not so many.
    fn last(&self, count: u64) -> Option<u64> {
        let mut before = self.len.saturating_sub(count);
        if before == 0 {
            return self.pages.front().map(Page::first);
        }
        // Nearly always it is on one of the last pages.
        let mut behind = self.len;
        for page in self.pages.iter().rev() {
            behind -= page.len() as u64;
            if behind <= before {
                before -= behind;
                return page.nth(usize::try_from(before).ok()?);
            }
        }
        None
    }

    /// Lets go of what is beyond that, the oldest first, so many at most; `show` gets each number, and whether the journal has it.
    /// Returns whether there is more.
    pub(crate) fn trim(&mut self, retention: Retention, most: u64, show: impl FnMut(u64, bool)) -> bool {
        let left = self.len.saturating_sub(most);
        self.let_go_while(|book| book.len > left && book.is_too_much(retention), show);
        self.is_too_much(retention)
    }

    fn is_too_much(&self, retention: Retention) -> bool {
        let Retention { entries_max, bytes_max, age_max_ms: _ } = retention;
        self.len > 0
            && (entries_max.is_some_and(|max| self.len > max)
                || bytes_max.is_some_and(|max| self.bytes > max))
    }

    /// Lets go of pages whose newest entry came in before that; of one that takes in more time than a page is to by now, of
    /// each entry that did. Returns which page is to be brought for that.
    pub(crate) fn trim_before(&mut self, before: WallMs, show: impl FnMut(u64, bool)) -> Option<u64> {
        let is_old = |book: &Self, page: &Page| {
            page.ended_at() < before
                || book.is_wide(page) && page.oldest_at().is_some_and(|oldest| oldest < before)
        };
        self.let_go_while(|book| book.pages.front().is_some_and(|page| is_old(book, page)), show);
        if self.pages.front().is_some_and(|page| self.is_wide(page))
            && let Some(page) = self.pages.front_mut()
        {
            page.begin_again();
        }
        let page = self.pages.front().filter(|page| !page.is_here() && self.is_wide(page))?;
        (page.begun_at().0.saturating_add(self.span_max_ms) < before.0).then(|| page.id())
    }

    /// Whether it takes in more time than a page is to by now: it was made when entries stayed for longer.
    fn is_wide(&self, page: &Page) -> bool {
        page.ended_at().0.saturating_sub(page.begun_at().0) > self.span_max_ms
    }

    /// Lets go of so many.
    pub(crate) fn purge(&mut self, most: u64, show: impl FnMut(u64, bool)) {
        let left = self.len.saturating_sub(most);
        self.let_go_while(|book| book.len > left, show);
    }

    /// When the first page is gone by its age, or the first part of it, if it takes in more time than a page is to by now.
    pub(crate) fn first_end(&self, age_max_ms: u64) -> Option<WallMs> {
        let page = self.pages.front()?;
        let last = page.ended_at().0.min(page.begun_at().0.saturating_add(self.span_max_ms));
        Some(WallMs(last.saturating_add(age_max_ms).saturating_add(1)))
    }

    /// The first page, if its messages are not here.
    pub(crate) fn first_away(&self) -> Option<u64> {
        self.pages.front().filter(|page| !page.is_here()).map(Page::id)
    }

    fn let_go_while(&mut self, is_over: impl Fn(&Self) -> bool, mut show: impl FnMut(u64, bool)) {
        while self.len > 0 && is_over(self) {
            let Some(page) = self.pages.front_mut() else { break };
            let here = page.is_here();
            if let Some((number, size, durable)) = page.let_go() {
                self.len -= 1;
                self.bytes -= u64::from(size);
                self.bytes_here -= if here { u64::from(size) } else { 0 };
                show(number, durable);
            }
            if page.len() == 0 {
                let id = page.id();
                self.idle.retain(|other| *other != id);
                self.pages.pop_front();
            }
        }
        self.charge.set(self.bytes_here);
    }

    /// Has pages leave, those first that nobody read for longest; not the newest one, and not the last of the others, or nobody
    /// could ever read one.
    fn make_room(&mut self) {
        self.charge.set(self.bytes_here);
        while self.idle.len() > IDLE_MIN && self.is_over(1) {
            let takes_all = self.is_over(2);
            let used = |id: &u64| {
                let page = self.pages.get(self.place_of(*id)?)?;
                (takes_all || !page.awaited).then_some(page.used)
            };
            let candidates = self.idle.iter().enumerate().filter_map(|(at, id)| Some((used(id)?, at)));
            let Some((_, at)) = candidates.min() else { break };
            let id = self.idle.swap_remove(at);
            let page = self.place_of(id).and_then(|at| self.pages.get_mut(at));
            if let Some(page) = page {
                self.bytes_here -= page.bytes_here();
                page.leave();
            }
            self.charge.set(self.bytes_here);
        }
    }

    /// Whether more is here than so many times what may be.
    fn is_over(&self, times: u64) -> bool {
        let (entries_max, _) = self.page_max();
        let entries = (self.idle.len() as u64 + 1).saturating_mul(entries_max as u64);
        self.charge.is_full()
            || entries > self.resident.messages_max.saturating_mul(times)
            || self.bytes_here > self.resident.bytes_max.saturating_mul(times)
    }

    /// The most entries of a page, and, but for one entry, bytes: an eighth of what may be here.
    fn page_max(&self) -> (usize, u64) {
        let Resident { messages_max, bytes_max } = self.resident;
        let entries = usize::try_from(messages_max / 8).unwrap_or(usize::MAX);
        (
            entries.clamp(PAGE_ENTRIES_MIN, PAGE_ENTRIES_MAX),
            (bytes_max / 8).clamp(PAGE_BYTES_MIN, PAGE_BYTES_MAX),
        )
    }

    /// The place of the first page whose last number is not below that one.
    fn page_at(&self, number: u64) -> usize {
        // Mostly it is the newest.
        if self.pages.back().is_some_and(|page| page.first() <= number) {
            let newest = self.pages.len() - 1;
            return newest + usize::from(self.pages.back().is_some_and(|page| page.last() < number));
        }
        self.pages.partition_point(|page| page.last() < number)
    }

    fn place_of(&self, id: u64) -> Option<usize> {
        self.pages.binary_search_by_key(&id, Page::id).ok()
    }

    const fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }
}

/// A page takes in entries for one part in so many of the time that they stay.
const SPANS_OF_AGE: u64 = 32;

const PAGE_ENTRIES_MIN: usize = 4;
const PAGE_ENTRIES_MAX: usize = 512;
const PAGE_BYTES_MIN: u64 = 4 << 10;
const PAGE_BYTES_MAX: u64 = 256 << 10;

/// One that somebody reads.
const IDLE_MIN: usize = 1;
