//! Ledger: what was published, what became of it, and what must hold of that.

use std::collections::{BTreeMap, BTreeSet};

/// Every time that something is sent has a number of its own, in the order of sending: what is sent again is told from
/// what was sent first.
pub(crate) type Stamp = usize;

/// Where a message goes. Those below [`TOPICS`] are topics, the others are queues.
pub(crate) type Place = usize;

pub(crate) const PLACES: [&str; 6] = ["k/0", "k/1", "kept/0", "kept/1", "jobs", "chores"];
/// Of the places, those from here on keep their last message.
pub(crate) const KEPT: Place = 2;
pub(crate) const TOPICS: usize = 4;

/// One thing that was sent, once.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) by: usize,
    pub(crate) place: Place,
    /// Of its sender; the same if it is sent again.
    pub(crate) number: u32,
    pub(crate) qos: u8,
    /// The broker said that it has it.
    pub(crate) acked: bool,
    /// Sent under an id, by which it is taken in once however often it is sent.
    pub(crate) is_named: bool,
    /// It belongs to a transaction.
    pub(crate) transaction: Option<usize>,
}

impl Sent {
    /// Whether it is the same message each time it is sent.
    pub(crate) const fn is_taken_once(&self) -> bool {
        self.qos == 2 || self.is_named
    }
}

/// All that was sent, and all that is known of queues.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) sent: Vec<Sent>,
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
        self.sent.push(sent);
        self.sent.len() - 1
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
        for (stamp, sent) in self.sent.iter().enumerate().filter(|(_, sent)| sent.place >= TOPICS) {
            let there = self.delivered.contains(&stamp);
            let name = (sent.by, sent.number);
            let is_missing = if sent.is_taken_once() {
                self.exact.contains(&name) && !self.taken_in.contains_key(&name)
            } else {
                sent.acked && !there
            };
            if is_missing {
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
