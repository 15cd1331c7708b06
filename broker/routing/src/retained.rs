//! The last message per key.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytestring::ByteString;

use model::key::{KeyPattern, Level, RoutingKey};
use model::message::Message;
use model::time::WallMs;

/// The retained messages of one exchange (MQTT 5.0, 3.3.1.3).
///
/// They lie in the order of their keys' texts, where all below one level lie together: the order is the tree of levels,
/// without a node for each of the 65,535 levels that a key may have. A pattern leaps from one place where it can match to
/// the next.
#[derive(Default)]
pub struct Retained {
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    by_key: BTreeMap<ByteString, Arc<Message>>,
    bytes: u64,
    /// Those that expire, the first of them first.
    ends: BTreeSet<(WallMs, ByteString)>,
}

impl Retained {
    /// Keeps a message as the last one of its key; returns the one before.
    pub fn set(&self, message: Arc<Message>) -> Option<Arc<Message>> {
        let mut kept = self.write();
        kept.bytes += message.size_bytes() as u64;
        // The old key's text goes with the old message, so that neither holds on to the other's buffer.
        let old = kept.take(&message.key);
        if let Some(end) = message.expires_at {
            kept.ends.insert((end, message.key.as_byte_string().clone()));
        }
        kept.by_key.insert(message.key.as_byte_string().clone(), message);
        old
    }

    /// Keeps nothing for that key any more; returns what was kept.
    pub fn remove(&self, key: &RoutingKey) -> Option<Arc<Message>> {
        self.write().take(key)
    }

