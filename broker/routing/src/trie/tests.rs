//! The trie against the plain definition of a match.

use proptest::prelude::*;

use super::*;
use crate::testing::{keys, pattern, patterns};

proptest! {
    #[test]
    fn every_pattern_that_matches_is_found_once(
        patterns in prop::collection::vec(patterns(), 0..30),
        removed in prop::collection::vec(any::<bool>(), 30),
        keys in prop::collection::vec(keys(), 1..20),
    ) {
        let mut trie = Trie::default();
        for (value, pattern) in patterns.iter().enumerate() {
            prop_assert_eq!(trie.insert(pattern, value), None);
        }
        check(&trie, &keys, patterns.iter().enumerate())?;
        let (gone, kept): (Vec<_>, Vec<_>) = patterns.iter().enumerate().partition(|(value, _)| removed[*value]);
        for (value, pattern) in gone {
            prop_assert_eq!(trie.remove(pattern, &value), Some(value));
            prop_assert_eq!(trie.remove(pattern, &value), None);
        }
        check(&trie, &keys, kept.iter().copied())?;
        let mut all = Vec::new();
        trie.for_each(|value| all.push(*value));
        prop_assert_eq!(all.len(), kept.len());
        for (value, pattern) in kept {
            trie.remove(pattern, &value);
        }
        prop_assert!(trie.literals.is_empty());
        prop_assert_eq!((trie.inner_many, trie.free.len() + 1), (0, trie.nodes.len()));
        prop_assert!(trie.nodes[0].is_leaf());
    }
}

fn check<'p>(
    trie: &Trie<usize>,
    keys: &[RoutingKey],
    patterns: impl Iterator<Item = (usize, &'p KeyPattern)> + Clone,
) -> Result<(), TestCaseError> {
    for key in keys {
        let mut found = Vec::new();
        trie.for_each_match(key, |value| found.push(*value));
        found.sort_unstable();
        let matches = patterns.clone().filter(|(_, pattern)| pattern.matches(key));
        prop_assert_eq!(found, matches.map(|(value, _)| value).collect::<Vec<_>>(), "{}", key);
    }
    Ok(())
}

#[test]
fn the_longest_keys_need_no_stack() {
    let deep = vec!["a"; 65_535].join("/");
    let key = RoutingKey::from(deep.as_str());
    let mut trie = Trie::default();
    trie.insert(&KeyPattern::exact(&key), 1);
    trie.insert(&pattern("#"), 2);
    trie.insert(&pattern("#/a/#/a"), 3);
    trie.insert(&pattern(&deep.replace('a', "+")), 4);
    let mut found = Vec::new();
    trie.for_each_match(&key, |value| found.push(*value));
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4]);
    assert_eq!(trie.remove(&KeyPattern::exact(&key), &1), Some(1));
}

#[test]
fn a_pattern_of_many_hashes_costs_no_more_than_its_length() {
    let mut trie = Trie::default();
    trie.insert(&pattern(&["#/a"; 50].join("/")), 1);
    let key = RoutingKey::from(["a"; 200].join("/").as_str());
    let mut found = 0;
    trie.for_each_match(&key, |_| found += 1);
    assert_eq!(found, 1);
}

#[test]
fn no_levels_are_one_empty_level() {
    let mut trie = Trie::default();
    trie.insert(&KeyPattern::new(Vec::new()), 1);
    let mut found = 0;
    trie.for_each_match(&RoutingKey::from(""), |_| found += 1);
    assert_eq!(found, 1);
}

#[test]
fn the_empty_key_has_no_level_for_a_wildcard_of_one() {
    let mut trie = Trie::default();
    let patterns = ["", "+", "#", "#/#", "+/#", "#/+", "#/a", "/#", "a"];
    for (value, text) in patterns.into_iter().enumerate() {
        trie.insert(&pattern(text), value);
    }
    let mut found = Vec::new();
    trie.for_each_match(&RoutingKey::from(""), |value| found.push(patterns[*value]));
    found.sort_unstable();
    assert_eq!(found, ["", "#", "#/#"]);
    let reference = patterns.into_iter().filter(|text| pattern(text).matches(&RoutingKey::from("")));
    assert_eq!(reference.collect::<Vec<_>>(), ["", "#", "#/#"]);
}

#[test]
fn an_equal_value_is_replaced() {
    let mut trie = Trie::default();
    assert_eq!(trie.insert(&pattern("a/+"), 7), None);
    assert_eq!(trie.insert(&pattern("a/+"), 8), None);
    assert_eq!(trie.insert(&pattern("a/+"), 6), None);
    assert_eq!(trie.insert(&pattern("a/+"), 8), Some(8));
    let mut found = Vec::new();
    trie.for_each_match(&RoutingKey::from("a/b"), |value| found.push(*value));
    assert_eq!(found, [6, 7, 8]);
}
