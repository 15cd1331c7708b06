//! Author: who published something that is still there when he may be gone, as far as rules ask

use crate::name::{ClientId, UserName};

/// Who published what is kept for others: a retained message, a will, something for later. By it, what he may do is asked
/// again when that is handed on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Author {
    /// The user; `None`: he had no name.
    pub user: Option<UserName>,
    /// What a client without a session called itself. That of one that has a session is in the message:
    /// [`crate::message::Message::publisher`].
    pub client: Option<ClientId>,
    /// How he came in; `None`: nobody knows any more.
    pub footing: Option<Footing>,
}

/// By what somebody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Footing {
    /// By a name and a password that are listed.
    Password,
    /// By a token that was signed for him; what he may do is said elsewhere.
    Token,
    /// By a token that brought rules along, which nobody knows any more.
    TokenWithRules,
    /// As whoever is let in without being listed: without a name, from this machine, by a certificate.
    Unlisted,
}
