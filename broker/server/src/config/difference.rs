//! Difference: which keys have other values in another configuration

use crate::config::settings::{Given, Item, Section};

/// The paths of those keys, in the order of the schema: `limits.retained`; of lists of tables only what they are called.
pub(crate) fn difference(before: &Section, now: &Section) -> Vec<String> {
    let mut found = Vec::new();
    compare(before, now, "", &mut found);
    found
}

fn compare(before: &Section, now: &Section, path: &str, found: &mut Vec<String>) {
    for ((name, one), (_, other)) in before.items().iter().zip(now.items()) {
        let path = format!("{path}{name}");
        match (one, other) {
            (Item::Section(one), Item::Section(other)) => compare(one, other, &format!("{path}."), found),
            _ if is_same(one, other) => {}
            _ => found.push(path),
        }
    }
}

fn is_same(one: &Item, other: &Item) -> bool {
    match (one, other) {
        (Item::Value(one), Item::Value(other)) => is_same_value(one, other),
        (Item::Section(one), Item::Section(other)) => is_same_table(one, other),
        (Item::Sections(one), Item::Sections(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same_table(one, other))
        }
        (Item::Named(one), Item::Named(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| one.0 == other.0 && is_same_table(&one.1, &other.1))
        }
        (Item::Names(one), Item::Names(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| one.0 == other.0 && is_same_value(&one.1, &other.1))
        }
        (Item::Value(_) | Item::Section(_) | Item::Sections(_) | Item::Named(_) | Item::Names(_), _) => false,
    }
}

fn is_same_table(one: &Section, other: &Section) -> bool {
    difference(one, other).is_empty()
}

/// Wherever it was given.
fn is_same_value(one: &Given, other: &Given) -> bool {
    one.setting == other.setting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::ServeArgs;
    use crate::config::{Config, Surroundings};

    #[test]
    fn what_is_the_same_is_no_difference_wherever_it_was_given() {
        let plain = settings("");
        assert_eq!(difference(&plain, &plain), [""; 0]);
        assert_eq!(difference(&plain, &settings("[limits]\nretained = 1000000\n")), [""; 0]);
        let other =
            settings("[limits]\nretained = 5\n[auth]\nanonymous = \"never\"\n[log]\nlevel = \"debug\"\n");
        assert_eq!(difference(&plain, &other), ["log.level", "auth.anonymous", "limits.retained"]);
        assert_eq!(difference(&other, &plain), ["log.level", "auth.anonymous", "limits.retained"]);
    }

    #[test]
    fn of_tables_it_is_said_that_they_differ() {
        let plain = settings("");
        let denied = |filter: &str| settings(&format!("[[access.deny]]\nfilter = \"{filter}\"\n"));
        assert_eq!(difference(&plain, &denied("a")), ["access.deny"]);
        assert_eq!(difference(&denied("a"), &denied("b")), ["access.deny"]);
        assert_eq!(difference(&denied("a"), &denied("a")), [""; 0]);
        let listener = settings("[[listener]]\nprotocol = \"mqtt\"\nbind = \"127.0.0.1:1\"\n");
        assert_eq!(difference(&plain, &listener), ["listener"]);
    }

    fn settings(text: &str) -> Section {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("duetmq.toml");
        std::fs::write(&file, text).unwrap();
        let arguments = ServeArgs { config: Some(file), ..ServeArgs::default() };
        Config::load(&arguments, &Surroundings::default()).unwrap().settings().clone()
    }
}
