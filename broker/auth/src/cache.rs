//! Passwords that were right a while ago: a client that comes again need not wait for the hash again.

use std::collections::HashSet;

use crate::verifier::{Key, Verifier, mac};

/// Pairs of verifier and password that belong together, as tags that are worth nothing outside of this process. Bounded:
/// the older half is forgotten first.
pub(crate) struct Cache {
    young: HashSet<Key>,
    old: HashSet<Key>,
}

/// Makes tags.
pub(crate) struct Tagger(Key);

impl Tagger {
    /// With a key of its own.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut key = Key::default();
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }

    /// The tag of a pair. A user whose password changed has another verifier.
    pub(crate) fn tag(&self, verifier: &Verifier, password: &[u8]) -> Key {
        mac(&self.0, &[&verifier.stored_key, password])
    }
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self { young: HashSet::new(), old: HashSet::new() }
    }

    /// Whether it is there; then it stays for longer.
    pub(crate) fn knows(&mut self, tag: &Key) -> bool {
        let is_old = !self.young.contains(tag) && self.old.contains(tag);
        if is_old {
            self.remember(*tag);
        }
        is_old || self.young.contains(tag)
    }

    pub(crate) fn remember(&mut self, tag: Key) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(tag);
    }
}

/// Half of what is remembered at most.
const GENERATION_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_of_one_verifier_and_one_password() {
        let [one, two] = [Tagger::new().unwrap(), Tagger::new().unwrap()];
        let verifier = |password: &[u8]| Verifier::new(password, b"saltsalt", 4096);
        let (a, b) = (verifier(b"a"), verifier(b"b"));
        assert_eq!(one.tag(&a, b"x"), one.tag(&a, b"x"));
        assert_ne!(one.tag(&a, b"x"), one.tag(&a, b"y"));
        assert_ne!(one.tag(&a, b"x"), one.tag(&b, b"x"));
        assert_ne!(one.tag(&a, b"x"), two.tag(&a, b"x"));
    }

    #[test]
    fn what_is_used_stays_and_there_is_a_bound() {
        let tag = |number: usize| {
            let mut tag = Key::default();
            tag[..8].copy_from_slice(&number.to_be_bytes());
            tag
        };
        let mut cache = Cache::new();
        cache.remember(tag(usize::MAX));
        for number in 0..5 * GENERATION_MAX {
            cache.remember(tag(number));
            assert!(cache.knows(&tag(usize::MAX)), "{number}");
            assert!(cache.young.len() + cache.old.len() <= 2 * GENERATION_MAX);
        }
        assert!(!cache.knows(&tag(0)));
        assert!(cache.knows(&tag(5 * GENERATION_MAX - 1)));
    }
}
