//! What a queue asked of an exchange.

use model::change::BindingKey;
use model::key::KeyPattern;
use model::name::{ExchangeName, ShareName};
use model::queue::{Binding, HeaderMatch};

/// What makes a binding this one among those of its queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) exchange: ExchangeName,
    pub(crate) pattern: KeyPattern,
    /// `None` where nothing is asked of headers, which is nearly always: a million of these must fit.
    arguments: Option<Box<HeaderMatch>>,
    pub(crate) share: Option<ShareName>,
}

impl Origin {
    pub(crate) fn of(binding: &Binding) -> Self {
        Self::new(&binding.exchange, &binding.pattern, &binding.arguments, binding.share.as_ref())
    }

    pub(crate) fn of_key(key: &BindingKey) -> Self {
        Self::new(&key.exchange, &key.pattern, &key.arguments, key.share.as_ref())
    }

    pub(crate) fn arguments(&self) -> HeaderMatch {
        self.arguments.as_deref().cloned().unwrap_or_default()
    }

    fn new(
        exchange: &ExchangeName,
        pattern: &KeyPattern,
        arguments: &HeaderMatch,
        share: Option<&ShareName>,
    ) -> Self {
        Self {
            exchange: exchange.clone(),
            pattern: pattern.clone(),
            arguments: (*arguments != HeaderMatch::default()).then(|| Box::new(arguments.clone())),
            share: share.cloned(),
        }
    }
}

/// Those who asked for the same, in their order. Mostly there is one, so one costs no allocation. New ones come last
/// where values count up, and leaving costs a search and a move, not a scan.
#[derive(Debug, Default)]
pub(crate) enum Bound<V> {
    #[default]
    Nobody,
    One(V),
    Many(Vec<V>),
}

impl<V: Ord> Bound<V> {
    /// Adds a value; returns the equal one that it replaces.
    pub(crate) fn insert(&mut self, value: V) -> Option<V> {
        match self {
            Self::Nobody => {
                *self = Self::One(value);
                None
            }
            Self::One(one) if *one == value => Some(std::mem::replace(one, value)),
            Self::One(_) => {
                if let Self::One(one) = std::mem::replace(self, Self::Nobody) {
                    let mut both = vec![one, value];
                    both.sort_unstable();
                    *self = Self::Many(both);
                }
                None
            }
            Self::Many(many) => match many.binary_search(&value) {
                Ok(at) => many.get_mut(at).map(|old| std::mem::replace(old, value)),
                Err(at) => {
                    many.insert(at, value);
                    None
                }
            },
        }
    }

    /// Takes out the value that equals this one.
    pub(crate) fn remove(&mut self, value: &V) -> Option<V> {
        match self {
            Self::Nobody => None,
            Self::One(one) if one != value => None,
            Self::One(_) => match std::mem::replace(self, Self::Nobody) {
                Self::One(one) => Some(one),
                Self::Nobody | Self::Many(_) => None,
            },
            Self::Many(many) => {
                let gone = many.binary_search(value).ok().map(|at| many.remove(at));
                if many.is_empty() {
                    *self = Self::Nobody;
                }
                gone
            }
        }
    }

    pub(crate) fn as_slice(&self) -> &[V] {
        match self {
            Self::Nobody => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Nobody)
    }
}
