//! The last message per key.

pub(crate) mod levels;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytestring::ByteString;

use model::author::Author;
use model::key::{KeyPattern, Level, RoutingKey};
use model::message::Message;
use model::time::WallMs;

use crate::retained::levels::Levels;

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
    by_key: BTreeMap<ByteString, Held>,
    bytes: u64,
    levels: Levels,
    /// How many were ever kept.
    count: u64,
    /// Those that expire, the first of them first.
    ends: BTreeSet<(WallMs, ByteString)>,
}

/// A message that is kept, with whose it is.
#[derive(Debug, Clone)]
pub struct Held {
    /// The message.
    pub message: Arc<Message>,
    /// Who had it kept; `None`: the broker itself, or nobody knows.
    pub author: Option<Arc<Author>>,
    /// The how-manyeth it was to be kept.
    count: u64,
}

/// How far somebody has come who goes through the messages that were kept when he began.
///
/// He goes by the order of the keys, a [`Portion`] at a time, and holds nothing meanwhile: whatever is replaced or
/// forgotten before he has come to it he does not meet, and what is kept later neither.
#[derive(Debug)]
pub struct Walk {
    pattern: KeyPattern,
    /// How many had ever been kept when it began.
    count: u64,
    /// All keys before this text are behind him; `None`: all there are.
    next: Option<String>,
}

impl Walk {
    /// Whether there is nothing more.
    pub const fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// All keys before this text are behind him; `None`: all there are.
    pub(crate) fn next_key(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Goes back to that key, which is met again.
    pub fn return_to(&mut self, key: &RoutingKey) {
        self.next = Some(key.as_str().to_owned());
    }
}

/// How much of a walk is done at once; while it is done, what is left of that.
#[derive(Debug, Clone, Copy)]
pub struct Portion {
    messages: usize,
    bytes: u64,
    keys: usize,
    is_begun: bool,
}

impl Portion {
    /// So many messages, and bytes of them by [`Message::size_bytes`], of which the first one never has too many; and so
    /// many keys to look at, whether they match or not: whoever wants to retain something waits that long and no longer.
    pub const fn new(messages: usize, bytes: u64, keys: usize) -> Self {
        Self { messages, bytes, keys, is_begun: false }
    }

    /// Whether it allows no more.
    pub const fn is_used_up(&self) -> bool {
        self.messages == 0 || self.keys == 0
    }

