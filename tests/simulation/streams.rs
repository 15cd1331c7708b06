//! Streams: what lies at which offset, as far as anybody has read it, and what has to lie there.

use std::collections::{BTreeMap, BTreeSet};

use engine::Definitions;
use model::grant::Grant;
use model::key::{KeyPattern, Level};
use model::name::{ExchangeName, QueueName};
use model::queue::{Binding, HeaderMatch, QueueArguments, QueueOptions};
use model::stream::Start;

use crate::sent::{PLACES, QUEUES, STREAMS, Sent, Stamp, stream_of};

/// How long what is in the last of the streams stays, in milliseconds.
pub(crate) const AGE_MAX_MS: u64 = 20_000;
/// How many entries the one before has.
pub(crate) const ENTRIES_MAX: usize = 4;

/// All of them, and all who ever read one.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) all: [Stream; STREAMS],
    pub(crate) readings: Vec<Reading>,
}

/// What is known of one.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// By offset: what is there, and how many were known before.
    pub(crate) lying: BTreeMap<u64, (Stamp, usize)>,
    pub(crate) offsets: BTreeMap<Stamp, u64>,
    /// Which time of sending it was, of messages that are taken in once.
    pub(crate) taken_in: BTreeMap<(usize, u32), Stamp>,
    /// By who wrote, and how: what is written in its order lies in its order.
    written: BTreeMap<(usize, u8), BTreeMap<u64, Stamp>>,
    /// Offsets that somebody read past: there is nothing, and never will be.
    passed: BTreeSet<u64>,
}

/// Somebody reads a stream from somewhere on, as long as his connection lasts.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) stream: usize,
    start: Start,
    /// How many entries were known when he asked.
    known_before: usize,
    /// The first thing that was sent after he was told that he reads.
    granted_at: Option<Stamp>,
    pub(crate) first: Option<u64>,
    /// Nothing before it may come.
    next: u64,
    is_over: bool,
}

impl Streams {
    /// Somebody asks for a stream; gives the number by which his reading goes.
    pub(crate) fn ask(&mut self, stream: usize, start: Start) -> usize {
        let known_before = self.all[stream].lying.len();
        let (granted_at, first) = (None, None);
        let reading = Reading { stream, start, known_before, granted_at, first, next: 0, is_over: false };
        self.readings.push(reading);
        self.readings.len() - 1
    }

    /// He was told that he reads; `sent`: so much was sent until then.
    pub(crate) fn grant(&mut self, reading: usize, sent: Stamp) {
        self.readings[reading].granted_at = Some(sent);
    }

    /// He reads no more.
    pub(crate) fn end(&mut self, reading: usize) {
        self.readings[reading].is_over = true;
    }

    /// The offset behind all that he has read, if he has read something.
    pub(crate) fn behind(&self, reading: usize) -> Option<u64> {
        let reading = &self.readings[reading];
        reading.first.map(|_| reading.next)
    }

    /// The last offset that is known.
    pub(crate) fn last(&self, stream: usize) -> u64 {
        self.all[stream].lying.last_key_value().map_or(0, |(offset, _)| *offset)
    }

    /// Whether anybody has read it out of that stream.
    pub(crate) fn has(&self, stream: usize, stamp: Stamp) -> bool {
        self.all[stream].offsets.contains_key(&stamp)
    }

    /// Somebody read that, at that offset.
    pub(crate) fn read(
        &mut self,
        reading: usize,
        offset: u64,
        (stamp, sent): (Stamp, &Sent),
    ) -> Result<(), String> {
        let reading = &mut self.readings[reading];
        let name = reading.stream;
        if !stream_of(sent.place).contains(&name) {
            return Err(format!("{stamp} is no message of stream {name}"));
        }
        if offset < reading.next {
            return Err(format!("{stamp} came at {offset} of stream {name}, and {} was next", reading.next));
        }
        if let Start::Offset(from) = reading.start
            && offset < from
        {
            return Err(format!("{stamp} came at {offset} of stream {name}, which was read from {from} on"));
        }
        let stream = &mut self.all[name];
        stream.learn(offset, stamp, sent).map_err(|wrong| format!("stream {name}: {wrong}"))?;
        if reading.first.is_some() && keeps_all(name) {
            let between = stream.lying.range(reading.next..offset).next();
            if let Some((left_out, (stamp, _))) = between {
                return Err(format!("{stamp}, at {left_out} of stream {name}, was left out before {offset}"));
            }
            stream.passed.extend(reading.next..offset);
        }
        reading.first.get_or_insert(offset);
        reading.next = offset + 1;
        Ok(())
    }

    /// When everything has come to rest: who reads has read all, from where he was to.
    pub(crate) fn check_readings(&self) -> Result<(), String> {
        for (number, reading) in self.readings.iter().enumerate() {
            let checked = reading.check(&self.all[reading.stream]);
            checked.map_err(|wrong| format!("reading {number}, {reading:?}: {wrong}"))?;
        }
        Ok(())
    }
}

