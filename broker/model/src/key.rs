//! RoutingKey, KeyPattern: one grammar for both doors.
//!
//! A key is a text of levels parted by `/`; a pattern is a list of levels of which each is literal, one, or many. MQTT
//! writes these as `a/+/#`, STOMP's destinations as `a.*.#`: the doors translate, inside there is only this.

use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;

/// The key a message is published with: an MQTT topic name, or what a STOMP destination names within its exchange.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoutingKey(ByteString);

impl RoutingKey {
    /// A key as read from a client, which has checked it. Sharing the read buffer is fine: see [`Self::detached`].
    pub const fn new(text: ByteString) -> Self {
        Self(text)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, for passing on without a copy.
    pub const fn as_byte_string(&self) -> &ByteString {
        &self.0
    }

    /// Its levels as text parts. The empty key shows one empty part, but has no level that a wildcard could stand for: see
    /// [`Self::is_empty`].
    pub fn levels(&self) -> std::str::Split<'_, char> {
        self.0.split('/')
    }

    /// Whether it has no level at all, which only an exchange's key can be: `#` matches it, `*` does not, as in RabbitMQ.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The broker's own keys start with `$`; a pattern that starts with a wildcard does not match them
    /// (MQTT 5.0, 4.7.2).
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }

    /// The key as RabbitMQ's users write it: `.` parts the levels, and the two characters change places. The default
    /// exchange's keys are names of queues, which are written as they are.
    #[must_use]
    pub fn dotted(&self) -> Self {
        if !self.0.contains(['.', '/']) {
            return self.clone();
        }
        let swap = |char| match char {
            '.' => '/',
            '/' => '.',
            other => other,
        };
        Self(self.0.chars().map(swap).collect::<String>().into())
    }

    /// A copy that does not hold on to the buffer it was read into.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(ByteString::from(self.as_str()))
    }
}

impl From<&str> for RoutingKey {
    fn from(text: &str) -> Self {
        Self(ByteString::from(text))
    }
}

impl fmt::Display for RoutingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoutingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// One level of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Exactly this level.
    Literal(Box<str>),
    /// Any one level: `+` in MQTT, `*` in STOMP.
    One,
    /// Any number of levels, none included: `#`. MQTT has it only at the end, STOMP anywhere.
    Many,
}

/// What a binding asks for. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyPattern(Arc<[Level]>);

impl KeyPattern {
    /// A pattern of these levels; no levels at all is kept as one empty level, and matches the empty key alone.
    pub fn new(mut levels: Vec<Level>) -> Self {
        if levels.is_empty() {
            levels.push(Level::Literal("".into()));
        }
        Self(levels.into())
    }

    /// The pattern that matches this key and no other.
    pub fn exact(key: &RoutingKey) -> Self {
        Self(key.levels().map(|level| Level::Literal(level.into())).collect())
    }

    /// Reads the form that RabbitMQ's users write: words parted by `.`, `*` for one, `#` for any number. As at the STOMP
    /// door, `.` and `/` change places.
    pub fn from_words(text: &str) -> Self {
        let level = |word: &str| match word {
            "*" => Level::One,
            "#" => Level::Many,
            word => Level::Literal(word.replace('/', ".").into()),
        };
        Self::new(text.split('.').map(level).collect())
    }

    /// It in that form.
    pub fn to_words(&self) -> String {
        let word = |level: &Level| match level {
            Level::One => "*".to_owned(),
            Level::Many => "#".to_owned(),
            Level::Literal(text) => text.replace('.', "/"),
        };
        self.0.iter().map(word).collect::<Vec<_>>().join(".")
    }

    /// Its levels.
    pub fn levels(&self) -> &[Level] {
        &self.0
    }

    /// Whether it has a wildcard at all.
    pub fn has_wildcard(&self) -> bool {
        self.0.iter().any(|level| !matches!(level, Level::Literal(_)))
    }

    /// The pattern as the key that an exchange without wildcards compares: there, `*` and `#` are characters like others.
    pub fn to_key(&self) -> RoutingKey {
        RoutingKey::new(ByteString::from(self.text("*")))
    }

    /// Whether `key` is one of those it asks for. The reference that every index must agree with: plain and slow.
    pub fn matches(&self, key: &RoutingKey) -> bool {
        let is_hidden = key.is_reserved() && !matches!(self.0.first(), Some(Level::Literal(_)));
        !is_hidden && self.takes(key)
    }

