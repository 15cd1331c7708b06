//! As much of what was asked as one turn bears, and then the rest
//!
//! A client may say in one breath what goes to very many. So much of it is done at once, and the rest in its order whenever the
//! link is polled; between two such portions others have their turn. Until all is done the client is not read.

use model::event::Event;
use model::request::Request;

use super::{Link, State, Turn};

impl Link {
    /// Begins requests in their order, behind those that were put off before, until it has been enough for one turn; or `all`.
    pub(super) fn begin_some(
        &mut self,
        mut requests: impl Iterator<Item = Request>,
        all: bool,
        turn: &mut Turn<'_>,
    ) {
        self.rest();
        if self.unfinished.is_none() {
            while (all || !self.is_tired())
                && let Some(request) = requests.next()
            {
                self.begin(request, turn);
            }
            // Nearly always that was all.
            let Some(next) = requests.next() else { return };
            let unfinished = self.unfinished.get_or_insert_default();
            unfinished.requests.push_back(next);
            unfinished.requests.extend(requests);
            return;
        }
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.requests.extend(requests);
        }
        while (all || !self.is_tired())
            && let Some(request) = self.unfinished.as_mut().and_then(|rest| rest.requests.pop_front())
        {
            self.begin(request, turn);
        }
    }

    /// Wakes those who have something now, as many as may run before others have their turn.
    pub(super) fn end_turn(&mut self, mut turn: Turn<'_>) {
        self.has_woken |= !turn.wakes.is_empty();
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.wakes.append(&mut turn.wakes);
            let is_left = unfinished.wakes.flush_some(WOKEN_MAX);
            if !is_left && unfinished.requests.is_empty() {
                self.unfinished = None;
            }
        } else if turn.wakes.flush_some(WOKEN_MAX) {
            self.unfinished.get_or_insert_default().wakes.append(&mut turn.wakes);
        }
        self.commit_removals();
    }

    /// Goes on with what was left. Whether there was anything.
    pub(super) fn poll_unfinished(&mut self, events: &mut Vec<Event>) -> bool {
        if self.unfinished.is_none() {
            return false;
        }
        let mut turn = Turn::new(events);
        self.begin_some(std::iter::empty(), false, &mut turn);
        self.end_turn(turn);
        true
    }

    /// Whether something is left of what was asked: whoever drives the link lets others have their turn, and polls it again.
    pub const fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Whether others were woken by what was asked, since this was last looked at.
    pub const fn take_woken(&mut self) -> bool {
        std::mem::replace(&mut self.has_woken, false)
    }

    fn rest(&mut self) {
        if let State::In(member) = &mut self.state {
            member.publisher.handed_over = 0;
        }
    }

    /// Whether so much was handed over that others on the worker are to have their turn.
    fn is_tired(&self) -> bool {
        matches!(&self.state, State::In(member) if member.publisher.handed_over >= HANDED_OVER_MAX)
    }
}

/// So many places in queues are taken in one turn, and what one message needs beyond that: less than a millisecond's work.
const HANDED_OVER_MAX: usize = 2048;

/// So many links are woken at once: each of them writes to its socket before others have their turn.
const WOKEN_MAX: usize = 128;
