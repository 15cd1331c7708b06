//! Levels: what a message outlives in each of its places, by its queue, its key and by itself

use std::cmp::Ordering;

use model::durability::Durability;
use model::key::{KeyPattern, Level, RoutingKey};
use model::message::Message;
use model::name::ExchangeName;
use model::properties::Properties;
use model::qos::Qos;
use routing::{Owner, Queue, Route};

/// What holds where nobody says otherwise, and what holds for some keys.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    usual: Durability,
    /// The most specific one first.
    rules: Vec<LevelRule>,
}

/// What holds for messages with some keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelRule {
    /// Published to this exchange.
    pub exchange: ExchangeName,
    /// With keys like these.
    pub pattern: KeyPattern,
    /// They outlive that, at most.
    pub level: Durability,
}

impl Levels {
    /// `usual` holds where neither queue nor rule says anything. Of the rules that match a key the most specific one holds, in
    /// whatever order they are given: at the first level in which two differ, a word is before `+`, and that before `#`.
    pub fn new(usual: Durability, mut rules: Vec<LevelRule>) -> Self {
        rules.sort_by(|a, b| specificity(&a.pattern, &b.pattern));
        Self { usual, rules }
    }

    /// What holds where nobody says otherwise.
    pub const fn usual(&self) -> Durability {
        self.usual
    }

    /// How many rules there are.
    pub const fn rules(&self) -> usize {
        self.rules.len()
    }

    fn rule(&self, exchange: &ExchangeName, key: &RoutingKey) -> Option<Durability> {
        let matches = |rule: &&LevelRule| rule.exchange == *exchange && rule.pattern.matches(key);
        self.rules.iter().find(matches).map(|rule| rule.level)
    }
}

/// What is said of one message, wherever it gets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    usual: Durability,
    rule: Option<Durability>,
    own: Durability,
}

impl Wanted {
    pub(crate) fn new(
        levels: &Levels,
        exchange: &ExchangeName,
        key: &RoutingKey,
        properties: Option<&Properties>,
    ) -> Self {
        let said = properties.and_then(|properties| properties.header(Durability::HEADER));
        // The doors refuse what is no level; a hook may have put anything there.
        let own = said.and_then(|said| Durability::named(said)).unwrap_or(Durability::Disk);
        Self { usual: levels.usual, rule: levels.rule(exchange, key), own }
    }

    /// Of a message of which nobody says anything.
    pub(crate) fn usual(levels: &Levels) -> Self {
        Self { usual: levels.usual, ..Self::default() }
    }

    pub(crate) fn of(levels: &Levels, message: &Message) -> Self {
        Self::new(levels, &message.exchange, &message.key, message.properties.as_deref())
    }

    /// Of what is in no queue.
    pub(crate) fn alone(self) -> Durability {
        self.rule.unwrap_or(self.usual).min(self.own)
    }

    /// Of what is retained. It is written in any case, or an older one that was would come back in its place.
    pub(crate) fn retained(self) -> Durability {
        self.alone().max(Durability::Os)
    }

    /// Of a place in a queue that lasts: the lowest of what queue and rule, subscription and message say.
    fn at(self, queue: Option<Durability>, granted: Durability) -> Durability {
        let asked = match (queue, self.rule) {
            (Some(queue), Some(rule)) => queue.min(rule),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => self.usual,
        };
        asked.min(granted).min(self.own)
    }

    /// Of the place that such a message takes by that route; `None`: queue or message, or the QoS, is not to last. In a stream
    /// everything does: what somebody read at an offset must not be another message there after a restart.
    pub(crate) fn by(self, persistent: bool, qos: Qos, route: &Route) -> Option<Durability> {
        let (queue, qos) = (&route.queue, qos.min(route.grant.qos));
        let is_to_last = queue.is_stream() || (persistent && qos > Qos::AtMostOnce);
        if !is_to_last || !queue.options().durable {
            return None;
        }
        if qos == Qos::ExactlyOnce && matches!(queue.owner(), Owner::Session(_)) {
            // Its packet id must not come again for another message while the client still holds it: it would take that for
            // the same one, and drop it.
            return Some(Durability::Disk);
        }
        Some(self.at(queue.durability(), route.grant.durability))
    }

