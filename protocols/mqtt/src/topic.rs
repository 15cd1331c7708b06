//! Topic names and topic filters, checked once.

use bytestring::ByteString;
use model::key::Level;
use model::scan::has_any;

/// A topic name that may stand in PUBLISH: not empty, at most 65,535 bytes, no wildcard, no U+0000.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TopicName(ByteString);

impl TopicName {
    /// Reads a topic name (4.7).
    ///
    /// # Errors
    ///
    /// Names the statement that the text breaks.
    pub fn parse(text: ByteString) -> Result<Self, TopicError> {
        check_name(&text)?;
        Ok(Self(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, for passing on without a copy.
    pub const fn as_byte_string(&self) -> &ByteString {
        &self.0
    }

    /// The same text, given up.
    pub fn into_byte_string(self) -> ByteString {
        self.0
    }

    /// How many levels it has: one more than it has separators (4.7.1.1).
    pub fn level_count(&self) -> usize {
        level_count(&self.0)
    }
}

impl std::fmt::Debug for TopicName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// Why a text is no topic name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// A name has at least one character.
    #[error("[MQTT-4.7.3-1] the topic name is empty")]
    Empty,
    /// Wildcards are for filters.
    #[error("[MQTT-3.3.2-2] the topic name contains a wildcard")]
    Wildcard,
    /// U+0000 stands nowhere.
    #[error("[MQTT-4.7.3-2] the topic name contains U+0000")]
    Nul,
    /// The length has two bytes on the wire.
    #[error("[MQTT-4.7.3-3] the topic name is longer than 65,535 bytes")]
    TooLong,
}

/// Whether `text` may stand as a topic name, without making one of it.
///
/// # Errors
///
/// Names the statement that the text breaks.
pub fn check_name(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > usize::from(u16::MAX) {
        return Err(TopicError::TooLong);
    }
    let bytes = text.as_bytes();
    // Which of the three it is matters only when it is one of them. All three are ASCII, so none can be part of a longer
    // character.
    if !has_any(bytes, [0, b'+', b'#']) {
        return Ok(());
    }
    Err(if bytes.contains(&0) { TopicError::Nul } else { TopicError::Wildcard })
}

/// A topic filter, taken apart. `parse` is the only way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFilter<'a> {
    share: Option<&'a str>,
    levels: Vec<Level>,
}

impl<'a> TopicFilter<'a> {
    /// Reads a filter (4.7.1), a shared one too (4.8.2); the levels of the share are not counted.
    ///
    /// # Errors
    ///
    /// Names the statement that the text breaks, or that it has more than `levels_max` levels.
    pub fn parse(text: &'a str, levels_max: usize) -> Result<Self, FilterError> {
        let (share, rest) = match text.strip_prefix(SHARE) {
            Some("") => return Err(FilterError::Share),
            Some(shared) => match shared.strip_prefix('/').map(|shared| shared.split_once('/')) {
                Some(Some((name, rest)))
                    if !name.is_empty() && !name.contains(['+', '#']) && !rest.is_empty() =>
                {
                    (Some(name), rest)
                }
                Some(_) => return Err(FilterError::Share),
                // `$shared/x` is a topic of somebody else's.
                None => (None, text),
            },
            None => (None, text),
        };
        if rest.is_empty() {
            return Err(FilterError::Empty);
        }
        if level_count(rest) > levels_max {
            return Err(FilterError::TooManyLevels);
        }
        Ok(Self { share, levels: levels(rest)? })
    }

    /// The name of the share that subscribes, if one does.
    pub const fn share(&self) -> Option<&'a str> {
        self.share
    }

    /// Its levels, that of the share left out; at least one.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Its levels, given up.
    pub fn into_levels(self) -> Vec<Level> {
        self.levels
    }
}

fn levels(text: &str) -> Result<Vec<Level>, FilterError> {
    let mut levels = Vec::new();
    for level in text.split('/') {
        if matches!(levels.last(), Some(Level::Many)) {
            return Err(FilterError::LevelAfterHash);
        }
        levels.push(match level {
            "+" => Level::One,
            "#" => Level::Many,
            _ if level.contains(['+', '#']) => return Err(FilterError::MixedLevel),
            _ => Level::Literal(level.into()),
        });
    }
    Ok(levels)
}

