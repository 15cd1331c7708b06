//! Wall-clock time, passed in.

use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970 (UTC). What must survive a restart is kept in these; timers within one life use
/// [`std::time::Instant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct WallMs(pub u64);

impl WallMs {
    /// The moment `after` this one; the end of time where that would overflow.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Reads a moment as RFC 3339 writes it, with `Z` or the distance from UTC behind it, to the millisecond: what is finer is
    /// left out. `None`: it is no such text, or before 1970.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = (text.get(..10)?, text.get(10..)?);
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let (clock, rest) = (rest.get(..8)?, rest.get(8..)?);
        let [year, month, day] = numbers(date, b'-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(clock, b':', [2, 2, 2])?;
        let (fraction, zone) = match rest.strip_prefix('.') {
            None => ("", rest),
            Some(rest) => rest.split_at(rest.find(|byte: char| !byte.is_ascii_digit())?),
        };
        if rest.starts_with('.') && fraction.is_empty() {
            return None;
        }
        let ms: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
        let days_of = |month: u64| match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if year < 1970 || !(1..=12).contains(&month) || !(1..=days_of(month)).contains(&day) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        // Years that begin in March end with the day that some of them have and others have not.
        let (from, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days =
            365 * from + from / 4 - from / 100 + from / 400 + (153 * months + 2) / 5 + day - 1 - 719_468;
        let at = Self((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms);
        match zone {
            "Z" | "z" => Some(at),
            _ => {
                let [hours, minutes] = numbers(zone.get(1..)?, b':', [2, 2])?;
                let distance = (hours * 60 + minutes) * 60_000;
                match (zone.starts_with('+'), zone.starts_with('-'), hours < 24 && minutes < 60) {
                    (true, _, true) => at.0.checked_sub(distance).map(Self),
                    (_, true, true) => at.0.checked_add(distance).map(Self),
                    _ => None,
                }
            }
        }
    }

    /// How long from `earlier` to this moment; zero where the clock was set back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for WallMs {
    /// To the second, as RFC 3339 writes it in UTC: `2026-01-31T10:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Years that begin in March end with the day that some of them have and others have not.
        let day = days + 719_468;
        let (era, day) = (day / 146_097, day % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let (hour, minute) = (second / 3600, second / 60 % 60);
        let year = era * 400 + year + next;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
    }
}

/// Numbers of so many digits each, parted by that byte.
fn numbers<const N: usize>(text: &str, separator: u8, digits: [usize; N]) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(char::from(separator));
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten()?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_others_write_it() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_769_853_600_123, "2026-01-31T10:00:00Z"),
            (1_772_323_199_999, "2026-02-28T23:59:59Z"),
            (1_772_323_200_000, "2026-03-01T00:00:00Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(WallMs(ms).to_string(), text);
            assert_eq!(WallMs::parse(text), Some(WallMs(ms / 1000 * 1000)));
        }
    }

    #[test]
    fn a_moment_is_read_with_its_distance_from_utc() {
        for (text, ms) in [
            ("2026-01-31T10:00:00.123Z", Some(1_769_853_600_123)),
            ("2026-01-31 11:00:00.1234567+01:00", Some(1_769_853_600_123)),
            ("2026-01-31t09:30:00.5-00:30", Some(1_769_853_600_500)),
            ("1970-01-01T00:00:00+00:01", None),
            ("1969-12-31T23:59:59Z", None),
            ("2025-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-31T24:00:00Z", None),
            ("2026-01-31T10:00:00", None),
            ("2026-01-31T10:00:00.Z", None),
            ("2026-01-31T10:00:00+1:00", None),
            ("2026-01-31", None),
            ("é026-01-31T10:00:00Z", None),
        ] {
            assert_eq!(WallMs::parse(text), ms.map(WallMs), "{text}");
        }
    }
}
