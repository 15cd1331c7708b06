//! Reach: how much of what a pattern asks for is allowed, decided for all keys at once

use std::collections::{BTreeSet, HashSet};

use smallvec::SmallVec;

use crate::key::{KeyPattern, Level, RoutingKey};
use crate::name::ExchangeName;
use crate::rights::{Action, Right, Rights};

/// How much of it is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'r> {
    /// All that it can match.
    All,
    /// Some keys are, and some are not, by this rule and perhaps by others.
    Part(&'r Right),
    /// No key that it can match, by this rule and perhaps by others.
    Nothing(&'r Right),
}

impl<'r> Reach<'r> {
    /// The rule by which not all is allowed.
    pub const fn denied_by(self) -> Option<&'r Right> {
        match self {
            Self::All => None,
            Self::Part(right) | Self::Nothing(right) => Some(right),
        }
    }
}

impl Rights {
    /// How much may be done with keys of that exchange that `pattern` matches, as bindings match: a wildcard at the beginning
    /// leaves out what starts with `$`.
    pub fn of_pattern(&self, action: Action, exchange: &ExchangeName, pattern: &KeyPattern) -> Reach<'_> {
        if !self.restrict(action) {
            return Reach::All;
        }
        if !pattern.has_wildcard() {
            let key = RoutingKey::from(&*pattern.to_string());
            let right = self.of_key(action, exchange, &key);
            return if right.allows { Reach::All } else { Reach::Nothing(right) };
        }
        self.reach(action, exchange, Language::new(pattern.levels(), true))
    }

    /// How much may be done with keys of that exchange, whatever they are.
    pub fn of_exchange(&self, action: Action, exchange: &ExchangeName) -> Reach<'_> {
        if !self.restrict(action) {
            return Reach::All;
        }
        self.reach(action, exchange, Language::EVERYTHING)
    }

    fn reach(&self, action: Action, exchange: &ExchangeName, asked: Language<'_>) -> Reach<'_> {
        let rules: Vec<(Language<'_>, &Right)> =
            self.about(action, exchange).map(|right| (Language::of(right), right)).collect();
        let mut search = Search { asked, rules: &rules, budget: BUDGET, allowed: false, denied: None };
        let is_done = search.run();
        match (search.allowed, search.denied, rules.last()) {
            (true, None, _) if is_done => Reach::All,
            (false, Some(right), _) if is_done => Reach::Nothing(right),
            (_, Some(right), _) => Reach::Part(right),
            // Not all of it could be looked at: what comes is looked at one by one.
            (_, None, Some((_, last))) if !is_done => Reach::Part(last),
            // It matches no key at all.
            (_, None, _) => Reach::All,
        }
    }
}

/// The keys that a pattern matches, as an automaton over levels. The empty key has none.
#[derive(Clone, Copy)]
struct Language<'p> {
    levels: &'p [Level],
    is_blind: bool,
}

impl<'p> Language<'p> {
    const EVERYTHING: Self = Self { levels: &[Level::Many], is_blind: false };

    fn new(levels: &'p [Level], is_blind: bool) -> Self {
        let is_empty = matches!(levels, [Level::Literal(text)] if text.is_empty());
        Self { levels: if is_empty { &[] } else { levels }, is_blind }
    }

    fn of(right: &'p Right) -> Self {
        right.area.as_ref().map_or(Self::EVERYTHING, |area| Self::new(area.pattern.levels(), area.is_blind()))
    }

    fn start(self) -> Places {
        let mut places = Places::new();
        self.put(&mut places, 0);
        places
    }

    /// Adds a place, and those that are reached from it without a level.
    fn put(self, places: &mut Places, mut at: u16) {
        loop {
            if places.last().is_none_or(|last| *last < at) {
                places.push(at);
            }
            if !matches!(self.levels.get(usize::from(at)), Some(Level::Many)) {
                return;
            }
            at += 1;
        }
    }

    /// Where one more level leads. Places are in order, and so is what comes of them.
    fn step(self, from: &Places, level: Symbol<'_>, is_first: bool) -> Places {
        let mut to = Places::new();
        let is_hidden = is_first && self.is_blind && level.is_reserved();
        if is_hidden && !matches!(self.levels.first(), Some(Level::Literal(_))) {
            return to;
        }
        for at in from {
            match self.levels.get(usize::from(*at)) {
                Some(Level::Many) => self.put(&mut to, *at),
                Some(Level::One) => self.put(&mut to, at + 1),
                Some(Level::Literal(text)) if level == Symbol::Literal(text) => self.put(&mut to, at + 1),
                Some(Level::Literal(_)) | None => {}
            }
        }
        to
    }