    fn take(&mut self, message: &Message) -> bool {
        let bytes = message.size_bytes() as u64;
        if self.messages == 0 || (self.is_begun && bytes > self.bytes) {
            self.messages = 0;
            return false;
        }
        self.is_begun = true;
        self.messages -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

impl Retained {
    /// Keeps a message as the last one of its key, with whose it is; returns the one before.
    pub fn set(&self, message: Arc<Message>, author: Option<Arc<Author>>) -> Option<Arc<Message>> {
        let mut kept = self.write();
        kept.bytes += message.size_bytes() as u64;
        kept.count += 1;
        // The old key's text goes with the old message, so that neither holds on to the other's buffer.
        let old = kept.take(&message.key);
        if old.is_none() {
            kept.levels.add(message.key.as_str());
        }
        if let Some(end) = message.expires_at {
            kept.ends.insert((end, message.key.as_byte_string().clone()));
        }
        let held = Held { count: kept.count, message, author };
        kept.by_key.insert(held.message.key.as_byte_string().clone(), held);
        old
    }

    /// Keeps nothing for that key any more; returns what was kept.
    pub fn remove(&self, key: &RoutingKey) -> Option<Arc<Message>> {
        let mut kept = self.write();
        let old = kept.take(key)?;
        kept.levels.remove(key.as_str());
        Some(old)
    }

    /// Begins to go through what is kept now and has such a key.
    pub fn walk(&self, pattern: &KeyPattern) -> Walk {
        let kept = self.read();
        let next = kept.levels.may_match(pattern).then(String::new);
        Walk { pattern: pattern.clone(), count: kept.count, next }
    }

    /// Goes on, and adds what it meets in the order of the keys, but for what has expired. It may be nothing, and the walk
    /// not done: the keys of a portion are few, and those that match may be far between.
    pub fn go_on(&self, walk: &mut Walk, now: WallMs, portion: &mut Portion, out: &mut Vec<Held>) {
        let kept = self.read();
        while let Some(next) = walk.next.take() {
            walk.next = kept.go_on(walk, next, now, portion, out);
            if portion.is_used_up() {
                return;
            }
        }
    }

    /// Goes on to what the walk meets next and stays there; `false`: it is not among so many keys, or there is none.
    pub fn skip(&self, walk: &mut Walk, now: WallMs, keys: usize) -> bool {
        let mut met = Vec::new();
        self.go_on(walk, now, &mut Portion::new(1, u64::MAX, keys), &mut met);
        let Some(held) = met.pop() else { return false };
        walk.return_to(&held.message.key);
        true
    }

    /// What a walk would meet at that key, if it has not come there yet.
    pub fn ahead(&self, walk: &Walk, key: &RoutingKey, now: WallMs) -> Option<Held> {
        walk.next.as_deref().filter(|next| *next <= key.as_str())?;
        let kept = self.read();
        let held = kept.by_key.get(key.as_str()).filter(|held| held.count <= walk.count)?;
        let is_met = !held.message.is_expired(now) && walk.pattern.matches(key);
        is_met.then(|| held.clone())
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
            kept.levels.remove(&key);
            gone.extend(kept.take(&RoutingKey::new(key)));
        }
        gone
    }

    /// When the first one expires; `None`: none ever does.
    pub fn expires_first(&self) -> Option<WallMs> {
        self.read().ends.first().map(|(end, _)| *end)
    }

    /// How large the one for that key is, expired or not, by [`Message::size_bytes`]; `None`: there is none.
    pub fn size_of(&self, key: &RoutingKey) -> Option<usize> {
        self.read().by_key.get(key.as_str()).map(|held| held.message.size_bytes())
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
    /// Goes from key to key until a leap is worth it, and returns where the walk goes on then.
    fn go_on(
        &self,
        walk: &Walk,
        mut from: String,
        now: WallMs,
        portion: &mut Portion,
        out: &mut Vec<Held>,
    ) -> Option<String> {
        let mut near = 0;
        for (key, held) in self.by_key.range::<str, _>((Bound::Included(from.as_str()), Bound::Unbounded)) {
            if portion.keys == 0 {
                return Some(from.max(key.to_string()));
            }
            portion.keys -= 1;
            if **key < *from {
                // Mostly the place to leap to is only just ahead, and going there is cheaper than searching.
                near += 1;
                if near > NEAR_MAX {
                    return Some(from);
                }
                continue;
            }
            match judge(&walk.pattern, key, &mut from) {
                Verdict::Matches if held.count > walk.count || held.message.is_expired(now) => {}
                Verdict::Matches if !portion.take(&held.message) => return Some(key.to_string()),
                Verdict::Matches => out.push(held.clone()),
                Verdict::Differs => {}
                Verdict::Leaps => near = 0,
                Verdict::NoMore => return None,
            }
        }
        None
    }

    fn take(&mut self, key: &RoutingKey) -> Option<Arc<Message>> {
        let old = self.by_key.remove(key.as_str())?.message;
        self.bytes -= old.size_bytes() as u64;
        if let Some(end) = old.expires_at {
            self.ends.remove(&(end, old.key.as_byte_string().clone()));
        }
        Some(old)
    }
}

/// So many keys are gone by on the way to a place before it is searched for.
const NEAR_MAX: usize = 8;

/// What a pattern says of a key, and of those behind it.
enum Verdict {
    Matches,
    /// It does not match; the next one may.
    Differs,
    /// Neither it nor any other before the place that was written down matches.
    Leaps,
    /// It does not match, and no later one does.
    NoMore,
}

/// Judges a key, and writes down at `place` where to go on if that is not the next one.
fn judge(pattern: &KeyPattern, key: &ByteString, place: &mut String) -> Verdict {
    let levels = pattern.levels();
    if key.starts_with('$') && matches!(levels.first(), Some(Level::One | Level::Many)) {
        // The first text behind all that start with `$`.
        return leap(place, "", "%");
    }
    if key.is_empty() || matches!(levels, [inner @ .., _] if inner.contains(&Level::Many)) {
        // No MQTT topic or filter is like this, so it may look at every key.
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
            Some(Level::Literal(text)) => return seek(key, start, text, place),
            None if levels.is_empty() && start == 0 && part.is_empty() => {}
            None => return behind(key, start, place),
        }
        start += part.len() + 1;
    }
    match wanted.next() {
        None | Some(Level::Many) => Verdict::Matches,
        Some(Level::Literal(_) | Level::One) => Verdict::Differs,
    }
}

/// The level at `start` should read `text` and does not: where a key with the same levels before it could be.
fn seek(key: &str, start: usize, text: &str, place: &mut String) -> Verdict {
    let before = key.get(..start).unwrap_or_default();
    leap(place, before, text);
    match place.as_str().cmp(key) {
        Ordering::Greater => Verdict::Leaps,
        Ordering::Equal | Ordering::Less => {
            // Between `x` and `x/…` lie keys like `x!`.
            place.push('/');
            if place.as_str() > key { Verdict::Leaps } else { behind(key, start, place) }
        }
    }
}

/// Nothing more can match with the same levels before `start`.
fn behind(key: &str, start: usize, place: &mut String) -> Verdict {
    match start.checked_sub(1).and_then(|slash| key.get(..slash)) {
        // `0` is the character after `/`.
        Some(before) => leap(place, before, "0"),
        None => Verdict::NoMore,
    }
}

fn leap(place: &mut String, before: &str, text: &str) -> Verdict {
    place.clear();
    place.push_str(before);
    place.push_str(text);
    Verdict::Leaps
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
        assert!(retained.set(kept("a/b", None), None).is_none());
        let second = kept("a/b", None);
        assert!(retained.set(Arc::clone(&second), None).is_some());
        assert_eq!((retained.len(), retained.bytes()), (1, second.size_bytes() as u64));
        assert!(Arc::ptr_eq(&found(&retained, "a/+")[0].message, &second));
        assert!(retained.remove(&RoutingKey::from("a/b")).is_some());
        assert!(retained.remove(&RoutingKey::from("a/b")).is_none());
        assert_eq!((retained.is_empty(), retained.bytes()), (true, 0));
    }

