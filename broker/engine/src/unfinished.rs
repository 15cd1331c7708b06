//! Unfinished: what is left of a turn that would have kept others on the worker waiting

use std::collections::VecDeque;

use model::request::Request;
use routing::Wakes;

/// What is still to be done.
#[derive(Default)]
pub(crate) struct Unfinished {
    /// What was asked and not begun, in order.
    pub(crate) requests: VecDeque<Request>,
    /// Who has something and was not told.
    pub(crate) wakes: Wakes,
}

impl Unfinished {
    /// How many requests were not begun.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }
}