impl Stream {
    /// That lies there, for everybody and for ever.
    fn learn(&mut self, offset: u64, stamp: Stamp, sent: &Sent) -> Result<(), String> {
        let known = self.lying.len();
        let (lies, _) = *self.lying.entry(offset).or_insert((stamp, known));
        if lies != stamp {
            return Err(format!("at {offset} lay {lies}, and now {stamp}"));
        }
        let elsewhere = *self.offsets.entry(stamp).or_insert(offset);
        if elsewhere != offset {
            return Err(format!("{stamp} is at {elsewhere} and at {offset}"));
        }
        if self.lying.len() == known {
            return Ok(());
        }
        if self.passed.contains(&offset) {
            return Err(format!("{stamp} came to {offset}, which others had read past"));
        }
        if sent.is_taken_once() {
            let first = *self.taken_in.entry((sent.by, sent.number)).or_insert(stamp);
            if first != stamp {
                return Err(format!("{stamp} is there, and so is {first}, under the same id"));
            }
        }
        if sent.delay_ms == 0 {
            let written = self.written.entry((sent.by, sent.qos)).or_default();
            let before = written.range(..offset).next_back().filter(|(_, before)| **before > stamp);
            let behind = written.range(offset..).next().filter(|(_, behind)| **behind < stamp);
            if let Some((other, near)) = before.or(behind) {
                return Err(format!("{stamp} is at {offset}, and {near} of the same sender at {other}"));
            }
            written.insert(offset, stamp);
        }
        Ok(())
    }
}

impl Reading {
    fn check(&self, stream: &Stream) -> Result<(), String> {
        let Some(granted_at) = self.granted_at else { return Ok(()) };
        let is_known = |known: &usize| *known < self.known_before;
        // What was too old may have gone before he came to it.
        let reads_all = !self.is_over && self.stream != AGED && self.first.is_some();
        if reads_all && self.next <= stream.last() {
            return Err(format!("{} is there, and {} was not read", stream.last(), self.next));
        }
        if !keeps_all(self.stream) {
            return Ok(());
        }
        // What was sent when he read already is not before the first that he got.
        let first = self.first.unwrap_or(if self.is_over { 0 } else { u64::MAX });
        let missed = stream.lying.range(..first).find(|(offset, (stamp, _))| match self.start {
            Start::First => true,
            Start::Offset(from) => **offset >= from,
            Start::Next | Start::Last(_) | Start::At(_) => *stamp >= granted_at,
        });
        if let Some((offset, (stamp, _))) = missed {
            return Err(format!("{stamp}, at {offset}, should have come"));
        }
        let Some(first) = self.first else { return Ok(()) };
        let known_behind =
            stream.lying.range(first..).filter(|(_, (_, known))| is_known(known)).count() as u64;
        let wrong = match self.start {
            Start::First | Start::Offset(_) | Start::At(_) => false,
            Start::Next => known_behind > 0,
            Start::Last(count) => {
                // All that may have been there when he began, the newest first.
                let there = stream.lying.iter().rev().filter(|(_, (stamp, _))| *stamp < granted_at);
                let there: Vec<u64> = there.map(|(offset, _)| *offset).collect();
                let latest = there.get(count as usize - 1).or(there.last()).copied();
                known_behind > count || latest.is_some_and(|latest| first > latest)
            }
        };
        if wrong { Err(format!("began at {first}")) } else { Ok(()) }
    }
}

impl Stream {
    fn last(&self) -> u64 {
        self.lying.last_key_value().map_or(0, |(offset, _)| *offset)
    }
}

/// The streams, and what the first of them is bound to.
pub(crate) fn declared() -> Definitions {
    let queues = (0..STREAMS).map(|stream| {
        let is = |other| (stream == other).then_some(());
        QueueOptions {
            name: QueueName::new(PLACES[QUEUES + stream]),
            durable: true,
            exclusive: false,
            auto_delete: false,
            ready_max: is(SHORT).map(|()| ENTRIES_MAX as u64),
            ready_bytes_max: None,
            arguments: Some(Box::new(QueueArguments {
                stream: true,
                age_max_ms: is(AGED).map(|()| AGE_MAX_MS),
                ..QueueArguments::default()
            })),
        }
    });
    let binding = Binding {
        exchange: ExchangeName::TOPIC,
        pattern: KeyPattern::new(vec![Level::Literal("k".into()), Level::Many]),
        arguments: HeaderMatch::default(),
        queue: QueueName::new(PLACES[QUEUES]),
        share: None,
        grant: Grant::default(),
    };
    Definitions { queues: queues.collect(), bindings: vec![binding], ..Definitions::default() }
}

/// Whether nothing in that stream ever goes.
pub(crate) const fn keeps_all(stream: usize) -> bool {
    stream == 0
}

pub(crate) const SHORT: usize = 1;
const AGED: usize = 2;