    #[test]
    fn what_has_expired_is_not_sent() {
        let retained = Retained::default();
        retained.set(kept("a", Some(NOW)), None);
        retained.set(kept("b", Some(WallMs(NOW.0 + 1))), None);
        assert_eq!(texts(&found(&retained, "#")), ["b"]);
        assert_eq!(retained.expires_first(), Some(NOW));
        assert_eq!(keys_of(&retained.expire(NOW, 9)), ["a"]);
        assert_eq!(keys_of(&retained.expire(NOW, 9)), [""; 0]);
        // One that replaces it has an end of its own, or none.
        retained.set(kept("b", Some(WallMs(NOW.0 + 2))), None);
        retained.set(kept("c", Some(WallMs(NOW.0 + 1))), None);
        retained.set(kept("c", None), None);
        assert_eq!(retained.expires_first(), Some(WallMs(NOW.0 + 2)));
        assert_eq!(keys_of(&retained.expire(WallMs(NOW.0 + 9), 0)), [""; 0]);
        assert_eq!(keys_of(&retained.expire(WallMs(NOW.0 + 9), 1)), ["b"]);
        assert!(retained.remove(&RoutingKey::from("c")).is_some());
        assert_eq!(retained.expires_first(), None);
        assert_eq!((retained.len(), retained.bytes()), (0, 0));
    }

    #[test]
    fn a_walk_meets_what_was_kept_when_it_began() {
        let retained = Retained::default();
        for key in ["a", "b", "c", "d", "e"] {
            retained.set(kept(key, None), None);
        }
        let mut walk = retained.walk(&pattern("#"));
        let mut out = Vec::new();
        retained.go_on(&mut walk, NOW, &mut Portion::new(2, u64::MAX, 99), &mut out);
        // Replaced, forgotten and new meanwhile.
        retained.set(kept("c", None), None);
        retained.remove(&RoutingKey::from("d"));
        retained.set(kept("f", None), None);
        walk.return_to(&RoutingKey::from("b"));
        retained.go_on(&mut walk, NOW, &mut Portion::new(1, u64::MAX, 99), &mut out);
        assert!(!walk.is_done());
        retained.go_on(&mut walk, NOW, &mut Portion::new(9, u64::MAX, 99), &mut out);
        assert_eq!((texts(&out), walk.is_done()), (vec!["a", "b", "b", "e"], true));
    }

