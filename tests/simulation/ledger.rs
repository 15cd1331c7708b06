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
    /// It belongs to a transaction.
    pub(crate) transaction: Option<usize>,
}

/// All that was sent, and all that is known of queues.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) sent: Vec<Sent>,
    /// Messages at QoS 2 that the broker has, by sender and number: it matters not which time of sending got there.
    pub(crate) exact: BTreeSet<(usize, u32)>,
    /// For each transaction, whether it took effect: `None` as long as nobody knows.
    pub(crate) transactions: Vec<Option<bool>>,
    /// What of queues was seen by any consumer.
    pub(crate) delivered: BTreeSet<Stamp>,
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

    /// When everything has come to rest: what was acknowledged has arrived.
    pub(crate) fn check_queues(&self) -> Result<(), String> {
        let mut arrived: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for (stamp, sent) in self.sent.iter().enumerate().filter(|(_, sent)| sent.place >= TOPICS) {
            let there = self.delivered.contains(&stamp);
            if sent.acked && !there {
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