    /// The same, but that `$` is a character like others.
    pub fn takes(&self, key: &RoutingKey) -> bool {
        if key.is_empty() {
            return self.takes_nothing();
        }
        if let Some((last, before)) = self.0.split_last()
            && !before.contains(&Level::Many)
        {
            // Nearly every pattern: level by level, and nothing is allocated.
            let mut parts = key.levels();
            return before.iter().all(|level| parts.next().is_some_and(|part| level.takes(part)))
                && match last {
                    Level::Many => true,
                    Level::One | Level::Literal(_) => {
                        parts.next().is_some_and(|part| last.takes(part)) && parts.next().is_none()
                    }
                };
        }
        let key: Vec<&str> = key.levels().collect();
        // `reached[k]`: the pattern's levels so far can use up exactly the key's first k levels. No recursion: a hostile
        // pattern of thousands of `#` costs its length times the key's, not more.
        let mut reached = vec![false; key.len() + 1];
        reached[0] = true;
        for level in self.0.iter() {
            let mut next = vec![false; key.len() + 1];
            match level {
                Level::Many => {
                    let mut open = false;
                    for (now, then) in reached.iter().zip(&mut next) {
                        open |= *now;
                        *then = open;
                    }
                }
                Level::One | Level::Literal(_) => {
                    for ((now, then), part) in reached.iter().zip(next.iter_mut().skip(1)).zip(&key) {
                        *then = *now && level.takes(part);
                    }
                }
            }
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }

    /// Whether every key that `other` matches is one of ours. Only the levels are compared: of two patterns that say the same
    /// in different words, such as `+/#` and `#/+`, neither covers the other.
    pub fn covers(&self, other: &Self) -> bool {
        if other.is_empty() {
            return self.takes_nothing();
        }
        !self.is_blind_to(other)
            && self.compare(other, false, |ours, theirs| match (ours, theirs) {
                (Level::Literal(ours), Level::Literal(theirs)) => ours == theirs,
                (Level::One, Level::Literal(_) | Level::One) => true,
                (Level::Literal(_) | Level::One | Level::Many, _) => false,
            })
    }

    /// Whether some key is matched by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.is_blind_to(other)
            && !other.is_blind_to(self)
            && self.compare(other, true, |ours, theirs| match (ours, theirs) {
                (Level::Literal(ours), Level::Literal(theirs)) => ours == theirs,
                (Level::Literal(_) | Level::One | Level::Many, _) => true,
            })
    }

    /// Whether the empty key is the only one that it matches.
    fn is_empty(&self) -> bool {
        matches!(&*self.0, [Level::Literal(text)] if text.is_empty())
    }

    /// Whether it matches the empty key.
    fn takes_nothing(&self) -> bool {
        self.is_empty() || self.0.iter().all(|level| *level == Level::Many)
    }

    /// Whether `other` is for the broker's own keys, and we start with a wildcard, which does not match them.
    fn is_blind_to(&self, other: &Self) -> bool {
        let is_reserved = matches!(other.0.first(), Some(Level::Literal(text)) if text.starts_with('$'));
        is_reserved && !matches!(self.0.first(), Some(Level::Literal(_)))
    }

    /// Walks along both; our `#` takes any number of their levels, and `either`: theirs takes any number of ours as well.
    /// `same`: whether two levels of which neither is `#` that takes something go together.
    fn compare(&self, other: &Self, either: bool, same: impl Fn(&Level, &Level) -> bool) -> bool {
        // Row by row, as `matches` does it: no recursion.
        let (ours, theirs) = (&self.0, &other.0);
        let mut below = vec![false; theirs.len() + 1];
        for at in (0..=ours.len()).rev() {
            let mut row = vec![false; theirs.len() + 1];
            for there in (0..=theirs.len()).rev() {
                let theirs = theirs.get(there);
                let our = ours.get(at);
                let next = |row: &[bool], at: usize| row.get(at).copied().unwrap_or(false);
                let holds = match (our, theirs) {
                    (None, None) => true,
                    (Some(Level::Many), Some(_)) => next(&below, there) || next(&row, there + 1),
                    (Some(Level::Many), None) => next(&below, there),
                    (_, Some(Level::Many)) if either => {
                        next(&row, there + 1) || (our.is_some() && next(&below, there))
                    }
                    (Some(our), Some(their)) => {
                        !matches!(their, Level::Many) && same(our, their) && next(&below, there + 1)
                    }
                    (None, Some(_)) | (Some(_), None) => false,
                };
                if let Some(cell) = row.get_mut(there) {
                    *cell = holds;
                }
            }
            below = row;
        }
        below.first().copied().unwrap_or(false)
    }

    fn text(&self, one: &str) -> String {
        let parts: Vec<&str> = self
            .0
            .iter()
            .map(|level| match level {
                Level::Literal(text) => text,
                Level::One => one,
                Level::Many => "#",
            })
            .collect();
        parts.join("/")
    }
}

impl Level {
    fn takes(&self, part: &str) -> bool {
        match self {
            Self::Literal(text) => **text == *part,
            Self::One | Self::Many => true,
        }
    }
}

/// As MQTT writes it.
impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text("+"))
    }
}

