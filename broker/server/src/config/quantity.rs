//! Sizes and durations, as people write them.

/// Bytes: `512B`, `64KiB`, `1MiB`, `1GiB`, `1TiB` by 1024; `kB`, `MB`, `GB`, `TB` by 1000.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let bytes = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(bytes)
}

/// The shortest exact way to write so many bytes.
pub(crate) fn write_size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes}B"), |(unit, name)| format!("{}{name}", bytes / unit))
}

/// Milliseconds: `500ms`, `30s`, `5m`, `12h`, `7d`. Without a unit it is nothing: nobody could know which was meant.
pub(crate) fn parse_duration(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if number == 0 => 1,
        _ => return None,
    };
    number.checked_mul(ms)
}

/// The shortest exact way to write so many milliseconds.
pub(crate) fn write_duration(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

/// How often, within how many milliseconds, and for how many milliseconds then: `10/1m -> 10m`.
pub(crate) fn parse_threshold(text: &str) -> Option<(u32, u64, u64)> {
    let (often, lasts) = text.split_once("->")?;
    let (count, within) = often.split_once('/')?;
    let count = count.trim().parse().ok().filter(|count| (1..=1_000_000).contains(count))?;
    let time = |text: &str| parse_duration(text.trim()).filter(|ms| (1_000..=YEAR_MS).contains(ms));
    Some((count, time(within)?, time(lasts)?))
}

const YEAR_MS: u64 = 366 * 86_400_000;

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.replace('_', "").parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_either_system_and_written_exactly() {
        for (text, bytes) in
            [("1MiB", 1 << 20), ("64 KiB", 1 << 16), ("1GB", 1_000_000_000), ("17", 17), ("0B", 0)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(parse_size(&write_size(bytes)), Some(bytes), "{text}");
        }
        assert_eq!(write_size(64 << 20), "64MiB");
        assert_eq!(write_size((64 << 20) + 1), "67108865B");
        for text in ["", "MiB", "1.5GiB", "-1", "1XB", "99999999999TiB", "1 000"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn a_threshold_names_a_number_a_time_and_another_time() {
        assert_eq!(parse_threshold("10/1m -> 10m"), Some((10, 60_000, 600_000)));
        assert_eq!(parse_threshold("1/1s->7d"), Some((1, 1_000, 604_800_000)));
        for text in ["", "10", "10/1m", "10/1m -> ", "0/1m -> 1m", "10/0s -> 1m", "-1/1m -> 1m", "10/1m -> 1"]
        {
            assert_eq!(parse_threshold(text), None, "{text}");
        }
    }

    #[test]
    fn durations_name_their_unit() {
        for (text, ms) in [("500ms", 500), ("7d", 604_800_000), ("30s", 30_000), ("5m", 300_000), ("0", 0)] {
            assert_eq!(parse_duration(text), Some(ms), "{text}");
            assert_eq!(parse_duration(&write_duration(ms)), Some(ms), "{text}");
        }
        assert_eq!(write_duration(90_000), "90s");
        for text in ["", "7", "d", "7 weeks", "-1s", "99999999999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
