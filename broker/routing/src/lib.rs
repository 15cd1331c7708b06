//! The routing core, in memory: from a message's exchange and key to the queues that get it, and from there to whoever
//! consumes them.
//!
//! A [`Router`] is one namespace. It knows exchanges, queues and the bindings between them, and answers one question
//! fast: which queues get this message, with which grant? A publisher keeps a [`RouteCache`]; while nothing near its key
//! changes, the answer costs one hash lookup and one atomic load.
//!
//! A [`Queue`] holds what waits, in the order of its sequence numbers, and what is on loan to its consumers. Publishers
//! push, the task of a consumer's link takes batches. Between them stands a [`Readiness`] per link: a queue marks the
//! consumer that has something to take, and [`Wakes`] wakes each touched link once, when the publisher's batch is done
//! and all locks are gone.
//!
//! Nothing in here waits, reads a clock or does I/O. Locks are short and taken in this order: table, share, feed,
//! queue, readiness. What must last is the caller's business: it gets the places of durable entries that are gone.

mod binding;
mod exchange;
mod queue;
mod retained;
mod route;
mod route_cache;
mod router;
mod sender;
mod share;
mod table;
mod trie;
mod wake;

#[cfg(test)]
mod testing;

pub use queue::Queue;
pub use queue::absent::{Brief, Dates};
pub use queue::consumers::{ConsumerKey, ConsumerOptions, Settles};
pub use queue::dead::{Cause, Dead, DeadLetters};
pub use queue::entry::Item;
pub use queue::feed::{Feed, Given};
pub use queue::limits::{Full, Waiting};
pub use queue::owner::Owner;
pub use queue::pool::{Pool, Resident};
pub use queue::report::{Looked, QueueStats, Settled, StreamEnds, Taken};
pub use queue::terms::{Terms, Usual};
pub use retained::{Held, Portion, Retained, Walk};
pub use route::Route;
pub use route_cache::RouteCache;
pub use router::Router;
pub use sender::Sender;
pub use share::Pick;
pub use table::BindingCounts;
pub use table::routes::Routes;
pub use table::trace::{Leads, NEAREST_MAX, Step, Trace, Tried};
pub use wake::{Readiness, Wakes};
