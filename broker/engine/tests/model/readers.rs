//! Streams as lists: who reads one has a place in it, and nothing is taken

use model::stream::Start;

use crate::reference::{Consumer, Entry, Queue, Reference};

/// How far somebody has read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Reader {
    /// The lowest number that he may get.
    next: u64,
    /// What was published before is passed over, until something is not.
    since_ms: Option<u64>,
    /// What he has and did not settle.
    pub(crate) had: Vec<u64>,
}

impl Queue {
    /// Where somebody begins who reads from there on; `wall_ms`: what the clock on the wall says at 0.
    pub(crate) fn begin(&self, start: Start, wall_ms: u64) -> Reader {
        let next = match start {
            Start::First | Start::At(_) => 0,
            Start::Next => self.last + 1,
            Start::Offset(offset) => offset,
            Start::Last(count) => {
                let all: Vec<u64> = self.waiting().map(|entry| entry.number).collect();
                let before = all.len().saturating_sub(count as usize);
                all.get(before).copied().unwrap_or(self.last + 1)
            }
        };
        let since_ms = match start {
            Start::At(at) => Some(at.0.saturating_sub(wall_ms)),
            Start::First | Start::Next | Start::Offset(_) | Start::Last(_) => None,
        };
        Reader { next, since_ms, had: Vec::new() }
    }

    /// What he reads next, `max` at most.
    pub(crate) fn read(&mut self, id: u32, max: usize) -> Vec<Entry> {
        let (mut got, most) = (Vec::new(), self.credit(id).min(max));
        let Some(consumer) = self.consumers.iter_mut().find(|consumer| consumer.id == id) else { return got };
        let Consumer { reader, acknowledges, .. } = consumer;
        for entry in &self.entries {
            if entry.number < reader.next {
                continue;
            }
            if got.len() == most {
                break;
            }
            reader.next = entry.number + 1;
            if reader.passes_over(entry) {
                continue;
            }
            reader.since_ms = None;
            if *acknowledges {
                reader.had.push(entry.number);
            }
            got.push(entry.clone());
        }
        got
    }

    /// How much there is for him.
    pub(crate) fn readable(&self, consumer: &Consumer) -> usize {
        let reader = &consumer.reader;
        let is_for_him = |entry: &&Entry| entry.number >= reader.next && !reader.passes_over(entry);
        self.waiting().filter(is_for_him).count()
    }
}

impl Reader {
    fn passes_over(&self, entry: &Entry) -> bool {
        entry.message.expires_at_once || self.since_ms.is_some_and(|since| entry.message.at_ms < since)
    }
}

impl Reference {
    /// He has read it, however he says so, and may have another one. `false`: that is no stream.
    pub(crate) fn settle_read(&mut self, name: &str, id: u32, number: u64) -> bool {
        let Some(queue) = self.queue(name).filter(|queue| queue.rules.stream) else { return false };
        for consumer in queue.consumers.iter_mut().filter(|consumer| consumer.id == id) {
            consumer.reader.had.retain(|had| *had != number);
        }
        true
    }
}
