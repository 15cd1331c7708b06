//! View: what an MQTT session was sent, and whether that may be.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::Ledger;
use crate::sent::{KEPT, PLACES, Sent, Stamp, TOPICS};

/// A PUBLISH as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Came {
    pub(crate) stamp: Stamp,
    pub(crate) qos: u8,
    pub(crate) dup: bool,
    pub(crate) id: Option<u16>,
}

/// Who published, where, and how.
type Stream = (usize, usize, u8);

/// What one session knows.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The filters, by place, with what was granted.
    granted: BTreeMap<usize, u8>,
    got: BTreeSet<Stamp>,
    /// At QoS 2 in both directions: by sender and number.
    exact: BTreeSet<(usize, u32)>,
    /// Which time of sending it was, of messages that are taken in once.
    taken_in: BTreeMap<(usize, u32), Stamp>,
    newest: BTreeMap<Stream, Stamp>,
    /// The same, of this connection.
    newest_here: BTreeMap<Stream, Stamp>,
    /// Of what was delayed, by place and QoS: what was due last of what came, and when at the earliest.
    due: BTreeMap<(usize, u8), (u64, Stamp)>,
    /// Not settled by the client, on this connection.
    pub(crate) under_way: BTreeMap<u16, Stamp>,
    /// QoS 2 ids that the client holds, over all connections.
    pub(crate) held: BTreeMap<u16, Stamp>,
    /// The broker has taken what settles them, in this life; then for good.
    settled: BTreeSet<Stamp>,
    settled_for_good: BTreeSet<Stamp>,
    /// Said, with where in what was said on this connection.
    saying: Vec<(u64, Stamp)>,
}

impl View {
    pub(crate) fn new(granted: &[(usize, u8)]) -> Self {
        Self { granted: granted.iter().copied().collect(), ..Self::default() }
    }

    /// Whether the client is to be told at all, or holds this id already.
    pub(crate) fn take(&mut self, came: Came, ledger: &Ledger, window: usize) -> Result<(), String> {
        let Came { stamp, qos, dup, id } = came;
        let sent = &ledger.sent[stamp];
        let Some(granted) = self.granted.get(&sent.place) else {
            return Err(format!("{stamp} for {} was not asked for", PLACES[sent.place]));
        };
        if qos != sent.qos.min(*granted) {
            return Err(format!("{stamp} came at QoS {qos}, sent at {}, granted {granted}", sent.qos));
        }
        let is_again = self.got.contains(&stamp);
        if is_again && (qos == 0 || !dup) {
            return Err(format!("{stamp} came again at QoS {qos}, and was said to be new"));
        }
        if qos == 0 && dup {
            return Err(format!("{stamp} came with DUP at QoS 0"));
        }
        if self.settled.contains(&stamp) || self.settled_for_good.contains(&stamp) {
            return Err(format!("{stamp} came again after it was settled"));
        }
        if let Some(id) = id {
            if let Some(other) = self.under_way.insert(id, stamp) {
                return Err(format!("{stamp} came under id {id}, which {other} has"));
            }
            if self.under_way.len() > window {
                return Err(format!("{} are under way at once, {window} may be", self.under_way.len()));
            }
        }
        ledger.check_time(stamp)?;
        if sent.delay_ms == 0 {
            self.check_order(stamp, sent, is_again)?;
        } else if !is_again {
            self.check_order_of_due(stamp, sent, ledger)?;
        }
        self.check_once(came, sent)?;
        self.got.insert(stamp);
        Ok(())
    }

    fn check_order(&mut self, stamp: Stamp, sent: &Sent, is_again: bool) -> Result<(), String> {
        let stream = (sent.by, sent.place, sent.qos);
        if let Some(before) = self.newest_here.insert(stream, stamp).filter(|before| *before >= stamp) {
            return Err(format!("{stamp} came behind {before} on the same connection"));
        }
        if !is_again && let Some(before) = self.newest.insert(stream, stamp).filter(|before| *before > stamp)
        {
            return Err(format!("{stamp} came for the first time behind {before}"));
        }
        Ok(())
    }

    /// What was delayed comes in the order in which it is due.
    fn check_order_of_due(&mut self, stamp: Stamp, sent: &Sent, ledger: &Ledger) -> Result<(), String> {
        let due = sent.sent_at_ms + sent.delay_ms;
        let last = self.due.entry((sent.place, sent.qos)).or_insert((due, stamp));
        if let Some(by) = ledger.due_by(stamp).filter(|by| *by < last.0) {
            return Err(format!("{stamp}, due by {by}, came behind {}, due at {}", last.1, last.0));
        }
        *last = (*last).max((due, stamp));
        Ok(())
    }

    fn check_once(&mut self, came: Came, sent: &Sent) -> Result<(), String> {
        if sent.is_taken_once() {
            let first = *self.taken_in.entry((sent.by, sent.number)).or_insert(came.stamp);
            if first != came.stamp {
                return Err(format!("{} came, and so did {first}, under the same id", came.stamp));
            }
        }
        let (2, Some(id)) = (came.qos, came.id) else { return Ok(()) };
        match self.held.insert(id, came.stamp) {
            Some(held) if held == came.stamp => Ok(()),
            Some(held) => Err(format!("{} came under id {id}, which is {held}'s until PUBREL", came.stamp)),
            None if self.exact.insert((sent.by, sent.number)) => Ok(()),
            None => Err(format!("{} came twice: number {} of {}", came.stamp, sent.number, sent.by)),
        }
    }

    /// The client says that it is done with it; `at`: where that ends in what it said on this connection.
    pub(crate) fn say_settled(&mut self, id: u16, stamp: Stamp, at: u64) {
        self.under_way.remove(&id);
        self.saying.push((at, stamp));
    }

    /// The broker has taken so much of what was said.
    pub(crate) fn hear(&mut self, taken: u64) {
        self.settled.extend(self.saying.iter().filter(|(at, _)| *at <= taken).map(|(_, stamp)| *stamp));
    }

    /// The broker has answered something that ended there in what was said: what was settled before is settled for good.
    pub(crate) fn answered(&mut self, at: u64) {
        self.settled_for_good
            .extend(self.saying.iter().filter(|(said, _)| *said <= at).map(|(_, stamp)| *stamp));
    }

    pub(crate) fn lose(&mut self) {
        self.newest_here.clear();
        self.under_way.clear();
        self.saying.clear();
    }

    pub(crate) fn crash(&mut self) {
        self.settled.clear();
    }

    /// When everything has come to rest: what was acknowledged is there.
    pub(crate) fn check(&self, ledger: &Ledger) -> Result<(), String> {
        let numbers: BTreeSet<(usize, u32)> =
            self.got.iter().map(|stamp| &ledger.sent[*stamp]).map(|sent| (sent.by, sent.number)).collect();
        for (stamp, sent) in ledger.sent.iter().enumerate().filter(|(_, sent)| sent.place < TOPICS) {
            let granted = self.granted.get(&sent.place).copied().unwrap_or(0);
            if granted == 0 || sent.qos == 0 || sent.place >= KEPT {
                continue;
            }
            let is_missing = if sent.is_taken_once() {
                ledger.exact.contains(&(sent.by, sent.number)) && !numbers.contains(&(sent.by, sent.number))
            } else {
                sent.acked && !self.got.contains(&stamp)
            };
            if is_missing {
                return Err(format!("{stamp} ({sent:?}) was acknowledged and never came"));
            }
        }
        if let Some((id, stamp)) = self.held.first_key_value() {
            return Err(format!("{stamp} under id {id} was never released"));
        }
        Ok(())
    }
}
