//! Page: entries of a stream in a row, with their messages or without

use model::time::WallMs;

use crate::queue::entry::Item;

/// Entries in a row: what is read back from the journal at once, and for all readers who are near. Their numbers go up, and
/// some may be missing. 6 bytes for each entry whose message is not here.
#[derive(Debug)]
pub(crate) struct Page {
    first: u64,
    /// Of all that ever were in it: how far from the first.
    places: Vec<u16>,
    /// By [`model::message::Message::size_bytes`].
    sizes: Vec<u32>,
    /// So many of them are gone, the oldest.
    gone: usize,
    /// What is left, in bytes.
    bytes: u64,
    /// The messages of all of them, where they are here.
    items: Option<Vec<Item>>,
    /// The journal has all of them.
    lasts: bool,
    /// When the oldest came in, and the newest.
    begun_at: WallMs,
    ended_at: WallMs,
    /// When somebody read it last, by a clock that counts readings.
    pub(crate) used: u64,
    /// Somebody was called to read it, and has not come.
    pub(crate) awaited: bool,
}

impl Page {
    /// A page for an entry of that number, and those behind it.
    pub(crate) const fn new(first: u64, at: WallMs, here: bool) -> Self {
        Self {
            first,
            places: Vec::new(),
            sizes: Vec::new(),
            gone: 0,
            bytes: 0,
            items: if here { Some(Vec::new()) } else { None },
            lasts: true,
            begun_at: at,
            ended_at: at,
            used: 0,
            awaited: false,
        }
    }

    /// What it is called, as long as it is there.
    pub(crate) const fn id(&self) -> u64 {
        self.first
    }

    /// How many entries are left.
    pub(crate) const fn len(&self) -> usize {
        self.places.len() - self.gone
    }

    /// What is left, in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What its messages take, where they are here.
    pub(crate) const fn bytes_here(&self) -> u64 {
        if self.items.is_some() { self.bytes } else { 0 }
    }

    /// Whether its messages are here.
    pub(crate) const fn is_here(&self) -> bool {
        self.items.is_some()
    }

    /// When the oldest came in.
    pub(crate) const fn begun_at(&self) -> WallMs {
        self.begun_at
    }

    /// When the newest came in.
    pub(crate) const fn ended_at(&self) -> WallMs {
        self.ended_at
    }

    /// When the oldest that is left came in, if its message is here.
    pub(crate) fn oldest_at(&self) -> Option<WallMs> {
        Some(self.items.as_ref()?.get(self.gone)?.message.published_at)
    }

    /// Looks when it begins by now, if its messages are here.
    pub(crate) fn begin_again(&mut self) {
        if let Some(at) = self.oldest_at() {
            self.begun_at = self.begun_at.max(at).min(self.ended_at);
        }
    }

    /// The number of the oldest that is left.
    pub(crate) fn first(&self) -> u64 {
        self.number(self.gone).unwrap_or(self.first)
    }

    /// The number of the newest.
    pub(crate) fn last(&self) -> u64 {
        self.places.last().map_or(self.first, |place| self.first + u64::from(*place))
    }

    /// Whether an entry of that number may join it.
    pub(crate) fn reaches(&self, number: u64) -> bool {
        number.checked_sub(self.first).is_some_and(|place| place <= u16::MAX.into())
    }

    /// Adds the next one, which came in then; its number must be one that it reaches. A message belongs to a page whose messages
    /// are here.
    pub(crate) fn push(&mut self, number: u64, size: u32, at: WallMs, item: Option<Item>) {
        let Some(place) = number.checked_sub(self.first).and_then(|place| u16::try_from(place).ok()) else {
            return;
        };
        self.places.push(place);
        self.sizes.push(size);
        self.bytes += u64::from(size);
        self.ended_at = self.ended_at.max(at);
        match (&mut self.items, item) {
            (Some(items), Some(item)) => {
                self.lasts &= item.durable;
                items.push(item);
            }
            (items, _) => *items = None,
        }
    }

    /// The numbers of what is left.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.places.iter().skip(self.gone).map(|place| self.first + u64::from(*place))
    }

    /// The entries whose messages are here, from that number on.
    pub(crate) fn from(&self, number: u64) -> impl Iterator<Item = (u64, &Item)> {
        let at = self.places.partition_point(|place| self.first + u64::from(*place) < number).max(self.gone);
        let places = self.places.iter().skip(at).map(|place| self.first + u64::from(*place));
        places.zip(self.items.iter().flatten().skip(at))
    }

    /// The entries from that number on with their sizes, and with their messages where those are here.
    pub(crate) fn all_from(&self, number: u64) -> impl Iterator<Item = (u64, u32, Option<&Item>)> {
        let at = self.places.partition_point(|place| self.first + u64::from(*place) < number).max(self.gone);
        let items = self.items.as_deref();
        let sized = self.places.iter().zip(&self.sizes).enumerate().skip(at);
        sized.map(move |(at, (place, size))| {
            (self.first + u64::from(*place), *size, items.and_then(|items| items.get(at)))
        })
    }

    /// The number of the one before which there are so many that are left.
    pub(crate) fn nth(&self, before: usize) -> Option<u64> {
        self.number(self.gone + before)
    }

    /// Lets the oldest go; returns its number, its size, and whether the journal has it.
    pub(crate) fn let_go(&mut self) -> Option<(u64, u32, bool)> {
        let number = self.number(self.gone)?;
        let size = self.sizes.get(self.gone).copied()?;
        let durable =
            self.items.as_ref().and_then(|items| items.get(self.gone)).is_none_or(|item| item.durable);
        self.gone += 1;
        self.bytes -= u64::from(size);
        Some((number, size, durable))
    }

    /// Whether its messages may be let go: the journal has them.
    pub(crate) const fn may_leave(&self) -> bool {
        self.items.is_some() && self.lasts
    }

    /// Its messages are not here any more.
    pub(crate) fn leave(&mut self) {
        self.items = None;
        self.awaited = false;
    }

    /// Its messages have come. Returns the numbers of those that are left and did not: they are lost.
    pub(crate) fn fill(&mut self, mut found: Vec<(u64, Item)>) -> Vec<u64> {
        found.sort_unstable_by_key(|(number, _)| *number);
        let mut found = found.into_iter().peekable();
        let mut page = Self::new(self.first, self.begun_at, true);
        let mut lost = Vec::new();
        let all: Vec<(u64, u32)> = self.numbers().zip(self.sizes.iter().skip(self.gone).copied()).collect();
        for (number, size) in all {
            while found.next_if(|(other, _)| *other < number).is_some() {}
            match found.next_if(|(other, _)| *other == number) {
                Some((_, item)) => page.push(number, size, self.ended_at, Some(item)),
                None => lost.push(number),
            }
        }
        page.ended_at = self.ended_at;
        page.used = self.used;
        *self = page;
        lost
    }

    fn number(&self, at: usize) -> Option<u64> {
        self.places.get(at).map(|place| self.first + u64::from(*place))
    }
}
