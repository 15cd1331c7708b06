//! Messages that wait for their time: each comes once, none before, and after a death all that became due.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What was sent, by number.
#[derive(Debug, Default)]
pub(crate) struct Delays {
    sent: BTreeMap<u64, Instant>,
    /// Acknowledged, and not here yet.
    must: BTreeSet<u64>,
    heard: BTreeSet<u64>,
    slowest: Duration,
}

impl Delays {
    /// Is about to be sent, not to come before `due`; gives the number.
    pub(crate) fn send(&mut self, due: Instant) -> u64 {
        let number = self.sent.len() as u64 + 1;
        self.sent.insert(number, due);
        number
    }

    pub(crate) fn acknowledge(&mut self, number: u64) {
        if !self.heard.contains(&number) {
            self.must.insert(number);
        }
    }

    /// It came as something new to somebody who is there since `here`. What is wrong with that?
    pub(crate) fn hear(&mut self, number: u64, here: Instant, now: Instant) -> Option<String> {
        self.must.remove(&number);
        let Some(due) = self.sent.get(&number).copied() else {
            return Some(format!("delayed: {number} came, and nobody sent it"));
        };
        if !self.heard.insert(number) {
            return Some(format!("delayed: {number} came twice"));
        }
        if now + PRECISION < due {
            return Some(format!("delayed: {number} came {:?} before its time", due - now));
        }
        let late = now.saturating_duration_since(due.max(here));
        self.slowest = self.slowest.max(late);
        (late > LATE_MAX).then(|| format!("delayed: {number} came {late:?} after its time"))
    }

    pub(crate) fn has_come(&self, number: u64) -> bool {
        self.heard.contains(&number)
    }

    /// How many were acknowledged, and are not here yet.
    pub(crate) fn owed(&self) -> usize {
        self.must.len()
    }

    pub(crate) fn remark(&self) -> String {
        let Self { sent, heard, slowest, .. } = self;
        format!("{} sent, {} came, the slowest {slowest:?} after its time", sent.len(), heard.len())
    }
}

/// To ten milliseconds, as they are promised.
const PRECISION: Duration = Duration::from_millis(10);
/// Beyond that it is lost rather than late: a full disk holds everybody up for seconds, and so does a slow machine.
const LATE_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_early_doubled_late_or_not_sent_is_found() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut delays = Delays::default();
        for due in [5, 5, 5, 5] {
            delays.send(at(due));
        }
        assert_eq!(delays.hear(1, begin, at(5)), None);
        // Nobody was there when it was due.
        assert_eq!(delays.hear(2, at(100), at(101)), None);
        let says = |wrong: Option<String>, what: &str| {
            assert!(wrong.is_some_and(|text| text.contains(what)), "{what}")
        };
        says(delays.hear(1, begin, at(6)), "twice");
        says(delays.hear(3, begin, at(4)), "before its time");
        says(delays.hear(4, begin, at(50)), "after its time");
        says(delays.hear(5, begin, at(50)), "nobody sent");
        delays.acknowledge(1);
        assert_eq!(delays.owed(), 0, "it has come");
    }
}
