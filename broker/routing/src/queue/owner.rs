//! Owner: whose a queue is.

use model::name::ClientId;

/// Whose a queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Anybody's.
    Nobody,
    /// An MQTT session's own.
    Session(ClientId),
    /// Exclusive to one link.
    Link(u64),
}
