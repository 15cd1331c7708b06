//! Reads: what one client reads of each stream, and where it goes on.

use model::stream::Start;

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::sent::{STREAMS, Stamp};

/// At most one reading of each stream at a time.
pub(crate) struct Reads {
    /// It reads all of each from the start on, once all is over.
    is_late: bool,
    going_on: [Option<usize>; STREAMS],
    /// Behind what it has read of it, before it was away.
    behind: [Option<u64>; STREAMS],
}

impl Reads {
    pub(crate) const fn new(is_late: bool) -> Self {
        Self { is_late, going_on: [None; STREAMS], behind: [None; STREAMS] }
    }

    /// It asks for a stream from there on; what it read of it before is over. Gives the number of the reading.
    pub(crate) fn ask(&mut self, stream: usize, start: Start, ledger: &mut Ledger) -> usize {
        self.leave(stream, ledger);
        let reading = ledger.streams.ask(stream, start);
        self.going_on[stream] = Some(reading);
        reading
    }

    /// It wants no more of it; gives the number of the reading that ends.
    pub(crate) fn leave(&mut self, stream: usize, ledger: &mut Ledger) -> Option<usize> {
        let reading = self.going_on[stream].take()?;
        ledger.streams.end(reading);
        self.behind[stream] = ledger.streams.behind(reading).or(self.behind[stream]);
        Some(reading)
    }

    /// Whether that reading goes on.
    pub(crate) fn reads(&self, reading: usize) -> bool {
        self.going_on.contains(&Some(reading))
    }

    /// That came, for that reading; what is still under way for one that it gave up is as good.
    pub(crate) fn take(
        &mut self,
        reading: usize,
        offset: u64,
        stamp: Stamp,
        ledger: &mut Ledger,
    ) -> Result<(), String> {
        ledger.check_time(stamp)?;
        ledger.deliveries += 1;
        let Ledger { streams, sent, .. } = ledger;
        streams.read(reading, offset, (stamp, &sent[stamp]))
    }

    /// Where it is to read that stream now, if it is to start anew.
    pub(crate) fn choose(&self, stream: usize, dice: &mut Dice, ledger: &Ledger) -> Option<Start> {
        if self.going_on[stream].is_some() && !dice.percent(10) {
            return None;
        }
        let behind = self.behind[stream].map_or(Start::First, Start::Offset);
        let anywhere = dice.roll(ledger.streams.last(stream) as usize + 3) as u64;
        Some(match dice.roll(10) {
            0..5 => behind,
            5 => Start::First,
            6 => Start::Next,
            7 => Start::Last(1 + dice.roll(8) as u64),
            _ => Start::Offset(anywhere),
        })
    }

    /// What it is to ask for before it may rest.
    pub(crate) fn wanted(&self) -> Vec<(usize, Start)> {
        let all = (0..STREAMS).filter(|stream| self.going_on[*stream].is_none());
        let start =
            |stream: usize| self.behind[stream].filter(|_| !self.is_late).map_or(Start::First, Start::Offset);
        all.map(|stream| (stream, start(stream))).collect()
    }

    /// The connection is gone.
    pub(crate) fn lose(&mut self, ledger: &mut Ledger) {
        for stream in 0..STREAMS {
            self.leave(stream, ledger);
        }
    }

    /// When everything has come to rest.
    pub(crate) fn check(&self, ledger: &Ledger) -> Result<(), String> {
        let all = self.going_on.iter().flatten().filter(|_| self.is_late);
        all.copied().try_for_each(|reading| ledger.check_all_of(reading))
    }
}
