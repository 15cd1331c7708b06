//! AccessControl: who may enter.

use std::future::Future;
use std::pin::Pin;

use crate::principal::{Credentials, Permissions, Principal};
use crate::refusal::Refusal;

/// Asked once per connection; it may read files or ask another server meanwhile. From then on a check is a look at
/// [`Permissions`].
pub trait AccessControl: Send + Sync {
    /// Who is that, and what may he do?
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a>;
}

/// The answer of [`AccessControl::admit`], when it comes.
pub type Admission<'a> = Pin<Box<dyn Future<Output = Result<(Principal, Permissions), Refusal>> + Send + 'a>>;
