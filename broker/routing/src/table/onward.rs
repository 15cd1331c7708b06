//! Which exchanges lead to which: by a binding, or as the alternate.

use std::sync::Arc;

use foldhash::{HashMap, HashSet, HashSetExt};

use model::name::ExchangeName;
use model::queue::ExchangeBinding;

/// A binding from one exchange to another, as it is kept.
pub(crate) struct Pipe {
    pub(crate) id: u64,
    pub(crate) binding: ExchangeBinding,
}

/// All lines between exchanges. Most namespaces have few, or none.
#[derive(Default)]
pub(crate) struct Onward {
    pipes: HashMap<ExchangeBinding, Arc<Pipe>>,
    /// From where messages come to an exchange, once for each line. An alternate need not exist to stand here.
    sources: HashMap<ExchangeName, Vec<ExchangeName>>,
}

impl Onward {
    pub(crate) fn contains(&self, binding: &ExchangeBinding) -> bool {
        self.pipes.contains_key(binding)
    }

    pub(crate) fn pipes(&self) -> impl Iterator<Item = &Arc<Pipe>> {
        self.pipes.values()
    }

    pub(crate) fn insert(&mut self, pipe: Arc<Pipe>) {
        let ExchangeBinding { exchange, to, .. } = &pipe.binding;
        self.sources.entry(to.clone()).or_default().push(exchange.clone());
        self.pipes.insert(pipe.binding.clone(), pipe);
    }

    pub(crate) fn remove(&mut self, binding: &ExchangeBinding) -> Option<Arc<Pipe>> {
        let pipe = self.pipes.remove(binding)?;
        self.forget_source(&binding.to, &binding.exchange);
        Some(pipe)
    }

    /// Takes out all that begin or end at that exchange.
    pub(crate) fn remove_at(&mut self, name: &ExchangeName) -> Vec<Arc<Pipe>> {
        let is_there = |binding: &ExchangeBinding| binding.exchange == *name || binding.to == *name;
        let gone: Vec<_> =
            self.pipes.extract_if(|binding, _| is_there(binding)).map(|(_, pipe)| pipe).collect();
        for pipe in &gone {
            self.forget_source(&pipe.binding.to, &pipe.binding.exchange);
        }
        gone
    }

    /// An alternate gets messages from that exchange.
    pub(crate) fn insert_alternate(&mut self, of: &ExchangeName, alternate: Option<&ExchangeName>) {
        if let Some(alternate) = alternate {
            self.sources.entry(alternate.clone()).or_default().push(of.clone());
        }
    }

    /// It gets none any more.
    pub(crate) fn remove_alternate(&mut self, of: &ExchangeName, alternate: Option<&ExchangeName>) {
        if let Some(alternate) = alternate {
            self.forget_source(alternate, of);
        }
    }

    /// Every exchange from which a message may come to that one, by however many steps; not itself, unless it leads back
    /// to itself.
    pub(crate) fn upstream(&self, name: &ExchangeName) -> HashSet<&ExchangeName> {
        let mut found = HashSet::new();
        let mut waiting = vec![name];
        while let Some(next) = waiting.pop() {
            for source in self.sources.get(next).into_iter().flatten() {
                if found.insert(source) {
                    waiting.push(source);
                }
            }
        }
        found
    }

    fn forget_source(&mut self, to: &ExchangeName, from: &ExchangeName) {
        let Some(sources) = self.sources.get_mut(to) else { return };
        if let Some(at) = sources.iter().position(|source| source == from) {
            sources.swap_remove(at);
        }
        if sources.is_empty() {
            self.sources.remove(to);
        }
    }
}