    fn accepts(self, places: &Places) -> bool {
        places.last().is_some_and(|last| usize::from(*last) == self.levels.len())
    }

    /// The texts that lead on from there.
    fn texts<'a>(self, places: &'a Places) -> impl Iterator<Item = &'p str> + use<'a, 'p> {
        let levels = self.levels;
        places.iter().filter_map(move |at| match levels.get(usize::from(*at)) {
            Some(Level::Literal(text)) => Some(&**text),
            Some(Level::One | Level::Many) | None => None,
        })
    }
}

/// Where an automaton may be, in order.
type Places = SmallVec<[u16; 4]>;

/// A level of a key: a text that some pattern has, or any other one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Symbol<'p> {
    Literal(&'p str),
    Other,
    OtherReserved,
}

impl Symbol<'_> {
    fn is_reserved(self) -> bool {
        match self {
            Self::Literal(text) => text.starts_with('$'),
            Self::Other => false,
            Self::OtherReserved => true,
        }
    }
}

/// What has been read of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Read {
    Nothing,
    /// One empty level, which as a whole key would be the empty one.
    Empty,
    Levels,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    read: Read,
    asked: Places,
    /// Of the rules that may still match.
    rules: Vec<(usize, Places)>,
}

/// Looks for a key that is allowed and one that is not: all keys that no automaton can tell apart are looked at once.
struct Search<'p, 'r> {
    asked: Language<'p>,
    rules: &'p [(Language<'p>, &'r Right)],
    /// How many steps may still be taken.
    budget: usize,
    allowed: bool,
    denied: Option<&'r Right>,
}

impl<'p> Search<'p, '_> {
    /// Whether all was looked at that had to be.
    fn run(&mut self) -> bool {
        let rules = self.rules.iter().enumerate().map(|(number, (rule, _))| (number, rule.start())).collect();
        let start = State { read: Read::Nothing, asked: self.asked.start(), rules };
        let mut known = HashSet::from([start.clone()]);
        let mut open = vec![start];
        while let Some(state) = open.pop() {
            self.look(&state);
            if self.allowed && self.denied.is_some() {
                return true;
            }
            for symbol in self.symbols(&state) {
                let cost = state.rules.len() + 1;
                let Some(left) = self.budget.checked_sub(cost) else { return false };
                self.budget = left;
                let next = self.step(&state, symbol);
                if !next.asked.is_empty() && !known.contains(&next) {
                    known.insert(next.clone());
                    open.push(next);
                }
            }
        }
        true
    }

    /// If a key may end here that is asked for, who decides about it?
    fn look(&mut self, state: &State) {
        if state.read == Read::Empty || !self.asked.accepts(&state.asked) {
            return;
        }
        let decides = state.rules.iter().find_map(|(number, places)| {
            let (rule, right) = self.rules.get(*number)?;
            rule.accepts(places).then_some(*right)
        });
        match decides {
            Some(right) if right.allows => self.allowed = true,
            Some(right) => self.denied = self.denied.or(Some(right)),
            None => {}
        }
    }

    /// The levels that may lead elsewhere than others do.
    fn symbols(&self, state: &State) -> BTreeSet<Symbol<'p>> {
        let of_rules = state.rules.iter().filter_map(|(number, places)| {
            let (rule, _) = self.rules.get(*number)?;
            Some(rule.texts(places))
        });
        let texts = self.asked.texts(&state.asked).chain(of_rules.flatten());
        // No level has a slash in it.
        let mut symbols: BTreeSet<_> =
            texts.filter(|text| !text.contains('/')).map(Symbol::Literal).collect();
        symbols.insert(Symbol::Other);
        if state.read == Read::Nothing {
            symbols.insert(Symbol::OtherReserved);
        }
        symbols
    }

    fn step(&self, state: &State, symbol: Symbol<'_>) -> State {
        let is_first = state.read == Read::Nothing;
        let rules = state.rules.iter().filter_map(|(number, places)| {
            let (rule, _) = self.rules.get(*number)?;
            let places = rule.step(places, symbol, is_first);
            (!places.is_empty()).then_some((*number, places))
        });
        let read = if is_first && symbol == Symbol::Literal("") { Read::Empty } else { Read::Levels };
        State { read, asked: self.asked.step(&state.asked, symbol, is_first), rules: rules.collect() }
    }
}

/// So many steps are taken at most; whoever has so many rules gets what is not decided by then looked at when it comes.
const BUDGET: usize = 200_000;