fn level_count(text: &str) -> usize {
    text.bytes().map(|byte| usize::from(byte == b'/')).sum::<usize>() + 1
}

/// Why a text is no topic filter. A 5.0 client gets SUBACK 0x8F; nothing is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A filter has at least one character.
    #[error("[MQTT-4.7.3-1] the topic filter is empty")]
    Empty,
    /// `#` stands last or not at all.
    #[error("[MQTT-4.7.1-1] a level follows `#` in the topic filter")]
    LevelAfterHash,
    /// A wildcard has its level to itself.
    #[error("[MQTT-4.7.1-1], [MQTT-4.7.1-2] a wildcard shares its level in the topic filter")]
    MixedLevel,
    /// `$share/` is followed by a name without wildcards, `/` and a filter.
    #[error("[MQTT-4.8.2-1], [MQTT-4.8.2-2] a shared subscription is written $share/NAME/FILTER")]
    Share,
    /// A limit of ours.
    #[error("the topic filter has more levels than the broker allows")]
    TooManyLevels,
}

/// What a shared subscription's filter starts with (4.8.2).
pub const SHARE: &str = "$share";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_has_its_level_to_itself() {
        // [MQTT-4.7.1-1], [MQTT-4.7.1-2]
        for good in
            ["sport/+/player1", "+", "#", "+/tennis/#", "/finance", "/", "a//b", "\u{FEFF}a", "$SYS/#"]
        {
            check(good, Ok(None));
        }
        check("sport+", Err(FilterError::MixedLevel));
        check("sport/tennis#", Err(FilterError::MixedLevel));
        check("++", Err(FilterError::MixedLevel));
        check("sport/#/ranking", Err(FilterError::LevelAfterHash));
        check("#/#", Err(FilterError::LevelAfterHash));
        check("", Err(FilterError::Empty));
    }

    #[test]
    fn a_share_has_a_name_and_a_filter() {
        // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
        check("$share/g/a/#", Ok(Some("g")));
        check("$share/g//finance", Ok(Some("g")));
        check("$shared/g", Ok(None));
        for bad in ["$share", "$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/g#/a"] {
            check(bad, Err(FilterError::Share));
        }
        check("$share/g/a#", Err(FilterError::MixedLevel));
    }

    #[test]
    fn levels_are_counted_before_they_are_kept() {
        assert_eq!(TopicFilter::parse("a/b/c", 2), Err(FilterError::TooManyLevels));
        assert!(TopicFilter::parse("$share/g/a/b", 2).is_ok());
        assert!(TopicFilter::parse(&"/".repeat(65_534), 65_535).is_ok());
    }

    #[test]
    fn a_topic_name_has_no_wildcard_and_no_nul() {
        // [MQTT-4.7.0-1], [MQTT-4.7.3-1], [MQTT-4.7.3-2]
        let parse = |text: &str| TopicName::parse(text.into()).map(drop);
        assert_eq!(parse("a/b c/\u{FEFF}"), Ok(()));
        assert_eq!(parse(""), Err(TopicError::Empty));
        assert_eq!(parse("a/+"), Err(TopicError::Wildcard));
        assert_eq!(parse("a#"), Err(TopicError::Wildcard));
        assert_eq!(parse("a\0#"), Err(TopicError::Nul));
        for length in 1..40 {
            for (at, bad) in (0..length).flat_map(|at| ["+", "#", "\0"].map(|bad| (at, bad))) {
                let text = format!("{}{bad}{}", "x".repeat(at), "\u{7f}".repeat(length - at - 1));
                assert!(parse(&text).is_err(), "{text:?}");
            }
            assert_eq!(parse(&"*\u{1}\u{80}\"$,/\u{7f}ÿ".repeat(length)), Ok(()));
        }
        assert_eq!(parse(&"a".repeat(65_535)), Ok(()));
        assert_eq!(parse(&"a".repeat(65_536)), Err(TopicError::TooLong));
    }

    #[track_caller]
    fn check(text: &str, expected: Result<Option<&str>, FilterError>) {
        assert_eq!(TopicFilter::parse(text, 128).map(|filter| filter.share), expected, "{text}");
    }
}
