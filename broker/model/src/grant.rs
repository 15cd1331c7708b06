//! Grant: what a binding promises to the queue behind it.

use smallvec::SmallVec;

use crate::durability::Durability;
use crate::qos::Qos;

/// What a subscriber was granted, and the options it asked for (MQTT 5.0, 3.8.3.1). Other bindings have the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The highest QoS to deliver with.
    pub qos: Qos,
    /// What the client called the subscription (1 to 268,435,455); several where subscriptions overlap.
    pub subscription_ids: SmallVec<[u32; 1]>,
    /// Messages of one's own are not delivered.
    pub no_local: bool,
    /// The RETAIN flag is passed on as it was published.
    pub retain_as_published: bool,
    /// What of it is to outlive what, at most.
    pub durability: Durability,
}

/// What a session gets of a message that several of its subscriptions match (MQTT 5.0, 3.3.4 allows both).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Overlapping {
    /// One message, with the highest QoS and all identifiers.
    #[default]
    Merge,
    /// One message for each subscription, with its QoS and its identifier.
    Each,
}

impl Default for Grant {
    fn default() -> Self {
        Self {
            qos: Qos::ExactlyOnce,
            subscription_ids: SmallVec::new(),
            no_local: false,
            retain_as_published: false,
            durability: Durability::Disk,
        }
    }
}

impl Grant {
    /// Two bindings lead the same message to the same queue: the highest QoS, all identifiers (MQTT 5.0, 3.3.4). Own
    /// messages are withheld only if both withhold them; whoever merges has left out a grant that withholds this one. Of two
    /// levels of durability, the stricter one.
    pub fn merge(&mut self, other: &Self) {
        self.qos = self.qos.max(other.qos);
        self.durability = self.durability.max(other.durability);
        self.no_local &= other.no_local;
        self.retain_as_published |= other.retain_as_published;
        for id in &other.subscription_ids {
            if !self.subscription_ids.contains(id) {
                self.subscription_ids.push(*id);
            }
        }
    }
}
