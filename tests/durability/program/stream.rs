//! Stream: what lies at which offset, as far as anybody has read it, and what has to lie there.

use std::collections::{BTreeMap, BTreeSet};

/// A message: who wrote it, and its number.
pub(crate) type Written = (usize, u64);

/// What is known of one stream.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// By writer: so many were sent.
    sent: BTreeMap<usize, u64>,
    acknowledged: BTreeSet<Written>,
    /// By offset.
    lying: BTreeMap<u64, Written>,
    /// By message.
    offsets: BTreeMap<Written, u64>,
}

/// One who reads it from some offset on.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Nothing before it may come.
    pub(crate) next: u64,
    /// By writer: the newest that was read. Absent: nothing of him was.
    newest: BTreeMap<usize, u64>,
}

impl Stream {
    /// The writer is about to write its next message; gives the number. It is written once, whatever becomes of it.
    pub(crate) fn send(&mut self, writer: usize) -> u64 {
        let sent = self.sent.entry(writer).or_default();
        *sent += 1;
        *sent
    }

    /// The broker took responsibility.
    pub(crate) fn acknowledge(&mut self, message: Written) {
        self.acknowledged.insert(message);
    }

    /// Somebody read a message at that offset, behind what he had read before. What is wrong with that?
    pub(crate) fn read(&mut self, place: &mut Place, offset: u64, message: Written) -> Vec<String> {
        let mut wrong = Vec::new();
        let (writer, number) = message;
        if number == 0 || number > self.sent.get(&writer).copied().unwrap_or(0) {
            wrong.push(format!("nobody wrote {message:?}, which is at {offset}"));
        }
        if offset < place.next {
            wrong.push(format!("{offset} came, and {} was next", place.next));
        }
        let before = *self.lying.entry(offset).or_insert(message);
        if before != message {
            wrong.push(format!("at {offset} lay {before:?}, and now {message:?}"));
        }
        let elsewhere = *self.offsets.entry(message).or_insert(offset);
        if elsewhere != offset {
            wrong.push(format!("{message:?} is at {elsewhere} and at {offset}"));
        }
        let skipped = self.lying.range(place.next..offset.max(place.next));
        wrong.extend(skipped.map(|(offset, message)| format!("{message:?} at {offset} was left out")));
        let newest = place.newest.insert(writer, number);
        if let Some(newest) = newest {
            if number <= newest {
                wrong.push(format!("{message:?} came after {newest}"));
            }
            let between = (writer, newest + 1)..(writer, number.max(newest + 1));
            let lost = self.acknowledged.range(between);
            wrong.extend(
                lost.map(|message| format!("{message:?} was acknowledged, and is not before {offset}")),
            );
        }
        place.next = offset + 1;
        wrong
    }

    /// How many were acknowledged that nobody has read.
    pub(crate) fn owed(&self) -> usize {
        self.acknowledged.iter().filter(|message| !self.offsets.contains_key(message)).count()
    }

    /// How many were acknowledged that are not before that place.
    pub(crate) fn owed_to(&self, place: &Place) -> usize {
        let is_read = |message| self.offsets.get(message).is_some_and(|offset| *offset < place.next);
        self.acknowledged.iter().filter(|message| !is_read(message)).count()
    }

    /// Behind all that was read.
    pub(crate) fn end(&self) -> u64 {
        self.lying.last_key_value().map_or(FIRST, |(offset, _)| offset + 1)
    }

    /// What there was, for people to read.
    pub(crate) fn remark(&self) -> String {
        let (sent, acknowledged) = (self.sent.values().sum::<u64>(), self.acknowledged.len());
        format!("{sent} sent, {acknowledged} acknowledged, {} there", self.lying.len())
    }
}

impl Place {
    /// Reads from there on, and knows nothing of what was before.
    pub(crate) fn at(next: u64) -> Self {
        Self { next, newest: BTreeMap::new() }
    }

    /// Reads from the start on, by these writers: nothing of theirs is before.
    pub(crate) fn first(writers: usize) -> Self {
        Self { next: FIRST, newest: (0..writers).map(|writer| (writer, 0)).collect() }
    }
}

/// The offset of the first message.
pub(crate) const FIRST: u64 = 1;

#[cfg(test)]
mod tests {
    use super::{Place, Stream};

    #[test]
    fn every_reader_finds_the_same_at_each_offset_and_all_that_was_acknowledged() {
        let mut stream = written();
        let (mut one, mut other) = (Place::first(1), Place::first(1));
        for offset in 1..=3 {
            assert!(stream.read(&mut one, offset, (0, offset)).is_empty());
            assert!(stream.read(&mut other, offset, (0, offset)).is_empty());
        }
        assert_eq!((stream.owed(), stream.owed_to(&other), stream.end()), (0, 0, 4));
        let mut late = Place::at(3);
        assert!(stream.read(&mut late, 3, (0, 3)).is_empty());
    }

    #[test]
    fn what_is_left_out_doubled_or_moved_is_found() {
        let check = |readings: &[(u64, u64)], says: &str| {
            let mut stream = written();
            let mut place = Place::first(1);
            let mut wrong = Vec::new();
            for (offset, number) in readings {
                wrong.extend(stream.read(&mut place, *offset, (0, *number)));
            }
            assert!(wrong.iter().any(|text| text.contains(says)), "{readings:?}: {wrong:?}");
        };
        check(&[(1, 1), (2, 3)], "(0, 2) was acknowledged, and is not before 2");
        check(&[(1, 1), (1, 1)], "1 came, and 2 was next");
        check(&[(1, 1), (2, 1)], "is at 1 and at 2");
        check(&[(1, 2), (2, 1)], "came after 2");
        check(&[(1, 9)], "nobody wrote");
        let mut stream = written();
        stream.read(&mut Place::first(1), 1, (0, 1));
        let wrong = stream.read(&mut Place::first(1), 2, (0, 2));
        assert_eq!(wrong[0], "(0, 1) at 1 was left out");
        let wrong = stream.read(&mut Place::at(1), 1, (0, 2));
        assert_eq!(wrong[0], "at 1 lay (0, 1), and now (0, 2)");
    }

    /// Three by one writer, all acknowledged.
    fn written() -> Stream {
        let mut stream = Stream::default();
        for _ in 0..3 {
            let number = stream.send(0);
            stream.acknowledge((0, number));
        }
        stream
    }
}