    /// Of a place in that queue, by a subscription with that grant, at QoS 1.
    pub(crate) fn in_queue(self, queue: &Queue, granted: Durability) -> Durability {
        if queue.options().durable { self.at(queue.durability(), granted) } else { Durability::Memory }
    }

    /// Whether anything of such a message is written for that place.
    pub(crate) fn is_written(self, persistent: bool, qos: Qos, route: &Route) -> bool {
        self.by(persistent, qos, route) > Some(Durability::Memory)
    }
}

/// Of two patterns that match one key, the more specific one is the lesser.
fn specificity(a: &KeyPattern, b: &KeyPattern) -> Ordering {
    let rank = |level: Option<&Level>| match level {
        // One that ends here names the key as a whole.
        Some(Level::Literal(_)) | None => 0,
        Some(Level::One) => 1,
        Some(Level::Many) => 2,
    };
    let (mut a, mut b) = (a.levels().iter(), b.levels().iter());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (one, other) if rank(one) != rank(other) => return rank(one).cmp(&rank(other)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Durability = Durability::Disk;
    const OS: Durability = Durability::Os;
    const MEMORY: Durability = Durability::Memory;

    #[test]
    fn of_rules_the_most_specific_one_holds_in_whatever_order_they_are_given() {
        let patterns = ["#", "a/#", "a/+", "a/b", "a/+/c", "+/b/#", "a/b/#"];
        let level = |pattern: &str| if pattern.len().is_multiple_of(2) { MEMORY } else { OS };
        let expected = [
            ("a/b", "a/b"),
            ("a/c", "a/+"),
            ("a/b/c", "a/b/#"),
            ("a/d/c", "a/+/c"),
            ("a", "a/#"),
            ("a/d/e", "a/#"),
            ("x/b/y", "+/b/#"),
            ("x", "#"),
        ];
        for turn in 0..patterns.len() {
            let mut turned = patterns;
            turned.rotate_left(turn);
            let rules = turned.map(|pattern| LevelRule {
                exchange: ExchangeName::TOPIC,
                pattern: parse(pattern),
                level: level(pattern),
            });
            let levels = Levels::new(DISK, rules.to_vec());
            for (key, pattern) in expected {
                let first = levels.rules.iter().find(|rule| rule.pattern.matches(&RoutingKey::from(key)));
                assert_eq!(first.map(|rule| &rule.pattern), Some(&parse(pattern)), "{key} turned by {turn}");
            }
        }
    }

    #[test]
    fn the_lowest_of_what_is_said_holds_and_the_usual_where_nobody_says_anything() {
        let wanted = |usual, rule, own| Wanted { usual, rule, own };
        for (wanted, queue, granted, expected) in [
            (wanted(DISK, None, DISK), None, DISK, DISK),
            (wanted(OS, None, DISK), None, DISK, OS),
            (wanted(OS, None, DISK), Some(DISK), DISK, DISK),
            (wanted(OS, Some(DISK), DISK), None, DISK, DISK),
            (wanted(DISK, Some(OS), DISK), Some(DISK), DISK, OS),
            (wanted(DISK, Some(OS), DISK), Some(MEMORY), DISK, MEMORY),
            (wanted(DISK, None, OS), None, DISK, OS),
            (wanted(MEMORY, None, DISK), None, DISK, MEMORY),
            (wanted(DISK, None, DISK), None, MEMORY, MEMORY),
            (wanted(DISK, None, MEMORY), Some(OS), OS, MEMORY),
        ] {
            assert_eq!(wanted.at(queue, granted), expected, "{wanted:?} {queue:?} {granted:?}");
        }
        assert_eq!(wanted(MEMORY, None, DISK).retained(), OS);
        assert_eq!(wanted(DISK, None, DISK).retained(), DISK);
    }

    fn parse(pattern: &str) -> KeyPattern {
        let level = |text: &str| match text {
            "+" => Level::One,
            "#" => Level::Many,
            word => Level::Literal(word.into()),
        };
        KeyPattern::new(pattern.split('/').map(level).collect())
    }
}
