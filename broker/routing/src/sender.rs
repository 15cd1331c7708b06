//! Who publishes.

use model::name::{ClientId, UserName};

/// Who publishes a message, as far as the broker knows; nobody, where it does itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sender<'p> {
    /// The session, from which No Local withholds what it published.
    pub session: Option<&'p ClientId>,
    /// What the client was let in as: for headers exchanges `client-id`.
    pub client: Option<&'p ClientId>,
    /// The user who was let in: for headers exchanges `user-id`.
    pub user: Option<&'p UserName>,
}
