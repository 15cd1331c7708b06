//! AccessControl: who may enter.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::author::{Author, Footing};
use crate::hook::Hook;
use crate::name::{ClientId, VhostName};
use crate::principal::{Credentials, Permissions, Principal};
use crate::refusal::Refusal;

/// Asked once per connection; it may read files or ask another server meanwhile. From then on a check is a look at
/// [`Permissions`].
pub trait AccessControl: Send + Sync {
    /// Who is that, and what may he do? For those who show no [`crate::principal::Proof`].
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a>;

    /// Begins an exchange by that method (MQTT 5.0, 4.12); its first step takes what the client sent along. Never waits.
    /// By itself there is no method.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoMethod`], if there is no such method.
    fn begin(&self, method: &str, _credentials: &Credentials) -> Result<Box<dyn Exchange>, Refusal> {
        Err(Refusal::NoMethod { method: method.to_owned(), supported: "user name and password" })
    }

    /// What somebody may do by now who was let in as this one, on that client, for what is done in his name when he may be
    /// gone. `None`: that is not known without asking him; what he was allowed when he came stands.
    fn permissions_of(&self, _principal: &Principal, _client: Option<&ClientId>) -> Option<Permissions> {
        None
    }

    /// Another number once somebody may do something else than before, or is not let in any more.
    fn generation(&self) -> u64 {
        0
    }

    /// What somebody may do by now who was let in with `known`, whether he is still there or not; without it, that is not
    /// known any more. `None`: it cannot be said without asking him, and what he was allowed when he came stands.
    ///
    /// # Errors
    ///
    /// He would not be let in any more.
    fn revise(
        &self,
        principal: &Principal,
        client: Option<&ClientId>,
        known: Option<&Permissions>,
    ) -> Result<Option<Permissions>, Refusal> {
        let _ = known;
        Ok(self.permissions_of(principal, client))
    }

    /// By what somebody was let in who has these permissions; `None`: that is not known.
    fn footing(&self, _known: &Permissions) -> Option<Footing> {
        None
    }

    /// What the author of something that is kept may do by now, on that client. `None`: it cannot be said without asking him, and
    /// what he published stands.
    ///
    /// # Errors
    ///
    /// He would not be let in any more.
    fn permissions_of_author(
        &self,
        author: &Author,
        client: Option<&ClientId>,
    ) -> Result<Option<Permissions>, Refusal> {
        self.revise(&Principal { user: author.user.clone() }, client, None)
    }

    /// The same for one vhost: what anybody may do there. `None`: it makes no difference.
    fn within(self: Arc<Self>, _vhost: &VhostName) -> Option<Arc<dyn AccessControl>> {
        None
    }

    /// Who is to be asked about what those who are in do; the same one whenever this is called. By itself nobody is.
    fn hook(&self) -> Option<Arc<dyn Hook>> {
        None
    }
}

/// The answer of [`AccessControl::admit`], when it comes.
pub type Admission<'a> = Pin<Box<dyn Future<Output = Result<(Principal, Permissions), Refusal>> + Send + 'a>>;

/// One client's authentication in several steps, such as a challenge and its answer.
pub trait Exchange: Send {
    /// The client said this; `None`: it said nothing. After a refusal, and after [`Step::Proven`], there is no other step.
    fn step<'a>(&'a mut self, data: Option<&'a [u8]>) -> Stepping<'a>;
}

/// The answer of [`Exchange::step`], when it comes.
pub type Stepping<'a> = Pin<Box<dyn Future<Output = Result<Step, Refusal>> + Send + 'a>>;

/// What comes next in an exchange.
#[derive(Debug)]
pub enum Step {
    /// The client is to be told this, and to answer.
    Challenge(Bytes),
    /// The client is who it says.
    Proven {
        /// Who that is.
        principal: Principal,
        /// What he may do.
        permissions: Permissions,
        /// What the client is to be told along with it.
        data: Option<Bytes>,
    },
}
