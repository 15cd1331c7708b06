//! Ledger: what was published, what became of it, and what must hold of that.

use std::collections::{BTreeMap, BTreeSet};

use crate::sent::{PLACES, QUEUES, Sent, Stamp, TOPICS};
use crate::streams::Streams;

/// All that was sent, and all that is known of queues.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) sent: Vec<Sent>,
    /// When the broker had said that it has it, by sender and number.
    taken_at_ms: BTreeMap<(usize, u32), u64>,
    /// What time it is, in milliseconds since the world began.
    pub(crate) now_ms: u64,
    pub(crate) streams: Streams,
    /// Of messages that are taken in once, those that the broker has, by sender and number: it matters not which time of
    /// sending got there.
    pub(crate) exact: BTreeSet<(usize, u32)>,
    /// For each transaction, whether it took effect: `None` as long as nobody knows.
    pub(crate) transactions: Vec<Option<bool>>,
    /// What of queues was seen by any consumer.
    pub(crate) delivered: BTreeSet<Stamp>,
    /// What was said to be delivered for the first time.
    new: BTreeSet<Stamp>,
    /// Which time of sending it was, of messages in queues that are taken in once.
    taken_in: BTreeMap<(usize, u32), Stamp>,
    /// What the broker said is consumed.
    pub(crate) consumed: BTreeSet<Stamp>,
    pub(crate) deliveries: u64,
    pub(crate) repeated: u64,
}

impl Ledger {
    pub(crate) fn send(&mut self, sent: Sent) -> Stamp {
        self.sent.push(Sent { sent_at_ms: self.now_ms, ..sent });
        self.sent.len() - 1
    }

    /// The broker said that it has what was sent under that stamp.
    pub(crate) fn acknowledge(&mut self, stamp: Stamp) {
        let sent = &mut self.sent[stamp];
        sent.acked = true;
        self.taken_at_ms.entry((sent.by, sent.number)).or_insert(self.now_ms);
    }

    /// The broker said that it has that message, whichever time of sending it was.
    pub(crate) fn acknowledge_once(&mut self, by: usize, number: u32) {
        self.exact.insert((by, number));
        self.taken_at_ms.entry((by, number)).or_insert(self.now_ms);
    }

    /// Whether it must be there, or another time of sending of the same message.
    pub(crate) fn has_arrived(&self, stamp: Stamp) -> bool {
        let sent = &self.sent[stamp];
        if sent.is_taken_once() { self.exact.contains(&(sent.by, sent.number)) } else { sent.acked }
    }

    /// When it was due at the latest, if that is known: the broker may have taken it at any time until it said so, and waits for the
    /// end of the millisecond.
    pub(crate) fn due_by(&self, stamp: Stamp) -> Option<u64> {
        let sent = &self.sent[stamp];
        let taken_at = self.taken_at_ms.get(&(sent.by, sent.number));
        taken_at.filter(|_| sent.acked || sent.is_taken_once()).map(|at| at + sent.delay_ms + 1)
    }

    /// When it was there at the latest, of what was not delayed, if that is known.
    pub(crate) fn there_by(&self, stamp: Stamp) -> Option<u64> {
        self.due_by(stamp).filter(|_| self.sent[stamp].delay_ms == 0)
    }

    /// Nothing that was delayed comes before its time.
    pub(crate) fn check_time(&self, stamp: Stamp) -> Result<(), String> {
        let Sent { sent_at_ms, delay_ms, .. } = self.sent[stamp];
        if self.now_ms >= sent_at_ms + delay_ms {
            return Ok(());
        }
        let now = self.now_ms;
        Err(format!("{stamp} came at {now}, sent at {sent_at_ms} to come {delay_ms} ms later"))
    }

