//! Every pattern that matches a key.
//!
//! A tree of levels, kept flat: nodes lie in one arena, and one hash table of four bytes an entry finds all literal
//! children by parent and level. Among a million patterns a level then costs two misses of the processor's cache, and
//! there is no map per node. A key is matched level by level with the list of nodes that are alive, so there is no
//! recursion, and a node is looked at once per level at most, whatever the patterns are.

use std::hash::BuildHasher;
use std::num::NonZeroU32;

use foldhash::HashSet;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use model::key::{KeyPattern, Level, RoutingKey};

use crate::binding::Bound;

/// Patterns, and the values bound to each.
#[derive(Debug)]
pub(crate) struct Trie<V> {
    nodes: Vec<Node<V>>,
    free: Vec<NodeId>,
    /// The children whose edge is [`Edge::Literal`].
    literals: HashTable<NodeId>,
    hasher: RandomState,
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
    one: Option<NonZeroU32>,
    many: Option<NonZeroU32>,
    /// How many literal children it has.
    literals: u32,
}

/// The level that leads to a node.
#[derive(Debug)]
enum Edge {
    Root,
    /// Short texts need no allocation.
    Literal(SmallVec<[u8; 16]>),
    One,
    Many,
}

impl Edge {
    fn is_many(&self) -> bool {
        matches!(self, Self::Many)
    }

    fn text(&self) -> &[u8] {
        match self {
            Self::Literal(text) => text,
            Self::Root | Self::One | Self::Many => &[],
        }
    }
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
            literals: HashTable::new(),
            hasher: RandomState::default(),
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
        while at != ROOT && self.node(at).bound.is_empty() && self.node(at).is_leaf() {
            at = self.prune(at);
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
        if key.is_empty() {
            // There is no level to take, not even for `*`. The pattern without levels is kept as an empty text.
            if let Some(empty) = self.child(ROOT, Step::Literal("")) {
                self.node(empty).bound.as_slice().iter().for_each(&mut walk.visit);
            }
            walk.start(false);
            walk.finish();
            return;
        }
        // A reserved key is not for patterns that begin with a wildcard (MQTT 5.0, 4.7.2).
        walk.start(key.is_reserved());
        let mut reserved = key.is_reserved();
        for level in key.levels() {
            if walk.alive.is_empty() {
                return;
            }
            walk.step(level.as_bytes(), reserved);
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
            Step::Literal(text) => {
                self.literal(parent, text.as_bytes(), self.hasher.hash_one(text.as_bytes()))
            }
            Step::One => self.node(parent).one.map(Into::into),
            Step::Many => self.node(parent).many.map(Into::into),
        }
    }

    /// The literal child for a level whose text has that hash: hashed once, however many nodes are asked.
    fn literal(&self, parent: NodeId, text: &[u8], hash: u64) -> Option<NodeId> {
        let is_it = |id: &NodeId| {
            let node = self.node(*id);
            node.parent == parent && matches!(&node.edge, Edge::Literal(there) if there.as_slice() == text)
        };
        self.literals.find(self.place(parent, hash), is_it).copied()
    }

    fn place(&self, parent: NodeId, hash: u64) -> u64 {
        self.hasher.hash_one((parent, hash))
    }

    fn grow(&mut self, parent: NodeId, step: Step<'_>) -> NodeId {
        if self.node(parent).edge.is_many() && self.node(parent).is_leaf() {
            self.inner_many += 1;
        }
        let edge = match step {
            Step::Literal(text) => Edge::Literal(SmallVec::from_slice(text.as_bytes())),
            Step::One => Edge::One,
            Step::Many => Edge::Many,
        };
        let node = Node::new(parent, edge);
        let id = match self.free.pop() {
            Some(id) => {
                *self.node_mut(id) = node;
                id
            }
            None => {
                self.nodes.push(node);
                NodeId::try_from(self.nodes.len() - 1).expect("memory ends long before four billion nodes")
            }
        };
        let above = self.node_mut(parent);
        match step {
            Step::Literal(text) => {
                above.literals += 1;
                let place = self.place(parent, self.hasher.hash_one(text.as_bytes()));
                let (nodes, hasher) = (&self.nodes, &self.hasher);
                self.literals.insert_unique(place, id, |id| {
                    let node = &nodes[*id as usize];
                    hasher.hash_one((node.parent, hasher.hash_one(node.edge.text())))
                });
            }
            Step::One => above.one = NonZeroU32::new(id),
            Step::Many => above.many = NonZeroU32::new(id),
        }
        id
    }

    /// Takes out a node that leads nowhere; returns its parent.
    fn prune(&mut self, id: NodeId) -> NodeId {
        let parent = self.node(id).parent;
        let edge = std::mem::replace(&mut self.node_mut(id).edge, Edge::Root);
        match &edge {
            Edge::Root => {}
            Edge::Literal(text) => {
                let place = self.place(parent, self.hasher.hash_one(text.as_slice()));
                if let Ok(there) = self.literals.find_entry(place, |other| *other == id) {
                    there.remove();
                }
                self.node_mut(parent).literals -= 1;
            }
            Edge::One => self.node_mut(parent).one = None,
            Edge::Many => self.node_mut(parent).many = None,
        }
        self.free.push(id);
        if self.node(parent).edge.is_many() && self.node(parent).is_leaf() {
            self.inner_many -= 1;
        }
        parent
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

    fn step(&mut self, level: &[u8], reserved: bool) {
        let hash = self.trie.hasher.hash_one(level);
        for at in 0..self.alive.len() {
            let id = self.alive[at];
            let node = self.trie.node(id);
            if node.edge.is_many() {
                // It takes this level too.
                self.enter(id);
            }
            if node.literals > 0
                && let Some(child) = self.trie.literal(id, level, hash)
            {
                self.enter(child);
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