impl fmt::Debug for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text("+"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_take_whole_levels() {
        // MQTT 5.0, 4.7.1
        check("sport/+", &["sport/tennis", "sport/"], &["sport", "sport/tennis/one"]);
        check("sport/#", &["sport", "sport/", "sport/tennis/one"], &["sports"]);
        check("+/+", &["/finance"], &["finance"]);
        check("#", &["a", "a/b", ""], &["$SYS/x"]);
        check("+", &["a"], &["", "a/"]);
        check("#/+", &["a", "/"], &[""]);
        check("#/#", &["a", ""], &[]);
        check("", &[""], &["a", "/"]);
        check("+/monitor/Clients", &["a/monitor/Clients"], &["$SYS/monitor/Clients"]);
        check("$SYS/#", &["$SYS/x"], &["a"]);
    }

    #[test]
    fn many_levels_may_stand_anywhere() {
        check("#/b/#", &["b", "a/b", "b/c", "a/b/b/c"], &["a", "a/c"]);
        check("a/#/+", &["a/b", "a/b/c"], &["a"]);
    }

    #[test]
    fn a_pattern_covers_what_asks_for_no_more() {
        let yes = [
            ("a", "a"),
            ("a/#", "a"),
            ("a/#", "a/b"),
            ("a/#", "a/+"),
            ("a/#", "a/#"),
            ("a/#", "a/b/#"),
            ("a/+", "a/b"),
            ("a/+", "a/+"),
            ("+", "a"),
            ("#", "a/b/c"),
            ("#", "+/#"),
            ("#/b", "a/b"),
            ("#/b", "#/a/b"),
            ("$x/#", "$x/a"),
            ("#", ""),
            ("", ""),
        ];
        for (ours, theirs) in yes {
            assert!(pattern(ours).covers(&pattern(theirs)), "{ours} covers {theirs}");
        }
        let no = [
            ("a", "b"),
            ("a", "+"),
            ("a", "#"),
            ("a/+", "a"),
            ("a/+", "a/#"),
            ("a/+", "a/b/c"),
            ("a/b/#", "a/#"),
            ("a/#", "#"),
            ("#", "$x/a"),
            ("+/a", "$x/a"),
            ("#", "$x/#"),
            ("+", ""),
            ("a", ""),
        ];
        for (ours, theirs) in no {
            assert!(!pattern(ours).covers(&pattern(theirs)), "{ours} does not cover {theirs}");
        }
    }

    #[test]
    fn patterns_overlap_where_one_key_is_of_both() {
        let yes = [
            ("a", "a"),
            ("a", "+"),
            ("a", "#"),
            ("a/+", "+/b"),
            ("a/#", "a"),
            ("a/#", "#"),
            ("a/#", "+/b/#"),
            ("#/b", "a/#"),
            ("$x/#", "$x/+"),
        ];
        let no = [
            ("a", "b"),
            ("a/b", "a/+/c"),
            ("a/#", "b/#"),
            ("a/+", "a"),
            ("#", "$x/a"),
            ("+/x", "$x/x"),
            ("#/a", "b"),
        ];
        for (wanted, pairs) in [(true, &yes[..]), (false, &no)] {
            for (one, two) in pairs {
                assert_eq!(pattern(one).overlaps(&pattern(two)), wanted, "{one} {two}");
                assert_eq!(pattern(two).overlaps(&pattern(one)), wanted, "{two} {one}");
            }
        }
    }

    fn pattern(text: &str) -> KeyPattern {
        let levels = text.split('/').map(|level| match level {
            "+" => Level::One,
            "#" => Level::Many,
            text => Level::Literal(text.into()),
        });
        KeyPattern::new(levels.collect())
    }

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let levels = pattern.split('/').map(|level| match level {
            "+" => Level::One,
            "#" => Level::Many,
            text => Level::Literal(text.into()),
        });
        let pattern = KeyPattern::new(levels.collect());
        for key in yes {
            assert!(pattern.matches(&RoutingKey::from(*key)), "{pattern} takes {key}");
        }
        for key in no {
            assert!(!pattern.matches(&RoutingKey::from(*key)), "{pattern} leaves {key}");
        }
    }

    #[test]
    fn words_are_parted_by_dots_as_in_rabbitmq() {
        for (key, yes, no) in [
            ("room.*", "room/1", "room/1/2"),
            ("room.#", "room/1/2", "rooms"),
            ("room.1", "room/1", "room.1"),
            ("a/b", "a.b", "a/b"),
            ("", "", "a"),
        ] {
            let pattern = KeyPattern::from_words(key);
            assert_eq!(pattern.to_words(), key);
            assert!(pattern.matches(&RoutingKey::from(yes)), "{key} takes {yes}");
            assert!(!pattern.matches(&RoutingKey::from(no)), "{key} leaves {no}");
        }
    }
}
