//! Every pattern that matches a key.
//!
//! A tree of levels, kept flat: nodes lie in one arena, all literal children in one hash table by (parent, level), and
//! each level's text is stored once. A key is matched level by level with the list of nodes that are alive, so there is
//! no recursion, and a node is looked at once per level at most, whatever the patterns are.

use foldhash::{HashMap, HashSet};
use smallvec::SmallVec;

use model::key::{KeyPattern, Level, RoutingKey};

use crate::binding::Bound;

/// Patterns, and the values bound to each.
#[derive(Debug)]
pub(crate) struct Trie<V> {
    nodes: Vec<Node<V>>,
    free: Vec<NodeId>,
    literals: HashMap<(NodeId, Symbol), NodeId>,
    symbols: Symbols,
    /// How many `#` have levels behind them. With none, which is all that MQTT allows, a node is reached by one way
    /// only, and nothing needs to remember where it has been.
    inner_many: usize,
}

type NodeId = u32;

#[derive(Debug)]
struct Node<V> {
    bound: Bound<V>,
    parent: NodeId,
    edge: Edge,
    one: Option<std::num::NonZeroU32>,
    many: Option<std::num::NonZeroU32>,
    /// How many literal children it has.
    literals: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Root,
    Literal(Symbol),
    One,
    Many,
}

impl<V> Node<V> {
    fn new(parent: NodeId, edge: Edge) -> Self {
        Self { bound: Bound::Nobody, parent, edge, one: None, many: None, literals: 0 }
    }

    fn is_leaf(&self) -> bool {
        self.literals == 0 && self.one.is_none() && self.many.is_none()
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::new(ROOT, Edge::Root)],
            free: Vec::new(),
            literals: HashMap::default(),
            symbols: Symbols::default(),
            inner_many: 0,
        }
    }
}

impl<V: Ord> Trie<V> {
    /// Binds a value; returns the equal one that it replaces.
    pub(crate) fn insert(&mut self, pattern: &KeyPattern, value: V) -> Option<V> {
        let mut at = ROOT;
        for step in steps(pattern) {
            at = match self.child(at, step) {
                Some(child) => child,
                None => self.grow(at, step),
            };
        }
        self.node_mut(at).bound.insert(value)
    }

    /// Takes out the value that equals this one, with the nodes that nobody needs any more.
    pub(crate) fn remove(&mut self, pattern: &KeyPattern, value: &V) -> Option<V> {
        let mut at = ROOT;
        for step in steps(pattern) {
            at = self.child(at, step)?;
        }
        let gone = self.node_mut(at).bound.remove(value)?;
        // From the end of the pattern backwards, because the levels' texts go with their nodes.
        let levels: SmallVec<[Step<'_>; 16]> = steps(pattern).collect();
        for step in levels.into_iter().rev() {
            let node = self.node(at);
            if !node.bound.is_empty() || !node.is_leaf() {
                break;
            }
            let parent = node.parent;
            self.prune(at, step);
            at = parent;
        }
        Some(gone)
    }

    /// Shows every value whose pattern matches the key, each once.
    pub(crate) fn for_each_match<'t>(&'t self, key: &RoutingKey, visit: impl FnMut(&'t V)) {
        let mut walk = Walk {
            trie: self,
            alive: SmallVec::new(),
            next: SmallVec::new(),
            been: (self.inner_many > 0).then(Been::default),
            visit,
        };
        // A reserved key is not for patterns that begin with a wildcard (MQTT 5.0, 4.7.2).
        walk.start(key.is_reserved());
        let mut reserved = key.is_reserved();
        for level in key.levels() {
            if walk.alive.is_empty() {
                return;
            }
            walk.step(self.symbols.find(level), reserved);
            reserved = false;
        }
        walk.finish();
    }

    /// Shows every value.
    pub(crate) fn for_each<'t>(&'t self, visit: impl FnMut(&'t V)) {
        self.nodes.iter().flat_map(|node| node.bound.as_slice()).for_each(visit);
    }

    fn node(&self, id: NodeId) -> &Node<V> {
        &self.nodes[id as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node<V> {
        &mut self.nodes[id as usize]
    }

    fn child(&self, parent: NodeId, step: Step<'_>) -> Option<NodeId> {
        match step {
            Step::Literal(text) => self.literals.get(&(parent, self.symbols.find(text)?)).copied(),
            Step::One => self.node(parent).one.map(Into::into),
            Step::Many => self.node(parent).many.map(Into::into),
        }
    }

    fn grow(&mut self, parent: NodeId, step: Step<'_>) -> NodeId {
        if self.node(parent).edge == Edge::Many && self.node(parent).is_leaf() {
            self.inner_many += 1;
        }
        let edge = match step {
            Step::Literal(text) => Edge::Literal(self.symbols.hold(text)),
            Step::One => Edge::One,
            Step::Many => Edge::Many,
        };
        let id = match self.free.pop() {
            Some(id) => {
                *self.node_mut(id) = Node::new(parent, edge);
                id
            }
            None => {
                let id =
                    NodeId::try_from(self.nodes.len()).expect("memory ends long before four billion nodes");
                self.nodes.push(Node::new(parent, edge));
                id
            }
        };
        let node = self.node_mut(parent);
        match edge {
            Edge::Literal(symbol) => {
                node.literals += 1;
                self.literals.insert((parent, symbol), id);
            }
            Edge::One => node.one = std::num::NonZeroU32::new(id),
            Edge::Many => node.many = std::num::NonZeroU32::new(id),
            Edge::Root => {}
        }
        id
    }

    fn prune(&mut self, id: NodeId, step: Step<'_>) {
        let (parent, edge) = (self.node(id).parent, self.node(id).edge);
        let node = self.node_mut(parent);
        match edge {
            Edge::Literal(symbol) => {
                node.literals -= 1;
                self.literals.remove(&(parent, symbol));
                if let Step::Literal(text) = step {
                    self.symbols.release(text);
                }
            }
            Edge::One => node.one = None,
            Edge::Many => node.many = None,
            Edge::Root => return,
        }
        self.free.push(id);
        if self.node(parent).edge == Edge::Many && self.node(parent).is_leaf() {
            self.inner_many -= 1;
        }
    }
}

/// One key on its way through the tree.
struct Walk<'t, V, F> {
    trie: &'t Trie<V>,
    /// The nodes that the key's levels so far lead to, but for `#` at an end: that has already shown its values.
    alive: SmallVec<[NodeId; 16]>,
    next: SmallVec<[NodeId; 16]>,
    been: Option<Been>,
    visit: F,
}

/// Where the walk has been, for trees in which several ways lead to one node.
#[derive(Default)]
struct Been {
    /// Nodes that are alive after the current level.
    alive: HashSet<NodeId>,
    /// Last `#`s that have shown their values.
    shown: HashSet<NodeId>,
}

impl<'t, V: Ord, F: FnMut(&'t V)> Walk<'t, V, F> {
    fn start(&mut self, reserved: bool) {
        if reserved {
            self.alive.push(ROOT);
        } else {
            self.enter(ROOT);
            self.turn();
        }
    }

