//! Terms: what holds for a queue, by what it was declared with and by a policy

use std::sync::Arc;

use model::durability::Durability;
use model::key::RoutingKey;
use model::name::{ExchangeName, PolicyName};
use model::policy::{Policy, PolicyDefinition};
use model::queue::{DeadLetter, Overflow, QueueArguments, QueueOptions};

use crate::queue::dead::DeadLetters;
use crate::queue::owner::Owner;

/// What holds for a queue beside its flags: of what it was declared with and what the policy says, of numbers the smaller one,
/// and otherwise what it was declared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The most messages that may wait.
    pub ready_max: Option<u64>,
    /// The most bytes that may wait.
    pub ready_bytes_max: Option<u64>,
    /// How long an entry of a stream stays, in milliseconds; `None`: as long as there is room.
    pub age_max_ms: Option<u64>,
    /// What happens to a message that is one too many.
    pub overflow: Overflow,
    /// How long a message may wait, in milliseconds.
    pub message_ttl_ms: Option<u64>,
    /// How long it stays when nobody uses it, in milliseconds.
    pub expires_ms: Option<u64>,
    /// Where what it gives up goes; `None`: nowhere.
    pub dead_letters: Option<Arc<DeadLetters>>,
    /// How often a message may come back.
    pub delivery_limit: Option<u32>,
    /// What messages outlive in it, at most.
    pub durability: Option<Durability>,
    /// The policy that holds for it.
    pub policy: Option<PolicyName>,
}

/// What is usual for a queue of its owner: it holds where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usual {
    /// The most messages that may wait. A queue that was declared with just that counts as one that says nothing.
    pub ready_max: Option<u64>,
    /// The same in bytes.
    pub ready_bytes_max: Option<u64>,
    /// How often a message may come back to a queue that says where what it gives up goes: no other one is to lose a message
    /// that nobody said it may lose.
    pub delivery_limit: Option<u32>,
}

impl Terms {
    /// Of a queue that was declared like that, where that policy holds for its name.
    pub fn new(options: &QueueOptions, owner: &Owner, policy: Option<&Policy>, usual: Usual) -> Self {
        let (no_arguments, silent) = (QueueArguments::default(), PolicyDefinition::default());
        let own = options.arguments.as_deref().unwrap_or(&no_arguments);
        let of_stream = policy.filter(|_| own.stream).map(|policy| on_stream(&policy.definition));
        let said = of_stream.as_ref().or(policy.map(|policy| &policy.definition)).unwrap_or(&silent);
        let most = |own: Option<u64>, usual: Option<u64>, said: Option<u64>| match said {
            Some(said) => own.filter(|_| own != usual).map_or(said, |own| own.min(said)).into(),
            None => own,
        };
        let dead_letter = dead_letter(own.dead_letter.as_ref(), said);
        let delivery_limit = smaller(own.delivery_limit, said.delivery_limit)
            .or_else(|| usual.delivery_limit.filter(|_| dead_letter.is_some()));
        // Whoever limits a queue and does not say what then means what RabbitMQ does.
        let is_limited = said.ready_max.is_some() || said.ready_bytes_max.is_some();
        let overflow = own.overflow.or(said.overflow).or(is_limited.then_some(Overflow::DropHead));
        Self {
            ready_max: most(options.ready_max, usual.ready_max, said.ready_max),
            ready_bytes_max: most(options.ready_bytes_max, usual.ready_bytes_max, said.ready_bytes_max),
            age_max_ms: smaller(own.age_max_ms, said.age_max_ms).filter(|_| own.stream),
            overflow: overflow.unwrap_or(match owner {
                Owner::Nobody if own.stream => Overflow::DropHead,
                Owner::Nobody => Overflow::RejectPublish,
                // It loses what is too much, or one slow client could hold up all publishers.
                Owner::Session(_) | Owner::Link(_) => Overflow::DropNew,
            }),
            message_ttl_ms: smaller(own.message_ttl_ms, said.message_ttl_ms),
            expires_ms: match owner {
                // It goes with its session, which knows when.
                Owner::Session(_) => own.expires_ms,
                Owner::Nobody | Owner::Link(_) => smaller(own.expires_ms, said.expires_ms),
            },
            dead_letters: dead_letter.map(|to| Arc::new(DeadLetters { queue: options.name.clone(), to })),
            delivery_limit,
            durability: smaller(own.durability, said.durability),
            policy: policy.map(|policy| policy.name.clone()),
        }
    }
}

