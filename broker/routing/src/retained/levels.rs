//! Which texts stand at which level of the kept keys: a pattern that names another one finds nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};

use model::key::{KeyPattern, Level};

/// How many keys have a text at a level, by a hash of both. Two that share a hash are taken for one: then it is looked
/// through the keys in vain, as it would be without this.
#[derive(Default)]
pub(crate) struct Levels {
    counts: HashMap<u64, u32>,
    hasher: RandomState,
}

impl Levels {
    /// There is such a key now, and was not before.
    pub(crate) fn add(&mut self, key: &str) {
        for (at, text) in key.split('/').take(LEVELS_MAX).enumerate() {
            *self.counts.entry(self.hasher.hash_one((at, text))).or_default() += 1;
        }
    }

    /// There is no such key any more.
    pub(crate) fn remove(&mut self, key: &str) {
        for (at, text) in key.split('/').take(LEVELS_MAX).enumerate() {
            if let Entry::Occupied(mut count) = self.counts.entry(self.hasher.hash_one((at, text))) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    /// Whether some key may match: for each level that the pattern names there is one that has it there.
    pub(crate) fn may_match(&self, pattern: &KeyPattern) -> bool {
        let certain = pattern.levels().iter().take_while(|level| !matches!(level, Level::Many));
        certain.take(LEVELS_MAX).enumerate().all(|(at, level)| match level {
            Level::Literal(text) => self.counts.contains_key(&self.hasher.hash_one((at, &**text))),
            Level::One | Level::Many => true,
        })
    }
}

/// Deeper levels are not counted: a key may have 65,535 of them.
const LEVELS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pattern;

    #[test]
    fn a_level_is_known_while_some_key_has_it() {
        let mut levels = Levels::default();
        for key in ["a/b", "a/c", "1/2/3/4/5/6/7/8/9"] {
            levels.add(key);
        }
        levels.remove("a/b");
        for (filter, may) in [
            ("a/c", true),
            ("+/c/#", true),
            ("a/b", false),
            ("+/b", false),
            ("c", false),
            ("+/+/#", true),
            ("a/#", true),
            ("b/#", false),
            // Not together, but that is more than is known.
            ("a/2", true),
            ("1/2/3/4/5/6/7/8/none", true),
            ("1/2/3/4/5/6/7/none", false),
        ] {
            assert_eq!(levels.may_match(&pattern(filter)), may, "{filter}");
        }
        levels.remove("a/c");
        levels.remove("1/2/3/4/5/6/7/8/9");
        assert!(levels.counts.is_empty());
    }
}