    /// When the next one is due that was delayed, if it was taken at once.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        let due =
            self.sent.iter().filter(|sent| sent.delay_ms > 0).map(|sent| sent.sent_at_ms + sent.delay_ms);
        due.filter(|due| *due > self.now_ms).min()
    }

    /// Behind the time at which everything is due, if nothing is still on its way to the broker.
    pub(crate) fn all_due_ms(&self) -> u64 {
        let due = |(stamp, sent): (Stamp, &Sent)| {
            (sent.delay_ms > 0).then(|| self.due_by(stamp).unwrap_or(self.now_ms + sent.delay_ms + 1))
        };
        self.sent.iter().enumerate().filter_map(due).max().unwrap_or(0) + 1
    }

    /// The body under that stamp: its length depends on it, so that groups on disk are of many sizes.
    pub(crate) fn body(stamp: Stamp) -> Vec<u8> {
        let mut body = format!("{stamp} ").into_bytes();
        let length = match stamp % 7 {
            0 => 900,
            1 => 5_000,
            _ => stamp % 40,
        };
        body.resize(body.len() + length, b'.');
        body
    }

    /// What was sent with that body.
    pub(crate) fn find(&self, body: &[u8]) -> Result<(Stamp, &Sent), String> {
        let text = String::from_utf8_lossy(body);
        let stamp = text.split(' ').next().and_then(|stamp| stamp.parse().ok());
        let found = stamp.and_then(|stamp: Stamp| Some((stamp, self.sent.get(stamp)?)));
        match found {
            Some((stamp, sent)) if Self::body(stamp) == body => Ok((stamp, sent)),
            _ => Err(format!("nobody sent {:?}", text.chars().take(20).collect::<String>())),
        }
    }

    /// A message came out of a queue; `is_live`: the broker still has the connection on which it came, or it may be long on
    /// its way.
    pub(crate) fn deliver(
        &mut self,
        stamp: Stamp,
        is_redelivered: bool,
        is_live: bool,
    ) -> Result<(), String> {
        self.deliveries += 1;
        self.repeated += u64::from(is_redelivered);
        if is_live && self.consumed.contains(&stamp) {
            return Err(format!("{stamp} came again after it was consumed"));
        }
        self.check_time(stamp)?;
        self.delivered.insert(stamp);
        // Whichever arrives first.
        if !is_redelivered && !self.new.insert(stamp) {
            return Err(format!("{stamp} came twice, and was said to be new both times"));
        }
        let sent = &self.sent[stamp];
        if sent.is_taken_once() {
            let first = *self.taken_in.entry((sent.by, sent.number)).or_insert(stamp);
            if first != stamp {
                return Err(format!("{stamp} came, and so did {first}, under the same id"));
            }
        }
        Ok(())
    }

    /// When everything has come to rest: what was acknowledged has arrived.
    pub(crate) fn check_queues(&self) -> Result<(), String> {
        let mut arrived: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for (stamp, sent) in self.sent.iter().enumerate() {
            let there = match sent.place {
                TOPICS..QUEUES => self.delivered.contains(&stamp),
                // Of those that do not keep all, nobody may have read what was there.
                QUEUES => self.streams.has(0, stamp),
                _ => continue,
            };
            let name = (sent.by, sent.number);
            let is_missing = if sent.is_taken_once() {
                self.exact.contains(&name) && !self.taken_in.contains_key(&name)
            } else {
                sent.acked && !there
            };
            if is_missing && sent.place < QUEUES {
                return Err(format!("{stamp} was acknowledged and never came out of {}", PLACES[sent.place]));
            }
            if let Some(transaction) = sent.transaction {
                let (some, all) = arrived.entry(transaction).or_default();
                *some += usize::from(there);
                *all += 1;
            }
        }
        for (transaction, (some, all)) in arrived {
            let known = self.transactions.get(transaction).copied().flatten();
            let may_be = match known {
                Some(true) => some == all,
                Some(false) => some == 0,
                None => some == 0 || some == all,
            };
            if !may_be {
                return Err(format!("transaction {transaction} ({known:?}): {some} of {all} arrived"));
            }
        }
        Ok(())
    }
}
