//! The baseline: how many instructions each scenario took when that was last written down.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// What is written down.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// What it was built with, and for.
    pub(crate) built: String,
    /// Instructions for each time, by scenario.
    pub(crate) counts: BTreeMap<String, u64>,
}

/// How a count stands to the one that is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it was, or nearly.
    Same,
    /// So much less that it should be written down.
    Better,
    /// More than may be.
    Worse,
    /// Nothing is written down.
    Unknown,
}

/// By how much a count may differ, in percent of what is written down.
pub(crate) const TOLERANCE_PERCENT: u64 = 5;

impl Baseline {
    /// As the file has it.
    ///
    /// # Errors
    ///
    /// It cannot be read, or a line of it is none.
    pub(crate) fn read() -> Result<Self> {
        let path = path();
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Into the file.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(crate) fn write(&self) -> Result<()> {
        let path = path();
        std::fs::write(&path, self.text()).with_context(|| path.display().to_string())
    }

    /// What that count is worth.
    pub(crate) fn judge(&self, scenario: &str, count: u64) -> Verdict {
        let Some(known) = self.counts.get(scenario).copied() else { return Verdict::Unknown };
        let tolerated = known * TOLERANCE_PERCENT;
        if count * 100 > known * 100 + tolerated {
            Verdict::Worse
        } else if count * 100 + tolerated < known * 100 {
            Verdict::Better
        } else {
            Verdict::Same
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut baseline = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(built) = line.strip_prefix("# built: ") {
                built.clone_into(&mut baseline.built);
            } else if !line.starts_with('#') {
                let (name, count) = line.split_once(' ').with_context(|| format!("no count in {line:?}"))?;
                let count = count.trim().parse().with_context(|| format!("no number in {line:?}"))?;
                baseline.counts.insert(name.to_owned(), count);
            }
        }
        Ok(baseline)
    }

    fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        let _ = writeln!(text, "# built: {}", self.built);
        for (name, count) in &self.counts {
            let _ = writeln!(text, "{name:<16}{count:>8}");
        }
        text
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions/baseline.txt")
}

const HEAD: &str = "\
# Instructions of the hot path, for each message, delivery or client: `cargo run --release -p benches --bin instructions`
# compares with these, and with `-- --update` writes them. A commit that changes them says why.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        let counts = BTreeMap::from([("mqtt_qos0".to_owned(), 1234), ("connect".to_owned(), 56_789)]);
        let baseline = Baseline { built: "rustc 1.95.0, x86_64".to_owned(), counts };
        assert_eq!(Baseline::parse(&baseline.text())?, baseline);
        assert!(Baseline::parse("mqtt_qos0 many\n").is_err());
        Ok(())
    }

    #[test]
    fn more_than_five_in_a_hundred_is_worse() {
        let baseline = Baseline { counts: BTreeMap::from([("a".to_owned(), 1000)]), ..Baseline::default() };
        let cases = [
            ("a", 1050, Verdict::Same),
            ("a", 1051, Verdict::Worse),
            ("a", 950, Verdict::Same),
            ("a", 949, Verdict::Better),
            ("b", 1, Verdict::Unknown),
        ];
        for (name, count, expected) in cases {
            assert_eq!(baseline.judge(name, count), expected, "{name} {count}");
        }
    }
}
