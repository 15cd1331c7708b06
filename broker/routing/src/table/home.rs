//! Home: a queue, and what it is bound to

use std::sync::Arc;

use foldhash::HashSet;
use smallvec::SmallVec;

use model::name::ClientId;
use model::queue::Binding;

use crate::binding::Origin;
use crate::queue::Queue;
use crate::queue::owner::Owner;
use crate::route::Route;

/// One binding, as it is kept.
pub(crate) struct Line {
    pub(crate) id: u64,
    pub(crate) origin: Origin,
    pub(crate) route: Route,
}

impl Line {
    /// Whether this is a subscriber that does not want what it published itself (MQTT 5.0, 3.8.3.1).
    pub(crate) fn withholds(&self, publisher: Option<&ClientId>) -> bool {
        self.route.grant.no_local
            && match self.route.queue.owner() {
                Owner::Session(client) => publisher == Some(client),
                Owner::Nobody | Owner::Link(_) => false,
            }
    }

    pub(crate) fn binding(&self) -> Binding {
        Binding {
            exchange: self.origin.exchange.clone(),
            pattern: self.origin.pattern.clone(),
            arguments: self.origin.arguments(),
            queue: self.route.queue.options().name.clone(),
            share: self.origin.share.clone(),
            grant: self.route.grant.clone(),
        }
    }
}

/// A queue, and its lines.
pub(crate) struct Home {
    pub(crate) queue: Arc<Queue>,
    pub(crate) lines: Lines,
}

impl Home {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        Self { queue, lines: Lines::Few(SmallVec::new()) }
    }
}

/// The lines of one queue, each found by its origin. Most queues have one, which costs no memory of its own; a few are looked
/// through one by one, and only many have a table.
pub(crate) enum Lines {
    Few(SmallVec<[Arc<Line>; 1]>),
    Many(Box<HashSet<ByOrigin>>),
}

/// A line, found by its origin.
pub(crate) struct ByOrigin(Arc<Line>);

impl Lines {
    pub(crate) fn get(&self, origin: &Origin) -> Option<&Arc<Line>> {
        match self {
            Self::Few(few) => few.iter().find(|line| line.origin == *origin),
            Self::Many(many) => many.get(origin).map(|line| &line.0),
        }
    }

    /// Adds a line; one of the same origin gives way to it.
    pub(crate) fn replace(&mut self, line: Arc<Line>) {
        match self {
            Self::Few(few) => {
                if let Some(known) = few.iter_mut().find(|known| known.origin == line.origin) {
                    *known = line;
                } else if few.len() < FEW_MAX {
                    few.push(line);
                } else {
                    let all = std::mem::take(few).into_iter().chain([line]).map(ByOrigin);
                    *self = Self::Many(Box::new(all.collect()));
                }
            }
            Self::Many(many) => {
                many.replace(ByOrigin(line));
            }
        }
    }

    pub(crate) fn take(&mut self, origin: &Origin) -> Option<Arc<Line>> {
        match self {
            Self::Few(few) => {
                let at = few.iter().position(|line| line.origin == *origin)?;
                Some(few.swap_remove(at))
            }
            Self::Many(many) => many.take(origin).map(|line| line.0),
        }
    }

    /// Takes out all that are such, and shows them.
    pub(crate) fn take_all(&mut self, is_such: impl Fn(&Line) -> bool, mut gone: impl FnMut(&Line)) {
        let mut stays = |line: &Line| {
            let goes = is_such(line);
            if goes {
                gone(line);
            }
            !goes
        };
        match self {
            Self::Few(few) => few.retain(|line| stays(line)),
            Self::Many(many) => many.retain(|line| stays(&line.0)),
        }
    }

    /// In no order.
    pub(crate) fn all(&self) -> Vec<&Arc<Line>> {
        match self {
            Self::Few(few) => few.iter().collect(),
            Self::Many(many) => many.iter().map(|line| &line.0).collect(),
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Arc<Line>> {
        match self {
            Self::Few(few) => few.into_vec(),
            Self::Many(many) => many.into_iter().map(|line| line.0).collect(),
        }
    }
}

impl PartialEq for ByOrigin {
    fn eq(&self, other: &Self) -> bool {
        self.0.origin == other.0.origin
    }
}

impl Eq for ByOrigin {}

impl std::hash::Hash for ByOrigin {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.origin.hash(state);
    }
}

impl std::borrow::Borrow<Origin> for ByOrigin {
    fn borrow(&self) -> &Origin {
        &self.0.origin
    }
}

/// So many lines are found faster one by one.
const FEW_MAX: usize = 8;
