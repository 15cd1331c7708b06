//! On loan, by tag.

use std::collections::VecDeque;

use crate::queue::entry::{Entry, Item};

/// What a consumer has and has not settled, by sequence number. Loans are made and mostly settled in order, so an entry
/// is found where its number says, or a little before; what is settled out of order leaves a hole until the front
/// reaches it.
#[derive(Debug, Default)]
pub(crate) struct Unacked {
    loans: VecDeque<Loan>,
    live: usize,
}

#[derive(Debug)]
struct Loan {
    sequence: u64,
    /// `None`: settled.
    item: Option<Item>,
}

impl Unacked {
    /// How many are not settled.
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn lend(&mut self, entry: Entry) {
        let loan = Loan { sequence: entry.sequence, item: Some(entry.item) };
        self.live += 1;
        if self.loans.back().is_none_or(|last| last.sequence < loan.sequence) {
            self.loans.push_back(loan);
            return;
        }
        let at = self.loans.partition_point(|other| other.sequence < loan.sequence);
        match self.loans.get_mut(at) {
            // It was here before, came back, and is lent again.
            Some(hole) if hole.sequence == loan.sequence => *hole = loan,
            _ => self.loans.insert(at, loan),
        }
    }

    /// The item lent under that number.
    pub(crate) fn get_mut(&mut self, sequence: u64) -> Option<&mut Item> {
        let at = self.position(sequence)?;
        self.loans.get_mut(at)?.item.as_mut()
    }

    /// Ends a loan.
    pub(crate) fn take(&mut self, sequence: u64) -> Option<Item> {
        let at = self.position(sequence)?;
        let item = self.loans.get_mut(at)?.item.take()?;
        self.live -= 1;
        while self.loans.front().is_some_and(|loan| loan.item.is_none()) {
            self.loans.pop_front();
        }
        // One that is never settled must not keep the place of all that came after it.
        if self.loans.len() - self.live > self.live + HOLES_MIN {
            self.loans.retain(|loan| loan.item.is_some());
        }
        Some(item)
    }

    /// Ends all loans; the newest comes first.
    pub(crate) fn into_newest_first(self) -> impl Iterator<Item = Entry> {
        self.loans
            .into_iter()
            .rev()
            .filter_map(|loan| loan.item.map(|item| Entry { sequence: loan.sequence, item }))
    }

    fn position(&self, sequence: u64) -> Option<usize> {
        let first = self.loans.front()?.sequence;
        // Numbers grow by at least one from loan to loan: it cannot lie further back than that.
        let furthest = usize::try_from(sequence.checked_sub(first)?).ok()?.min(self.loans.len() - 1);
        if self.loans.get(furthest)?.sequence == sequence {
            return Some(furthest);
        }
        self.loans.binary_search_by_key(&sequence, |loan| loan.sequence).ok()
    }
}

/// So many holes are never worth a clean-up.
const HOLES_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::item;

    #[test]
    fn a_loan_that_is_never_settled_does_not_keep_the_others_places() {
        let mut unacked = Unacked::default();
        for sequence in 1..=100_000 {
            unacked.lend(Entry { sequence, item: item("a") });
            if sequence > 1 {
                assert!(unacked.take(sequence).is_some());
            }
        }
        assert_eq!(unacked.len(), 1);
        assert!(unacked.loans.len() <= 2 * HOLES_MIN, "{} places", unacked.loans.len());
        assert!(unacked.take(1).is_some());
        assert!(unacked.loans.is_empty());
    }
}