    #[test]
    fn a_portion_ends_by_messages_bytes_or_keys() {
        let retained = Retained::default();
        for key in ["a", "b", "c", "d", "e", "f"] {
            retained.set(kept(key, None), None);
        }
        let bytes = kept("a", None).size_bytes() as u64;
        let mut walk = retained.walk(&pattern("#"));
        for (portion, met) in [
            (Portion::new(1, u64::MAX, 99), vec!["a"]),
            // The first one is never too large, or it would be in the way for ever.
            (Portion::new(9, 0, 99), vec!["b"]),
            (Portion::new(9, 2 * bytes, 99), vec!["c", "d"]),
            (Portion::new(9, u64::MAX, 1), vec!["e"]),
            (Portion::new(9, u64::MAX, 0), vec![]),
            (Portion::new(9, u64::MAX, 99), vec!["f"]),
        ] {
            assert!(!walk.is_done());
            let (mut portion, mut out) = (portion, Vec::new());
            retained.go_on(&mut walk, NOW, &mut portion, &mut out);
            assert_eq!((texts(&out), portion.is_used_up()), (met.clone(), met != ["f"]));
        }
        assert!(walk.is_done());
    }

    #[test]
    fn keys_whose_levels_sort_below_a_slash_are_found() {
        let retained = Retained::default();
        for key in ["a", "a!", "a!/x", "a/x", "a/x!", "a/x/y", "a0", "$SYS/x", "", "/"] {
            retained.set(kept(key, None), None);
        }
        assert_eq!(texts(&found(&retained, "a/#")), ["a", "a/x", "a/x!", "a/x/y"]);
        assert_eq!(texts(&found(&retained, "+/x")), ["a!/x", "a/x"]);
        assert_eq!(texts(&found(&retained, "a/x")), ["a/x"]);
        assert_eq!(texts(&found(&retained, "+")), ["a", "a!", "a0"]);
        assert_eq!(texts(&found(&retained, "")), [""]);
        assert_eq!(texts(&found(&retained, "$SYS/#")), ["$SYS/x"]);
        assert_eq!(texts(&found(&retained, "+/+")), ["/", "a!/x", "a/x", "a/x!"]);
    }

    proptest! {
        #[test]
        fn a_pattern_finds_what_it_matches(
            keys in prop::collection::vec(keys(), 0..40),
            pattern in patterns(),
            steps in (1..9usize, 1..9usize),
        ) {
            let retained = Retained::default();
            for key in &keys {
                retained.set(kept(key.as_str(), None), None);
            }
            let mut expected: Vec<_> = keys.into_iter().filter(|key| pattern.matches(key)).collect();
            expected.sort();
            expected.dedup();
            // All at once, and in small portions.
            for (messages, keys) in [(usize::MAX, usize::MAX), steps] {
                let portion = Portion::new(messages, u64::MAX, keys);
                for found in [all(&retained, &pattern, portion), all_skipping(&retained, &pattern, portion)] {
                    let found: Vec<_> = found.iter().map(|held| held.message.key.clone()).collect();
                    prop_assert_eq!(&found, &expected);
                }
            }
        }
    }

    fn found(retained: &Retained, filter: &str) -> Vec<Held> {
        all(retained, &pattern(filter), Portion::new(usize::MAX, u64::MAX, usize::MAX))
    }

    fn all(retained: &Retained, pattern: &KeyPattern, portion: Portion) -> Vec<Held> {
        let (mut walk, mut out) = (retained.walk(pattern), Vec::new());
        while !walk.is_done() {
            retained.go_on(&mut walk, NOW, &mut portion.clone(), &mut out);
        }
        out
    }

    fn all_skipping(retained: &Retained, pattern: &KeyPattern, portion: Portion) -> Vec<Held> {
        let (mut walk, mut out) = (retained.walk(pattern), Vec::new());
        while !walk.is_done() {
            if retained.skip(&mut walk, NOW, 2) {
                let before = out.len();
                retained.go_on(&mut walk, NOW, &mut portion.clone(), &mut out);
                assert!(out.len() > before, "there was one");
            }
        }
        out
    }

    fn texts(found: &[Held]) -> Vec<&str> {
        found.iter().map(|held| held.message.key.as_str()).collect()
    }

    fn keys_of(gone: &[Arc<Message>]) -> Vec<&str> {
        gone.iter().map(|message| message.key.as_str()).collect()
    }

    fn kept(key: &str, expires_at: Option<WallMs>) -> Arc<Message> {
        Arc::new(Message { expires_at, ..message(key) })
    }
}