    fn step(&mut self, symbol: Option<Symbol>, reserved: bool) {
        for at in 0..self.alive.len() {
            let id = self.alive[at];
            let node = self.trie.node(id);
            if node.edge == Edge::Many {
                // It takes this level too.
                self.enter(id);
            }
            if node.literals > 0
                && let Some(child) = symbol.and_then(|symbol| self.trie.literals.get(&(id, symbol)))
            {
                self.enter(*child);
            }
            if !reserved && let Some(one) = node.one {
                self.enter(one.into());
            }
        }
        self.turn();
    }

    fn finish(mut self) {
        for id in std::mem::take(&mut self.alive) {
            self.trie.node(id).bound.as_slice().iter().for_each(&mut self.visit);
        }
    }

    /// A node is reached, and so is every `#` directly behind it, which may stand for no level at all.
    fn enter(&mut self, mut id: NodeId) {
        loop {
            if self.been.as_mut().is_some_and(|been| !been.alive.insert(id)) {
                return;
            }
            self.next.push(id);
            let Some(many) = self.trie.node(id).many.map(NodeId::from) else { return };
            let node = self.trie.node(many);
            if node.is_leaf() {
                if self.been.as_mut().is_none_or(|been| been.shown.insert(many)) {
                    node.bound.as_slice().iter().for_each(&mut self.visit);
                }
                return;
            }
            id = many;
        }
    }

    fn turn(&mut self) {
        std::mem::swap(&mut self.alive, &mut self.next);
        self.next.clear();
        if let Some(been) = &mut self.been {
            been.alive.clear();
        }
    }
}

/// The texts of literal levels, each once, with the number of nodes that use it.
#[derive(Debug, Default)]
struct Symbols {
    by_text: HashMap<Box<str>, (Symbol, u32)>,
    free: Vec<Symbol>,
    used: u32,
}

type Symbol = u32;

impl Symbols {
    fn find(&self, text: &str) -> Option<Symbol> {
        self.by_text.get(text).map(|(symbol, _)| *symbol)
    }

    fn hold(&mut self, text: &str) -> Symbol {
        if let Some((symbol, users)) = self.by_text.get_mut(text) {
            *users += 1;
            return *symbol;
        }
        let symbol = self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.used
        });
        self.by_text.insert(text.into(), (symbol, 1));
        symbol
    }

    fn release(&mut self, text: &str) {
        let Some((symbol, users)) = self.by_text.get_mut(text) else { return };
        *users -= 1;
        if *users == 0 {
            self.free.push(*symbol);
            self.by_text.remove(text);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Literal(&'p str),
    One,
    Many,
}

/// The pattern's levels; none at all is the same as one empty level.
fn steps(pattern: &KeyPattern) -> impl Iterator<Item = Step<'_>> {
    let none = pattern.levels().is_empty().then_some(Step::Literal(""));
    let levels = pattern.levels().iter().map(|level| match level {
        Level::Literal(text) => Step::Literal(text),
        Level::One => Step::One,
        Level::Many => Step::Many,
    });
    levels.chain(none)
}

const ROOT: NodeId = 0;

#[cfg(test)]
mod tests;
