//! Policies: what holds for queues and exchanges because of what they are called

use crate::durability::Durability;
use crate::name::{ExchangeName, PolicyName};
use crate::queue::Overflow;

/// What holds for all queues or exchanges with names like that. Of several for one name the one of the highest priority holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What it is called.
    pub name: PolicyName,
    /// For names in which this regular expression finds something.
    pub pattern: Box<str>,
    /// What kind of thing it is for.
    pub applies_to: AppliesTo,
    /// The highest one holds; of equal ones the one whose name comes first.
    pub priority: i32,
    /// What holds.
    pub definition: PolicyDefinition,
}

/// What a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AppliesTo {
    /// Queues alone.
    Queues,
    /// Exchanges alone.
    Exchanges,
    /// Both.
    #[default]
    All,
}

impl AppliesTo {
    /// What there is, in words.
    pub const EXPECTED: &str = "queues, exchanges or all";

    /// Its name, in declarations and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queues => "queues",
            Self::Exchanges => "exchanges",
            Self::All => "all",
        }
    }

    /// What has that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Queues, Self::Exchanges, Self::All].into_iter().find(|one| one.as_str() == name)
    }
}

/// What a policy says, in RabbitMQ's words. What is `None` it says nothing of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyDefinition {
    /// `max-length`: the most messages that may wait.
    pub ready_max: Option<u64>,
    /// `max-length-bytes`: the most bytes that may wait.
    pub ready_bytes_max: Option<u64>,
    /// `max-age`, of streams: how long an entry stays, in milliseconds.
    pub age_max_ms: Option<u64>,
    /// `overflow`: what a message that is one too many does.
    pub overflow: Option<Overflow>,
    /// `message-ttl`: how long a message may wait, in milliseconds.
    pub message_ttl_ms: Option<u64>,
    /// `expires`: how long an unused queue stays, in milliseconds.
    pub expires_ms: Option<u64>,
    /// `dead-letter-exchange`: where what a queue gives up goes.
    pub dead_letter_exchange: Option<ExchangeName>,
    /// `dead-letter-routing-key`: with which key, as RabbitMQ writes it.
    pub dead_letter_key: Option<Box<str>>,
    /// `delivery-limit`: how often a message may come back.
    pub delivery_limit: Option<u32>,
    /// `durability`: what messages outlive, at most.
    pub durability: Option<Durability>,
    /// `alternate-exchange`: where a message goes that no binding of an exchange wants.
    pub alternate: Option<ExchangeName>,
}

impl Policy {
    /// The longest pattern, in bytes.
    pub const PATTERN_BYTES_MAX: usize = 1024;

    /// Whether it says something, and nothing that means nothing for what it is for.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let about_queues = self.definition.about_queues();
        let about_exchanges = self.definition.alternate.as_ref().map(|_| ALTERNATE);
        let is_addressed = |name: &&ExchangeName| name.as_str().is_empty() || name.as_str().starts_with('$');
        if let Some(alternate) = self.definition.alternate.as_ref().filter(is_addressed) {
            return Err(format!("{ALTERNATE} is {alternate:?}, where keys say whom a message is for"));
        }
        match (self.applies_to, about_queues, about_exchanges) {
            (_, None, None) => Err("it says nothing".to_owned()),
            (AppliesTo::Exchanges, Some(word), _) => {
                Err(format!("{word} is said of queues, and it is for exchanges"))
            }
            (AppliesTo::Queues, _, Some(word)) => {
                Err(format!("{word} is said of exchanges, and it is for queues"))
            }
            (AppliesTo::Queues | AppliesTo::Exchanges | AppliesTo::All, _, _) => Ok(()),
        }
    }

    /// Whether it is for queues.
    pub const fn is_for_queues(&self) -> bool {
        match self.applies_to {
            AppliesTo::Queues | AppliesTo::All => true,
            AppliesTo::Exchanges => false,
        }
    }

    /// Whether it is for exchanges.
    pub const fn is_for_exchanges(&self) -> bool {
        match self.applies_to {
            AppliesTo::Exchanges | AppliesTo::All => true,
            AppliesTo::Queues => false,
        }
    }
}

impl PolicyDefinition {
    /// The first word that it says of queues.
    fn about_queues(&self) -> Option<&'static str> {
        let said = [
            ("max-length", self.ready_max.is_some()),
            ("max-length-bytes", self.ready_bytes_max.is_some()),
            ("max-age", self.age_max_ms.is_some()),
            ("overflow", self.overflow.is_some()),
            ("message-ttl", self.message_ttl_ms.is_some()),
            ("expires", self.expires_ms.is_some()),
            ("dead-letter-exchange", self.dead_letter_exchange.is_some()),
            ("dead-letter-routing-key", self.dead_letter_key.is_some()),
            ("delivery-limit", self.delivery_limit.is_some()),
            ("durability", self.durability.is_some()),
        ];
        said.into_iter().find_map(|(word, is_said)| is_said.then_some(word))
    }
}

const ALTERNATE: &str = "alternate-exchange";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_says_something_of_what_it_is_for() {
        let limits = PolicyDefinition { ready_max: Some(1), ..PolicyDefinition::default() };
        let alternate =
            PolicyDefinition { alternate: Some(ExchangeName::new("x")), ..PolicyDefinition::default() };
        for (applies_to, definition, word) in [
            (AppliesTo::All, PolicyDefinition::default(), Some("nothing")),
            (AppliesTo::Exchanges, limits.clone(), Some("max-length")),
            (AppliesTo::Queues, alternate.clone(), Some("alternate-exchange")),
            (AppliesTo::All, limits.clone(), None),
            (AppliesTo::Queues, limits, None),
            (AppliesTo::Exchanges, alternate, None),
        ] {
            let (name, pattern) = (PolicyName::new("p"), ".*".into());
            let policy = Policy { name, pattern, applies_to, priority: 0, definition };
            match (policy.check(), word) {
                (Ok(()), None) => {}
                (Err(why), Some(word)) if why.contains(word) => {}
                (told, word) => panic!("{policy:?}: {told:?} instead of {word:?}"),
            }
        }
    }
}
