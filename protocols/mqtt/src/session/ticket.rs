//! Numbers for questions, so that answers find them.

use model::request::Ticket;

/// Counts from 1, so that [`QUIET`] is never given out.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    last: u64,
}

impl Tickets {
    pub(crate) fn next(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }
}

/// For submits whose success is not answered and whose refusal tells nobody anything.
pub(crate) const QUIET: Ticket = Ticket(0);
