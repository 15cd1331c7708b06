//! All that get a message.

use model::key::RoutingKey;
use smallvec::SmallVec;

use crate::route::Route;
use crate::share::Pick;

/// The answer of a router: the queues that get every such message, and the shares of which one member gets it.
#[derive(Default)]
pub struct Routes {
    pub(crate) fixed: SmallVec<[Route; 1]>,
    pub(crate) shares: Vec<Pick>,
    pub(crate) internal: bool,
    /// The key that was asked for, where the answer is kept.
    pub(crate) key: Option<RoutingKey>,
}

impl Routes {
    /// The queues that get every such message, each once.
    pub fn fixed(&self) -> &[Route] {
        &self.fixed
    }

    /// The shared subscriptions that match. A queue may be picked by one and be among the fixed ones too: then it gets
    /// the message twice (MQTT 5.0, 4.8.2).
    pub fn shares(&self) -> &[Pick] {
        &self.shares
    }

    /// Where one message goes. Asked once per message, because each share picks anew.
    pub fn targets(&self) -> impl Iterator<Item = &Route> {
        self.fixed.iter().chain(self.shares.iter().filter_map(Pick::next))
    }

    /// The same at once, for whoever looks at them more than once.
    pub fn pick(&self) -> SmallVec<[&Route; 4]> {
        let mut all: SmallVec<_> = self.fixed.iter().collect();
        if !self.shares.is_empty() {
            all.extend(self.shares.iter().filter_map(Pick::next));
        }
        all
    }

    /// Whether nobody gets it.
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.shares.is_empty()
    }

    /// The key that was asked for, where the answer is kept: messages share that one, and need none of their own.
    pub const fn key(&self) -> Option<&RoutingKey> {
        self.key.as_ref()
    }

    /// Whether the exchange that was asked is internal: not for what a client publishes.
    pub const fn is_internal(&self) -> bool {
        self.internal
    }

    pub(crate) fn clear(&mut self) {
        self.internal = false;
        self.key = None;
        self.fixed.clear();
        self.shares.clear();
    }

    /// How many routes it holds.
    pub(crate) fn len(&self) -> usize {
        self.fixed.len() + self.shares.len()
    }
}
