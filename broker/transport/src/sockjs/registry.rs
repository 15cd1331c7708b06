//! The sessions of clients that poll, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::peer::Visitor;
use crate::sockjs::session::Session;

/// All sessions of one path. Names are the clients' choice; whoever is bound to an address, or to a certificate, is found from there only.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_name: Mutex<HashMap<Box<str>, Arc<Session>>>,
    /// How long one that is over is remembered.
    memory: Duration,
    alive: watch::Sender<usize>,
}

impl Sessions {
    /// None yet.
    pub(crate) fn new(memory: Duration) -> Self {
        Self { by_name: Mutex::default(), memory, alive: watch::Sender::new(0) }
    }

    /// How many there are that are not over.
    pub(crate) const fn alive(&self) -> &watch::Sender<usize> {
        &self.alive
    }

    /// The session of that name, if it may be used from there.
    pub(crate) fn find(&self, name: &str, from: &Visitor) -> Option<Arc<Session>> {
        let session = self.lock().get(name).map(Arc::clone);
        session.filter(|session| is_owner(session, from))
    }

    /// The session of that name, or what `make` makes; with whether it is new.
    ///
    /// # Errors
    ///
    /// It belongs to somebody else.
    pub(crate) fn find_or_make(
        &self,
        name: &str,
        from: &Visitor,
        make: impl FnOnce() -> Session,
    ) -> Result<(Arc<Session>, bool), NotYours> {
        let mut sessions = self.lock();
        if let Some(session) = sessions.get(name) {
            return if is_owner(session, from) { Ok((Arc::clone(session), false)) } else { Err(NotYours) };
        }
        let session = Arc::new(make());
        sessions.insert(name.into(), Arc::clone(&session));
        Ok((session, true))
    }

    /// A session is over: it is remembered for a while, so that its client can be told.
    pub(crate) fn forget_later(self: &Arc<Self>, name: &str, session: &Arc<Session>) {
        let (sessions, name, session) = (Arc::clone(self), Box::<str>::from(name), Arc::clone(session));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    tokio::time::sleep(sessions.memory).await;
                    sessions.forget(&name, &session);
                });
            }
            // Everything ends.
            Err(_) => self.forget(&name, &session),
        }
    }

    fn forget(&self, name: &str, session: &Arc<Session>) {
        let mut sessions = self.lock();
        if sessions.get(name).is_some_and(|known| Arc::ptr_eq(known, session)) {
            sessions.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Session>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session of that name belongs to another address, or another certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotYours;

fn is_owner(session: &Session, visitor: &Visitor) -> bool {
    let is_from_there = session.owner.is_none_or(|owner| owner == visitor.address.ip());
    is_from_there && session.certificate == visitor.certificate
}
