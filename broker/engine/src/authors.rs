//! Authors: who published what is kept for others, and whether he still may
//!
//! Thousands of messages have one author: he is kept once, and what he may do is asked once, until rules or users are others.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::access::AccessControl;
use model::author::Author;
use model::message::Message;
use model::name::{ClientId, UserName};
use model::principal::Permissions;
use model::refusal::Refusal;
use model::rights::Action;

use crate::rights;

/// Everybody who published something that is kept.
pub(crate) struct Authors {
    access: Arc<dyn AccessControl>,
    known: Mutex<Known>,
    judged: Mutex<Judged>,
}

/// Those of whom something is kept, or was until a while ago.
#[derive(Default)]
struct Known {
    all: HashSet<Arc<Author>>,
    /// With how many it is looked for those of whom nothing is kept any more.
    sweep_at: usize,
}

/// What they may do, as far as it was asked since rules or users changed.
#[derive(Default)]
struct Judged {
    generation: u64,
    standings: HashMap<(Arc<Author>, Option<ClientId>), Standing>,
}

/// What an author may do.
#[derive(Clone)]
enum Standing {
    /// Publish whatever he likes, or nobody can say.
    Free,
    /// This.
    By(Permissions),
    /// Not even come in.
    Gone(Refusal),
}

impl Authors {
    /// Nobody yet. What they may do is asked of `access`.
    pub(crate) fn new(access: Arc<dyn AccessControl>) -> Self {
        Self { access, known: Mutex::default(), judged: Mutex::default() }
    }

    /// The author of what somebody publishes who has these permissions; without a session he is called by `client`.
    pub(crate) fn of(
        &self,
        user: Option<&UserName>,
        client: Option<&ClientId>,
        permissions: Option<&Permissions>,
    ) -> Arc<Author> {
        let footing = permissions.and_then(|permissions| self.access.footing(permissions));
        self.intern(Author { user: user.cloned(), client: client.cloned(), footing })
    }

    /// The same one for everything of his.
    pub(crate) fn intern(&self, author: Author) -> Arc<Author> {
        let mut known = lock(&self.known);
        if let Some(author) = known.all.get(&author) {
            return Arc::clone(author);
        }
        if known.all.len() >= known.sweep_at {
            known.all.retain(|author| Arc::strong_count(author) > 1);
            known.sweep_at = SWEEP_MIN.max(known.all.len() * 2);
        }
        let author = Arc::new(author);
        known.all.insert(Arc::clone(&author));
        author
    }

    /// Whether the author of a message may still publish it, and have it retained if it is: by the rules of now. What has no
    /// author is nobody's business.
    pub(crate) fn check(&self, author: Option<&Arc<Author>>, message: &Message) -> Result<(), Refusal> {
        let Some(author) = author else { return Ok(()) };
        match self.standing(author, message.publisher.as_ref().or(author.client.as_ref())) {
            Standing::Free => Ok(()),
            Standing::By(permissions) => {
                let place = (&message.exchange, &message.key);
                rights::publish(&permissions, place, message.retain, "publish to")
            }
            Standing::Gone(refusal) => Err(refusal),
        }
    }

    fn standing(&self, author: &Arc<Author>, client: Option<&ClientId>) -> Standing {
        let mut judged = lock(&self.judged);
        // Before anything is asked: what changes meanwhile is asked again.
        let generation = self.access.generation();
        if judged.generation != generation || judged.standings.len() >= STANDINGS_MAX {
            *judged = Judged { generation, ..Judged::default() };
        }
        let whose = (Arc::clone(author), client.cloned());
        let standing = judged.standings.entry(whose).or_insert_with(|| self.ask(author, client));
        standing.clone()
    }

    fn ask(&self, author: &Author, client: Option<&ClientId>) -> Standing {
        match self.access.permissions_of_author(author, client) {
            Ok(Some(permissions)) if may_be_denied(&permissions) => Standing::By(permissions),
            Ok(_) => Standing::Free,
            Err(refusal) => Standing::Gone(refusal),
        }
    }
}

fn may_be_denied(permissions: &Permissions) -> bool {
    permissions.restrict(Action::Publish) || permissions.restrict(Action::Retain)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many authors are few: it is not worth looking for those who left nothing.
const SWEEP_MIN: usize = 1024;

/// So much that was found out is kept at most.
const STANDINGS_MAX: usize = 4096;