    /// Adds all messages whose keys match and whose time is not up, in the order of their keys.
    pub fn matching(&self, pattern: &KeyPattern, now: WallMs, out: &mut Vec<Arc<Message>>) {
        let kept = self.read();
        let mut from = Bound::Unbounded;
        'leaps: loop {
            for (key, message) in
                kept.by_key.range::<str, _>((from.as_ref().map(String::as_str), Bound::Unbounded))
            {
                match judge(pattern, key) {
                    Verdict::Matches if message.is_expired(now) => {}
                    Verdict::Matches => out.push(Arc::clone(message)),
                    Verdict::Differs => {}
                    Verdict::LeapTo(place) => {
                        from = Bound::Included(place);
                        continue 'leaps;
                    }
                    Verdict::NoMore => return,
                }
            }
            return;
        }
    }

    /// Forgets what has expired, the first of it first and no more than `max`, and returns it. Looks at nothing else.
    pub fn expire(&self, now: WallMs, max: usize) -> Vec<Arc<Message>> {
        let mut kept = self.write();
        let mut gone = Vec::new();
        while gone.len() < max
            && let Some((end, key)) = kept.ends.pop_first()
        {
            if end > now {
                kept.ends.insert((end, key));
                break;
            }
            gone.extend(kept.take(&RoutingKey::new(key)));
        }
        gone
    }

    /// When the first one expires; `None`: none ever does.
    pub fn expires_first(&self) -> Option<WallMs> {
        self.read().ends.first().map(|(end, _)| *end)
    }

    /// Whether there is one for that key, expired or not.
    pub fn contains(&self, key: &RoutingKey) -> bool {
        self.read().by_key.contains_key(key.as_str())
    }

    /// How many there are, expired ones among them.
    pub fn len(&self) -> usize {
        self.read().by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they hold, in bytes by [`Message::size_bytes`].
    pub fn bytes(&self) -> u64 {
        self.read().bytes
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn take(&mut self, key: &RoutingKey) -> Option<Arc<Message>> {
        let old = self.by_key.remove(key.as_str())?;
        self.bytes -= old.size_bytes() as u64;
        if let Some(end) = old.expires_at {
            self.ends.remove(&(end, old.key.as_byte_string().clone()));
        }
        Some(old)
    }
}

/// What a pattern says of a key, and of those behind it.
enum Verdict {
    Matches,
    /// It does not match; the next one may.
    Differs,
    /// Neither it nor any other before that text matches.
    LeapTo(String),
    /// It does not match, and no later one does.
    NoMore,
}

fn judge(pattern: &KeyPattern, key: &ByteString) -> Verdict {
    let levels = pattern.levels();
    if key.starts_with('$') && matches!(levels.first(), Some(Level::One | Level::Many)) {
        // The first text behind all that start with `$`.
        return Verdict::LeapTo("%".to_owned());
    }
    if let [inner @ .., _] = levels
        && inner.contains(&Level::Many)
    {
        // No MQTT filter is like this, so it may look at every key.
        let key = RoutingKey::new(key.clone());
        return if pattern.matches(&key) { Verdict::Matches } else { Verdict::Differs };
    }
    let mut wanted = levels.iter();
    // Where the current level starts in the text.
    let mut start = 0;
    for part in key.split('/') {
        match wanted.next() {
            Some(Level::Many) => return Verdict::Matches,
            Some(Level::One) => {}
            Some(Level::Literal(text)) if **text == *part => {}
            Some(Level::Literal(text)) => return leap(key, start, text),
            None if levels.is_empty() && start == 0 && part.is_empty() => {}
            None => return behind(key, start),
        }
        start += part.len() + 1;
    }
    match wanted.next() {
        None | Some(Level::Many) => Verdict::Matches,
        Some(Level::Literal(_) | Level::One) => Verdict::Differs,
    }
}

/// The level at `start` should read `text` and does not: where a key with the same levels before it could be.
fn leap(key: &str, start: usize, text: &str) -> Verdict {
    let before = key.get(..start).unwrap_or_default();
    let exact = format!("{before}{text}");
    match exact.as_str().cmp(key) {
        Ordering::Greater => Verdict::LeapTo(exact),
        Ordering::Equal | Ordering::Less => {
            // Between `x` and `x/…` lie keys like `x!`.
            let below = exact + "/";
            if below.as_str() > key { Verdict::LeapTo(below) } else { behind(key, start) }
        }
    }
}

/// Nothing more can match with the same levels before `start`.
fn behind(key: &str, start: usize) -> Verdict {
    match start.checked_sub(1).and_then(|slash| key.get(..slash)) {
        // `0` is the character after `/`.
        Some(before) => Verdict::LeapTo(format!("{before}0")),
        None => Verdict::NoMore,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{keys, message, pattern, patterns};

    const NOW: WallMs = WallMs(1_000);

    #[test]
    fn the_last_message_of_a_key_is_kept() {
        let retained = Retained::default();
        assert!(retained.set(kept("a/b", None)).is_none());
        let second = kept("a/b", None);
        assert!(retained.set(Arc::clone(&second)).is_some());
        assert_eq!((retained.len(), retained.bytes()), (1, second.size_bytes() as u64));
        assert!(Arc::ptr_eq(&found(&retained, "a/+")[0], &second));
        assert!(retained.remove(&RoutingKey::from("a/b")).is_some());
        assert!(retained.remove(&RoutingKey::from("a/b")).is_none());
        assert_eq!((retained.is_empty(), retained.bytes()), (true, 0));
    }

    #[test]
    fn what_has_expired_is_not_sent() {
        let retained = Retained::default();
        retained.set(kept("a", Some(NOW)));
        retained.set(kept("b", Some(WallMs(NOW.0 + 1))));
        assert_eq!(texts(&found(&retained, "#")), ["b"]);
        assert_eq!(retained.expires_first(), Some(NOW));
        assert_eq!(texts(&retained.expire(NOW, 9)), ["a"]);
        assert_eq!(texts(&retained.expire(NOW, 9)), [""; 0]);
        // One that replaces it has an end of its own, or none.
        retained.set(kept("b", Some(WallMs(NOW.0 + 2))));
        retained.set(kept("c", Some(WallMs(NOW.0 + 1))));
        retained.set(kept("c", None));
        assert_eq!(retained.expires_first(), Some(WallMs(NOW.0 + 2)));
        assert_eq!(texts(&retained.expire(WallMs(NOW.0 + 9), 0)), [""; 0]);
        assert_eq!(texts(&retained.expire(WallMs(NOW.0 + 9), 1)), ["b"]);
        assert!(retained.remove(&RoutingKey::from("c")).is_some());
        assert_eq!(retained.expires_first(), None);
        assert_eq!((retained.len(), retained.bytes()), (0, 0));
    }

    #[test]
    fn keys_whose_levels_sort_below_a_slash_are_found() {
        let retained = Retained::default();
        for key in ["a", "a!", "a!/x", "a/x", "a/x!", "a/x/y", "a0", "$SYS/x", "", "/"] {
            retained.set(kept(key, None));
        }
        assert_eq!(texts(&found(&retained, "a/#")), ["a", "a/x", "a/x!", "a/x/y"]);
        assert_eq!(texts(&found(&retained, "+/x")), ["a!/x", "a/x"]);
        assert_eq!(texts(&found(&retained, "a/x")), ["a/x"]);
        assert_eq!(texts(&found(&retained, "+")), ["", "a", "a!", "a0"]);
        assert_eq!(texts(&found(&retained, "$SYS/#")), ["$SYS/x"]);
        assert_eq!(texts(&found(&retained, "+/+")), ["/", "a!/x", "a/x", "a/x!"]);
    }

    proptest! {
        #[test]
        fn a_pattern_finds_what_it_matches(keys in prop::collection::vec(keys(), 0..40), pattern in patterns()) {
            let retained = Retained::default();
            for key in &keys {
                retained.set(kept(key.as_str(), None));
            }
            let mut expected: Vec<_> = keys.into_iter().filter(|key| pattern.matches(key)).collect();
            expected.sort();
            expected.dedup();
            let mut out = Vec::new();
            retained.matching(&pattern, NOW, &mut out);
            let out: Vec<_> = out.iter().map(|message| message.key.clone()).collect();
            prop_assert_eq!(out, expected);
        }
    }

    fn found(retained: &Retained, filter: &str) -> Vec<Arc<Message>> {
        let mut out = Vec::new();
        retained.matching(&pattern(filter), NOW, &mut out);
        out
    }

    fn texts(found: &[Arc<Message>]) -> Vec<&str> {
        found.iter().map(|message| message.key.as_str()).collect()
    }

    fn kept(key: &str, expires_at: Option<WallMs>) -> Arc<Message> {
        Arc::new(Message { expires_at, ..message(key) })
    }
}
