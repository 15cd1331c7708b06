//! Rights: what is allowed and what is denied, as rules of which the first that speaks of something decides

use std::fmt;

use crate::key::{KeyPattern, RoutingKey};
use crate::name::ExchangeName;

/// What a client may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// To come in.
    Connect,
    /// To publish a message.
    Publish,
    /// To have a message kept as the last one of its key, beside publishing it.
    Retain,
    /// To receive what is published.
    Subscribe,
    /// To take from a queue that others may have as well, by its name.
    Consume,
    /// To make a queue, to bind one that has a name, and to delete one.
    Configure,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Publish, Self::Retain, Self::Subscribe, Self::Consume, Self::Configure];

    /// As it is written in rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Retain => "retain",
            Self::Subscribe => "subscribe",
            Self::Consume => "consume",
            Self::Configure => "configure",
        }
    }

    /// Reads that; `None`: there is no such action.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// Some of the actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions(u8);

impl Actions {
    /// All of them.
    pub const fn all() -> Self {
        Self(u8::MAX)
    }

    /// The same and that one.
    #[must_use]
    pub const fn with(self, action: Action) -> Self {
        Self(self.0 | 1 << action as u8)
    }

    /// Those that are in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether that one is among them.
    pub const fn has(self, action: Action) -> bool {
        self.0 & 1 << action as u8 != 0
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<T: IntoIterator<Item = Action>>(actions: T) -> Self {
        actions.into_iter().fold(Self::default(), Self::with)
    }
}

/// As whom whoever is refused finds a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleName {
    /// By the filter of `[[access.deny]]` in the configuration.
    Denied(Box<str>),
    /// By a place, `acl.toml:7`, or a key, `acl.default`.
    At(Box<str>),
}

impl RuleName {
    /// The filter, or the place.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Denied(text) | Self::At(text) => text,
        }
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(filter) => write!(f, "access.deny {filter:?}"),
            Self::At(place) => f.write_str(place),
        }
    }
}

/// Keys of one exchange; a queue by its name is a key of the default exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// The exchange.
    pub exchange: ExchangeName,
    /// Keys like these. Only in [`ExchangeName::TOPIC`], where the broker's own topics are, a wildcard at the beginning leaves
    /// out what starts with `$`: elsewhere `$` is a character like others, and a rule must not be got around by it.
    pub pattern: KeyPattern,
}

impl Area {
    fn has(&self, exchange: &ExchangeName, key: &RoutingKey) -> bool {
        self.exchange == *exchange
            && if self.is_blind() { self.pattern.matches(key) } else { self.pattern.takes(key) }
    }

    /// Whether a wildcard at the beginning leaves out what starts with `$`.
    pub(crate) fn is_blind(&self) -> bool {
        self.exchange == ExchangeName::TOPIC
    }
}

/// A rule as it is for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Whether it allows, or denies.
    pub allows: bool,
    /// To do what.
    pub actions: Actions,
    /// Where; `None`: everywhere.
    pub area: Option<Area>,
    /// Which rule it is.
    pub name: RuleName,
    /// The reason code that a client of MQTT 5.0 is refused with, where it may stand there.
    pub code: u8,
}

impl Right {
    fn speaks_of(&self, action: Action, exchange: &ExchangeName, key: &RoutingKey) -> bool {
        self.actions.has(action) && self.area.as_ref().is_none_or(|area| area.has(exchange, key))
    }
}

/// The rules for one client, in their order: the first that speaks of something decides, and what no rule speaks of is as
/// the last one says, which speaks of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    rights: Box<[Right]>,
    last: Right,
    /// What is not simply allowed.
    restricted: Actions,
}

impl Rights {
    /// These, and where none of them speaks, `last`: its actions and its area mean nothing, it is about all else.
    pub fn new(rights: Vec<Right>, last: Right) -> Self {
        let denied = rights.iter().filter(|right| !right.allows).map(|right| right.actions);
        let restricted = denied.fold(Actions::default(), Actions::or);
        let restricted = if last.allows { restricted } else { Actions::all() };
        Self { rights: rights.into(), last, restricted }
    }

    /// Whether something of that action may be denied.
    pub const fn restrict(&self, action: Action) -> bool {
        self.restricted.has(action)
    }

    /// Whether everything is allowed.
    pub fn are_everything(&self) -> bool {
        !Action::ALL.into_iter().any(|action| self.restrict(action))
    }

    /// The rule that decides whether a client may do this with that key.
    pub fn of_key(&self, action: Action, exchange: &ExchangeName, key: &RoutingKey) -> &Right {
        self.rights.iter().find(|right| right.speaks_of(action, exchange, key)).unwrap_or(&self.last)
    }

    /// The rule that decides about what is nowhere, such as to connect.
    pub fn of_action(&self, action: Action) -> &Right {
        let is_it = |right: &&Right| right.actions.has(action) && right.area.is_none();
        self.rights.iter().find(is_it).unwrap_or(&self.last)
    }

    /// Those that may have something to say about that action there.
    pub(crate) fn about(&self, action: Action, exchange: &ExchangeName) -> impl Iterator<Item = &Right> {
        let is_it = move |right: &&Right| {
            right.actions.has(action) && right.area.as_ref().is_none_or(|area| area.exchange == *exchange)
        };
        self.rights.iter().filter(is_it).chain([&self.last])
    }
}
