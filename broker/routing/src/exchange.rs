//! Four kinds behind one match.

pub(crate) mod direct;
pub(crate) mod fanout;
pub(crate) mod headers;
pub(crate) mod topic;

use bytestring::ByteString;

use model::key::{KeyPattern, Level, RoutingKey};
use model::name::ExchangeName;
use model::properties::Properties;
use model::queue::{ExchangeKind, ExchangeOptions, HeaderMatch};

use crate::exchange::direct::Direct;
use crate::exchange::fanout::Fanout;
use crate::exchange::headers::Headers;
use crate::exchange::topic::Topic;
use crate::sender::Sender;

/// An exchange: from what a message says to the values bound for it.
#[derive(Debug)]
pub(crate) struct Exchange<V> {
    options: ExchangeOptions,
    /// Where a message goes that no binding wants, if it was declared without an alternate.
    lent: Option<ExchangeName>,
    kind: Kind<V>,
    bound: usize,
}

/// The exchanges that are always there, but for the default one.
pub(crate) fn own() -> impl Iterator<Item = ExchangeOptions> {
    let all = [
        (ExchangeName::TOPIC, ExchangeKind::Topic),
        (ExchangeName::DIRECT, ExchangeKind::Direct),
        (ExchangeName::FANOUT, ExchangeKind::Fanout),
        (ExchangeName::HEADERS, ExchangeKind::Headers),
        (ExchangeName::USER, ExchangeKind::Topic),
        (ExchangeName::SESSION, ExchangeKind::Topic),
    ];
    all.into_iter().map(|(name, kind)| ExchangeOptions {
        name,
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
    })
}

#[derive(Debug)]
enum Kind<V> {
    Direct(Direct<V>),
    Topic(Topic<V>),
    Fanout(Fanout<V>),
    Headers(Headers<V>),
}

/// Which cached answers a binding makes wrong when it comes or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spoils {
    /// None: nothing of this exchange is cached.
    Nothing,
    /// Those for keys whose first level is this one.
    FirstLevel(ByteString),
    /// Those for any key.
    Everything,
}

impl<V: Ord> Exchange<V> {
    pub(crate) fn new(options: ExchangeOptions) -> Self {
        let kind = match options.kind {
            ExchangeKind::Direct => Kind::Direct(Direct::default()),
            ExchangeKind::Topic => Kind::Topic(Topic::default()),
            ExchangeKind::Fanout => Kind::Fanout(Fanout::default()),
            ExchangeKind::Headers => Kind::Headers(Headers::default()),
        };
        Self { options, lent: None, kind, bound: 0 }
    }

    pub(crate) fn options(&self) -> &ExchangeOptions {
        &self.options
    }

    /// Where a message goes that no binding wants.
    pub(crate) fn alternate(&self) -> Option<&ExchangeName> {
        self.options.alternate.as_ref().or(self.lent.as_ref())
    }

    /// Such a place, unless it was declared with one.
    pub(crate) fn lend(&mut self, alternate: Option<ExchangeName>) {
        self.lent = alternate;
    }

    /// How much is bound to it.
    pub(crate) const fn bound(&self) -> usize {
        self.bound
    }

    /// Whether it goes with its last binding, and that is gone. To be asked when one is taken away.
    pub(crate) const fn goes_now(&self) -> bool {
        self.bound == 0 && self.options.auto_delete
    }

    /// Whether the same key always leads to the same values while no binding changes.
    pub(crate) fn goes_by_key(&self) -> bool {
        match &self.kind {
            Kind::Direct(_) | Kind::Topic(_) | Kind::Fanout(_) => true,
            Kind::Headers(_) => false,
        }
    }

    /// Binds a value; an equal one of the same pattern and arguments is replaced.
    pub(crate) fn insert(&mut self, pattern: &KeyPattern, arguments: &HeaderMatch, value: V) {
        let replaced = match &mut self.kind {
            Kind::Direct(direct) => direct.insert(pattern, value),
            Kind::Topic(topic) => topic.insert(pattern, value),
            Kind::Fanout(fanout) => fanout.insert(value),
            Kind::Headers(headers) => headers.insert(arguments, value),
        };
        self.bound += usize::from(replaced.is_none());
    }

    /// Takes out the value that equals this one.
    pub(crate) fn remove(&mut self, pattern: &KeyPattern, arguments: &HeaderMatch, value: &V) {
        let gone = match &mut self.kind {
            Kind::Direct(direct) => direct.remove(pattern, value),
            Kind::Topic(topic) => topic.remove(pattern, value),
            Kind::Fanout(fanout) => fanout.remove(value),
            Kind::Headers(headers) => headers.remove(arguments, value),
        };
        self.bound -= usize::from(gone.is_some());
    }

    /// Shows every value that the message is for, each once.
    pub(crate) fn for_each_match<'e>(
        &'e self,
        key: &RoutingKey,
        properties: Option<&Properties>,
        sender: Sender<'_>,
        visit: impl FnMut(&'e V),
    ) {
        match &self.kind {
            Kind::Direct(direct) => direct.for_each_match(key, visit),
            Kind::Topic(topic) => topic.for_each_match(key, visit),
            Kind::Fanout(fanout) => fanout.for_each(visit),
            Kind::Headers(headers) => headers.for_each_match(properties, sender, visit),
        }
    }

    /// Shows every value.
    pub(crate) fn for_each<'e>(&'e self, visit: impl FnMut(&'e V)) {
        match &self.kind {
            Kind::Direct(direct) => direct.for_each(visit),
            Kind::Topic(topic) => topic.for_each(visit),
            Kind::Fanout(fanout) => fanout.for_each(visit),
            Kind::Headers(headers) => headers.for_each(visit),
        }
    }

    /// Which cached answers a binding with this pattern concerns.
    pub(crate) fn spoils(&self, pattern: &KeyPattern) -> Spoils {
        match &self.kind {
            Kind::Direct(_) => Spoils::FirstLevel(first_level(pattern)),
            Kind::Topic(_) => match pattern.levels().first() {
                Some(Level::Literal(_)) | None => Spoils::FirstLevel(first_level(pattern)),
                Some(Level::One | Level::Many) => Spoils::Everything,
            },
            Kind::Fanout(_) => Spoils::Everything,
            Kind::Headers(_) => Spoils::Nothing,
        }
    }
}

/// The first level of the keys that the pattern, read as text, is about.
fn first_level(pattern: &KeyPattern) -> ByteString {
    pattern.to_key().levels().next().unwrap_or_default().into()
}