impl Terms {
    /// What is asked for each message, in one byte: [`overflow`], [`durability`], [`expires`].
    pub(crate) fn gist(&self) -> u8 {
        let overflow = match self.overflow {
            Overflow::DropHead => 0,
            Overflow::RejectPublish => 1,
            Overflow::RejectPublishDlx => 2,
            Overflow::DropNew => 3,
        };
        let durability = match self.durability {
            None => 0,
            Some(Durability::Memory) => 1,
            Some(Durability::Os) => 2,
            Some(Durability::Disk) => 3,
        };
        overflow | durability << 2 | u8::from(self.expires_ms.is_some()) << 4
    }
}

/// What happens to a message that is one too many.
pub(crate) const fn overflow(gist: u8) -> Overflow {
    match gist & 0b11 {
        0 => Overflow::DropHead,
        1 => Overflow::RejectPublish,
        2 => Overflow::RejectPublishDlx,
        _ => Overflow::DropNew,
    }
}

/// What messages outlive, at most.
pub(crate) const fn durability(gist: u8) -> Option<Durability> {
    match gist >> 2 & 0b11 {
        0 => None,
        1 => Some(Durability::Memory),
        2 => Some(Durability::Os),
        _ => Some(Durability::Disk),
    }
}

/// Whether the queue goes when nobody uses it.
pub(crate) const fn expires(gist: u8) -> bool {
    gist >> 4 & 1 == 1
}

/// What a policy says that means something for a stream: it is read, and lets go of what is oldest.
fn on_stream(said: &PolicyDefinition) -> PolicyDefinition {
    let PolicyDefinition { ready_max, ready_bytes_max, age_max_ms, durability, .. } = *said;
    PolicyDefinition { ready_max, ready_bytes_max, age_max_ms, durability, ..PolicyDefinition::default() }
}

/// Of two that are said the smaller one.
fn smaller<T: Ord>(own: Option<T>, said: Option<T>) -> Option<T> {
    match (own, said) {
        (Some(own), Some(said)) => Some(own.min(said)),
        (own, said) => own.or(said),
    }
}

/// Exchange and key may come from two places, as in RabbitMQ; a key alone leads nowhere.
fn dead_letter(own: Option<&DeadLetter>, said: &PolicyDefinition) -> Option<DeadLetter> {
    let exchange = own.map(|own| &own.exchange).or(said.dead_letter_exchange.as_ref())?.clone();
    let key = own.and_then(|own| own.key.clone()).or_else(|| {
        let key = RoutingKey::from(&**said.dead_letter_key.as_ref()?);
        // The keys of the default exchange are names of queues, whose dots are plain dots.
        Some(if exchange == ExchangeName::DEFAULT { key } else { key.dotted() })
    });
    Some(DeadLetter { exchange, key })
}

#[cfg(test)]
mod tests {
    use model::name::{ClientId, QueueName};
    use model::policy::AppliesTo;

    use super::*;

    const USUAL: Usual =
        Usual { ready_max: Some(1000), ready_bytes_max: Some(5000), delivery_limit: Some(20) };

    #[test]
    fn the_smaller_limit_holds_and_what_is_usual_counts_for_nothing() {
        for (own, said, expected) in [
            (1000, None, 1000),
            (7, None, 7),
            (7, Some(5), 5),
            (7, Some(9), 7),
            (1000, Some(9), 9),
            (1000, Some(9000), 9000),
            (2000, Some(9000), 2000),
        ] {
            let options = QueueOptions { ready_max: Some(own), ..options() };
            let terms = terms(&options, &Owner::Nobody, PolicyDefinition { ready_max: said, ..silent() });
            assert_eq!(terms.ready_max, Some(expected), "{own} {said:?}");
            assert_eq!(terms.ready_bytes_max, Some(5000));
        }
        let own = options().with(|own| {
            own.message_ttl_ms = Some(70);
            own.delivery_limit = Some(3);
            own.durability = Some(Durability::Os);
        });
        let said = PolicyDefinition {
            message_ttl_ms: Some(50),
            delivery_limit: Some(5),
            durability: Some(Durability::Disk),
            expires_ms: Some(9),
            ..silent()
        };
        let terms = terms(&own, &Owner::Nobody, said);
        assert_eq!((terms.message_ttl_ms, terms.expires_ms), (Some(50), Some(9)));
        assert_eq!((terms.delivery_limit, terms.durability), (Some(3), Some(Durability::Os)));
    }

