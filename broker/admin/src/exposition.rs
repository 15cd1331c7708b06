//! Exposition: families of samples as Prometheus reads them (its text format, version 0.0.4)

use std::collections::BTreeMap;
use std::fmt::Write;

use telemetry::Snapshot;

/// Families by name, so that each stands in one piece, however its samples came.
#[derive(Debug, Default)]
pub(crate) struct Exposition(BTreeMap<String, Family>);

#[derive(Debug)]
struct Family {
    kind: Kind,
    help: String,
    /// Whole lines.
    samples: String,
}

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Names of labels with their values; names are ours and need no escape.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Adds a number.
    pub(crate) fn number(&mut self, name: &str, kind: Kind, help: &str, labels: Labels<'_>, value: u64) {
        let family = self.family(name, kind, help);
        let _ = writeln!(family.samples, "{name}{} {value}", braced(labels));
    }

    /// Adds how values are spread. `per_unit`: how many make one of the unit of the family, such as a million
    /// microseconds a second.
    pub(crate) fn spread(&mut self, name: &str, help: &str, spread: &Snapshot, per_unit: f64) {
        let family = self.family(name, Kind::Histogram, help);
        let mut buckets = spread.buckets().peekable();
        let mut seen = 0;
        for power in POWERS {
            // One below a power of two: there our own buckets end as well.
            let bound = (1_u64 << power) - 1;
            while let Some((_, count)) = buckets.next_if(|(upper, _)| *upper <= bound) {
                seen += count;
            }
            let _ = writeln!(family.samples, "{name}_bucket{{le=\"{}\"}} {seen}", bound as f64 / per_unit);
        }
        let count = spread.count;
        let _ = writeln!(family.samples, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(family.samples, "{name}_sum {}", spread.sum as f64 / per_unit);
        let _ = writeln!(family.samples, "{name}_count {count}");
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, Family { kind, help, samples }) in &self.0 {
            let _ = writeln!(text, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"));
            let _ = writeln!(text, "# TYPE {name} {}", kind.word());
            text.push_str(samples);
        }
        text
    }

    fn family(&mut self, name: &str, kind: Kind, help: &str) -> &mut Family {
        self.0.entry(name.to_owned()).or_insert_with(|| Family {
            kind,
            help: help.to_owned(),
            samples: String::new(),
        })
    }
}

fn braced(labels: Labels<'_>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Where buckets end: at 15, 31, … to four million: of microseconds, that is four seconds.
const POWERS: std::ops::RangeInclusive<u32> = 4..=22;

#[cfg(test)]
mod tests {
    use telemetry::Histogram;

    use super::*;

    #[test]
    fn a_family_stands_in_one_piece_and_what_others_chose_is_escaped() {
        let mut page = Exposition::default();
        page.number("b", Kind::Counter, "B \\ and\nmore.", &[("queue", "a\\b\"c\nd")], 1);
        page.number("a", Kind::Gauge, "A.", &[], 2);
        page.number("b", Kind::Counter, "", &[("queue", "x"), ("vhost", "/")], 3);
        let expected = concat!(
            "# HELP a A.\n# TYPE a gauge\na 2\n",
            "# HELP b B \\\\ and\\nmore.\n# TYPE b counter\n",
            "b{queue=\"a\\\\b\\\"c\\nd\"} 1\nb{queue=\"x\",vhost=\"/\"} 3\n"
        );
        assert_eq!(page.text(), expected);
    }

    #[test]
    fn buckets_add_up_and_their_ends_are_exact() {
        let histogram = Histogram::default();
        for value in [0, 15, 16, 31, 32, 1 << 21, (1 << 22) - 1, 1 << 22, u64::from(u32::MAX)] {
            histogram.record(value);
        }
        let mut page = Exposition::default();
        page.spread("t", "T.", &histogram.snapshot(), 1.0);
        let text = page.text();
        for line in [
            "t_bucket{le=\"15\"} 2",
            "t_bucket{le=\"31\"} 4",
            "t_bucket{le=\"63\"} 5",
            "t_bucket{le=\"2097151\"} 5",
            "t_bucket{le=\"4194303\"} 7",
            "t_bucket{le=\"+Inf\"} 9",
            "t_count 9",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
    }
}
