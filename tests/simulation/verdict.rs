//! Verdict: whether streams hold what was sent to them, when everything has come to rest.

use std::collections::BTreeSet;

use crate::ledger::Ledger;
use crate::sent::{Sent, Stamp, stream_of};
use crate::streams::{AGE_MAX_MS, ENTRIES_MAX, SHORT, Stream, keeps_all};

impl Ledger {
    /// Whoever reads has read all, from where he was to; and what was delayed lies in the order in which it was due.
    pub(crate) fn check_streams(&self) -> Result<(), String> {
        self.streams.check_readings()?;
        for (name, stream) in self.streams.all.iter().enumerate() {
            self.check_order_of_due(stream).map_err(|wrong| format!("stream {name}: {wrong}"))?;
        }
        Ok(())
    }

    /// Somebody has read a stream from its start on after all was over: what must be there is, and what may not be is not.
    pub(crate) fn check_all_of(&self, number: usize) -> Result<(), String> {
        let reading = &self.streams.readings[number];
        let (name, stream) = (reading.stream, &self.streams.all[reading.stream]);
        let first = reading.first.unwrap_or(u64::MAX);
        let there: Vec<(u64, Stamp)> =
            stream.lying.range(first..).map(|(offset, (stamp, _))| (*offset, *stamp)).collect();
        let acknowledged: Vec<(Stamp, &Sent)> = (self.sent.iter().enumerate())
            .filter(|(stamp, sent)| stream_of(sent.place).contains(&name) && self.has_arrived(*stamp))
            .collect();
        if keeps_all(name) {
            let is_there = |sent: &Sent, stamp: Stamp| {
                let named = || stream.taken_in.contains_key(&(sent.by, sent.number));
                stream.offsets.contains_key(&stamp) || sent.is_taken_once() && named()
            };
            if let Some((stamp, _)) = acknowledged.iter().find(|(stamp, sent)| !is_there(sent, *stamp)) {
                return Err(format!("{stamp} was acknowledged and is not in stream {name}"));
            }
            if there.len() != stream.lying.len() {
                return Err(format!("stream {name} began at {first}, and should have before"));
            }
        } else if name == SHORT {
            let numbers: BTreeSet<(usize, u32)> =
                acknowledged.iter().map(|(_, sent)| (sent.by, sent.number)).collect();
            let least = ENTRIES_MAX.min(numbers.len());
            if there.len() < least || there.len() > ENTRIES_MAX {
                return Err(format!("{} are in stream {name}, and {least} should be", there.len()));
            }
        } else {
            let now = self.now_ms;
            let is_old = |sent: &Sent| sent.sent_at_ms + sent.delay_ms + AGE_MAX_MS < now;
            let gone = stream.lying.range(..first).find(|(_, (stamp, _))| !is_old(&self.sent[*stamp]));
            if let Some((offset, (stamp, _))) = gone {
                return Err(format!("{stamp}, at {offset} of stream {name}, is gone before its time"));
            }
            let too_old = |stamp: Stamp| {
                let arrived = self.there_by(stamp);
                arrived.is_some_and(|arrived| arrived + AGE_MAX_MS + AGE_MAX_MS / 32 + LATE_MS < now)
            };
            if let Some((offset, stamp)) = there.iter().find(|(_, stamp)| too_old(*stamp)) {
                return Err(format!("{stamp}, at {offset} of stream {name}, should be gone"));
            }
        }
        Ok(())
    }

    /// What was delayed lies there in the order in which it was due.
    fn check_order_of_due(&self, stream: &Stream) -> Result<(), String> {
        let mut newest: Option<(u64, Stamp)> = None;
        for (stamp, _) in stream.lying.values() {
            let sent = &self.sent[*stamp];
            if sent.delay_ms == 0 {
                continue;
            }
            if let (Some((due, other)), Some(by)) = (newest, self.due_by(*stamp))
                && by < due
            {
                return Err(format!("{stamp} was due by {by} and lies behind {other}, due at {due}"));
            }
            let due = sent.sent_at_ms + sent.delay_ms;
            if newest.is_none_or(|(before, _)| before < due) {
                newest = Some((due, *stamp));
            }
        }
        Ok(())
    }
}

/// How much later than it may what is too old goes, in milliseconds: something has to look.
const LATE_MS: u64 = 2000;
