//! The consumers of a link, by name.

use std::sync::Arc;

use model::name::ConsumerId;
use routing::{ConsumerKey, Queue};
use smallvec::SmallVec;

/// A consumer of a link: where it takes from, and as whom.
#[derive(Clone)]
pub(crate) struct Attached {
    pub(crate) queue: Arc<Queue>,
    pub(crate) key: ConsumerKey,
}

/// All of a link, in the order of their names. Most have one, and very many links have no other: that one needs no memory of its
/// own, and a list is looked through faster than a table. Names are given out in ascending order, so a new one goes to the end.
#[derive(Default)]
pub(crate) struct Consumers(SmallVec<[(ConsumerId, Attached); 1]>);

impl Consumers {
    /// The one of that name alone.
    pub(crate) fn one(id: ConsumerId, attached: Attached) -> Self {
        Self(SmallVec::from_buf([(id, attached)]))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, id: ConsumerId) -> Option<&Attached> {
        self.0.get(self.place(id).ok()?).map(|(_, attached)| attached)
    }

    pub(crate) fn has(&self, id: ConsumerId) -> bool {
        self.place(id).is_ok()
    }

    /// Takes one in; one of that name before it is forgotten.
    pub(crate) fn insert(&mut self, id: ConsumerId, attached: Attached) {
        match self.place(id) {
            Ok(at) => {
                if let Some((_, there)) = self.0.get_mut(at) {
                    *there = attached;
                }
            }
            Err(at) => self.0.insert(at, (id, attached)),
        }
    }

    pub(crate) fn remove(&mut self, id: ConsumerId) -> Option<Attached> {
        let at = self.place(id).ok()?;
        Some(self.0.remove(at).1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConsumerId, &Attached)> {
        self.0.iter().map(|(id, attached)| (*id, attached))
    }

    fn place(&self, id: ConsumerId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use model::name::{QueueId, QueueName};
    use model::queue::QueueOptions;
    use routing::Owner;

    use super::*;

    #[test]
    fn consumers_are_found_by_name_in_whatever_order_they_come_and_go() {
        let mut consumers = Consumers::one(ConsumerId(5), attached(5));
        for id in [9, 1, 7, 3] {
            consumers.insert(ConsumerId(id), attached(id));
        }
        consumers.insert(ConsumerId(7), attached(70));
        assert_eq!(consumers.remove(ConsumerId(3)).map(|gone| gone.queue.id()), Some(QueueId(3)));
        assert!(consumers.remove(ConsumerId(3)).is_none());
        let queue = |id| consumers.get(ConsumerId(id)).map(|attached| attached.queue.id().0);
        assert_eq!([1, 2, 3, 5, 7, 9].map(queue), [Some(1), None, None, Some(5), Some(70), Some(9)]);
        assert!(consumers.has(ConsumerId(1)) && !consumers.has(ConsumerId(2)));
        let names: Vec<_> = consumers.iter().map(|(id, _)| id.0).collect();
        assert_eq!((names, consumers.len()), (vec![1, 5, 7, 9], 4));
    }

    fn attached(id: u32) -> Attached {
        let options = QueueOptions {
            name: QueueName::new("q"),
            durable: false,
            exclusive: false,
            auto_delete: false,
            ready_max: None,
            ready_bytes_max: None,
            arguments: None,
        };
        let queue = Queue::new(QueueId(id.into()), options, Owner::Nobody);
        let key = queue.attach(
            routing::ConsumerOptions {
                id: ConsumerId(1),
                settles: routing::Settles::ByQos,
                prefetch: None,
                link: 1,
            },
            &routing::Readiness::new(),
            &mut routing::Wakes::default(),
        );
        Attached { queue, key: key.unwrap() }
    }
}
