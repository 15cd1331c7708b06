//! Streams: from where on somebody reads one, and how long what is in it stays

use std::fmt;

use crate::time::WallMs;

/// From where on a stream is read. Offsets count up from 1 in each stream, and are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Start {
    /// The oldest that is still there.
    First,
    /// So many of the newest, at least 1, and then what comes.
    Last(u64),
    /// What comes from now on.
    #[default]
    Next,
    /// That one and those behind it; where it is there no more, the oldest that is.
    Offset(u64),
    /// What came in then or later.
    At(WallMs),
}

impl Start {
    /// The header, or the user property, that says it, and that each message read from a stream says its offset in.
    pub const HEADER: &str = "x-stream-offset";

    /// What may be said, for whoever said something else.
    pub const EXPECTED: &str = "first, last, next, last=COUNT, offset=NUMBER (or the number alone), or timestamp=TIME, in seconds \
                                since 1970 or as 2026-01-31T10:00:00Z";

    /// Reads it as RabbitMQ writes it (`first`, `last`, `next`, `offset=N`, `timestamp=SECONDS`); beyond that, `last=N`, a number
    /// alone, and a time as RFC 3339 writes it. `None`: it is none of these.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse::<u64>().ok()).flatten()
        };
        match text.split_once('=') {
            None => match text {
                "first" => Some(Self::First),
                "last" => Some(Self::Last(1)),
                "next" => Some(Self::Next),
                other => number(other).map(Self::Offset),
            },
            Some(("offset", value)) => number(value).map(Self::Offset),
            Some(("last", value)) => number(value).filter(|count| *count > 0).map(Self::Last),
            Some(("timestamp", value)) => match number(value) {
                Some(seconds) => seconds.checked_mul(1000).map(|ms| Self::At(WallMs(ms))),
                None => WallMs::parse(value).map(Self::At),
            },
            Some(_) => None,
        }
    }
}

impl fmt::Display for Start {
    /// As [`Self::parse`] reads it; a time to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("first"),
            Self::Last(1) => f.write_str("last"),
            Self::Last(count) => write!(f, "last={count}"),
            Self::Next => f.write_str("next"),
            Self::Offset(offset) => write!(f, "offset={offset}"),
            Self::At(at) => write!(f, "timestamp={at}"),
        }
    }
}

/// What may be said of how long entries stay, for whoever said something else.
pub const AGE_EXPECTED: &str = "a whole number with Y, M, D, h, m or s behind it, as 7D or 12h";

/// Reads how long entries stay as RabbitMQ writes it (`7D`), in milliseconds. A month has 30 days, a year has 365. `None`: it
/// is no such text, or nothing.
pub fn parse_age(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let digits = text.get(..text.len() - 1)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ms = digits.parse::<u64>().ok()?.checked_mul(seconds)?.checked_mul(1000)?;
    (ms > 0).then_some(ms)
}

/// As [`parse_age`] reads it, in the largest unit that says it; to the second.
pub fn age_text(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    // Months and years depend on which; days say the same.
    let plain = UNITS.into_iter().filter(|(name, _)| !matches!(name, 'Y' | 'M'));
    let fits = plain.into_iter().find(|(_, unit)| seconds > 0 && seconds.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{seconds}s"), |(name, unit)| format!("{}{name}", seconds / unit))
}

/// In seconds, the longest first.
const UNITS: [(char, u64); 6] =
    [('Y', 365 * 86_400), ('M', 30 * 86_400), ('D', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_reading_starts_is_read_as_it_is_written() {
        for (text, start) in [
            ("first", Start::First),
            ("last", Start::Last(1)),
            ("last=50", Start::Last(50)),
            ("next", Start::Next),
            ("offset=0", Start::Offset(0)),
            ("offset=18446744073709551615", Start::Offset(u64::MAX)),
            ("timestamp=2026-01-31T10:00:00Z", Start::At(WallMs(1_769_853_600_000))),
        ] {
            assert_eq!(Start::parse(text), Some(start), "{text}");
            assert_eq!(start.to_string(), text);
        }
        assert_eq!(Start::parse("17"), Some(Start::Offset(17)));
        assert_eq!(Start::parse("timestamp=1769853600"), Some(Start::At(WallMs(1_769_853_600_000))));
        for text in ["", "First", "last=0", "last=", "offset=-1", "offset=+1", "-50", "timestamp=yesterday"] {
            assert_eq!(Start::parse(text), None, "{text}");
        }
        assert_eq!(Start::parse("offset=18446744073709551616"), None);
        assert_eq!(Start::parse("timestamp=18446744073709551615"), None);
    }

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        for (text, seconds) in [("7D", 604_800), ("1h", 3600), ("90s", 90), ("2m", 120)] {
            assert_eq!(parse_age(text), Some(seconds * 1000), "{text}");
            assert_eq!(age_text(seconds * 1000), text);
        }
        assert_eq!((parse_age("1Y"), parse_age("1M")), (Some(31_536_000_000), Some(2_592_000_000)));
        for text in ["", "D", "7", "7d", "0D", "-1D", "1.5h", "7 D", "18446744073709551615Y", "1é"] {
            assert_eq!(parse_age(text), None, "{text}");
        }
    }
}