    #[test]
    fn entries_of_a_stream_stay_for_the_shorter_time_and_those_of_other_queues_go_by_no_age() {
        for (own, said, stream, expected) in [
            (Some(7000), Some(5000), true, Some(5000)),
            (Some(5000), Some(7000), true, Some(5000)),
            (Some(5000), None, true, Some(5000)),
            (None, Some(7000), true, Some(7000)),
            (None, Some(7000), false, None),
        ] {
            let options =
                options().with(|arguments| (arguments.age_max_ms, arguments.stream) = (own, stream));
            let said = PolicyDefinition { age_max_ms: said, ..silent() };
            assert_eq!(terms(&options, &Owner::Nobody, said).age_max_ms, expected, "{own:?}");
        }
    }

    #[test]
    fn what_happens_with_one_too_many_is_the_queues_own_word_then_the_policys_then_rabbitmqs() {
        let session = Owner::Session(ClientId::new("c"));
        let (limit, refusing) = (Some(5), Some(Overflow::RejectPublish));
        for (owner, own, limit, said, expected) in [
            (&Owner::Nobody, None, None, None, Overflow::RejectPublish),
            (&Owner::Nobody, None, limit, None, Overflow::DropHead),
            (&Owner::Nobody, None, limit, refusing, Overflow::RejectPublish),
            (&Owner::Nobody, Some(Overflow::DropHead), limit, refusing, Overflow::DropHead),
            (&session, None, None, None, Overflow::DropNew),
            (&session, None, limit, None, Overflow::DropHead),
        ] {
            let options = options().with(|arguments| arguments.overflow = own);
            let said = PolicyDefinition { ready_max: limit, overflow: said, ..silent() };
            assert_eq!(terms(&options, owner, said).overflow, expected, "{owner:?} {own:?}");
        }
    }

    #[test]
    fn exchange_and_key_of_dead_letters_may_come_from_two_places() {
        let own = |exchange: &str, key: Option<&str>| DeadLetter {
            exchange: ExchangeName::new(exchange),
            key: key.map(RoutingKey::from),
        };
        for (declared, exchange, key, expected) in [
            (None, Some("x"), None, Some(own("x", None))),
            (None, Some("x"), Some("a.b"), Some(own("x", Some("a/b")))),
            (None, Some(""), Some("a.b"), Some(own("", Some("a.b")))),
            (None, None, Some("a.b"), None),
            (Some(own("y", None)), Some("x"), Some("k"), Some(own("y", Some("k")))),
            (Some(own("y", Some("j"))), Some("x"), Some("k"), Some(own("y", Some("j")))),
        ] {
            let options = options().with(|arguments| arguments.dead_letter = declared.clone());
            let said = PolicyDefinition {
                dead_letter_exchange: exchange.map(ExchangeName::new),
                dead_letter_key: key.map(Into::into),
                ..silent()
            };
            let terms = terms(&options, &Owner::Nobody, said);
            assert_eq!(terms.dead_letters.map(|letters| letters.to.clone()), expected, "{declared:?}");
            assert_eq!(terms.delivery_limit, expected.map(|_| 20), "only where it goes somewhere");
        }
    }

    #[test]
    fn what_is_asked_for_each_message_is_as_it_was_said() {
        let overflows =
            [Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDlx, Overflow::DropNew];
        let levels = [None, Some(Durability::Memory), Some(Durability::Os), Some(Durability::Disk)];
        for (own, level) in overflows.into_iter().flat_map(|one| levels.map(|level| (one, level))) {
            for expires_ms in [None, Some(1)] {
                let said =
                    PolicyDefinition { overflow: Some(own), durability: level, expires_ms, ..silent() };
                let gist = terms(&options(), &Owner::Nobody, said).gist();
                assert_eq!((overflow(gist), durability(gist)), (own, level));
                assert_eq!(expires(gist), expires_ms.is_some());
            }
        }
    }

    #[test]
    fn a_session_knows_itself_how_long_its_queue_stays() {
        let said = PolicyDefinition { expires_ms: Some(9), ..silent() };
        let session = Owner::Session(ClientId::new("c"));
        assert_eq!(terms(&options(), &session, said).expires_ms, None);
    }

    fn terms(options: &QueueOptions, owner: &Owner, definition: PolicyDefinition) -> Terms {
        let (name, pattern) = (PolicyName::new("p"), "".into());
        let policy = Policy { name, pattern, applies_to: AppliesTo::All, priority: 0, definition };
        Terms::new(options, owner, Some(&policy), USUAL)
    }

    fn silent() -> PolicyDefinition {
        PolicyDefinition::default()
    }

    fn options() -> QueueOptions {
        let name = QueueName::new("q");
        let (ready_max, ready_bytes_max) = (USUAL.ready_max, USUAL.ready_bytes_max);
        QueueOptions {
            name,
            durable: true,
            exclusive: false,
            auto_delete: false,
            ready_max,
            ready_bytes_max,
            arguments: None,
        }
    }
}
