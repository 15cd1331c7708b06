//! Prometheus: its text format (version 0.0.4), read as strictly as it is written down.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

/// A family, and all of its samples.
#[derive(Debug, Clone, Default)]
pub struct Family {
    /// What people are told of it.
    pub help: String,
    /// `counter`, `gauge`, `histogram`.
    pub kind: String,
    /// In their order.
    pub samples: Vec<Sample>,
}

/// Name, labels in order, and value.
pub type Sample = (String, Vec<(String, String)>, f64);

/// All families of a page, by name.
#[derive(Debug, Clone, Default)]
pub struct Page(pub BTreeMap<String, Family>);

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    ///
    /// The first line that is not as it has to be: every family has HELP, then TYPE, then its samples in one piece; no series is
    /// there twice; a counter ends in `_total`; the buckets of a histogram grow and end with `+Inf`, which is its count.
    pub fn parse(text: &str) -> Result<Self> {
        ensure!(text.ends_with('\n'), "the last line has no end");
        let mut page = Self::default();
        let (mut current, mut seen) = (String::new(), BTreeSet::new());
        for line in text.lines() {
            let told = || format!("in {line:?}");
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').with_context(told)?;
                ensure!(is_name(name) && !help.is_empty(), "{line:?}");
                let family = Family { help: help.to_owned(), ..Family::default() };
                ensure!(page.0.insert(name.to_owned(), family).is_none(), "a family twice: {line:?}");
                current = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').with_context(told)?;
                let family = page.0.get_mut(name).filter(|_| name == current).with_context(told)?;
                ensure!(family.kind.is_empty() && family.samples.is_empty(), "{line:?}");
                ensure!(["counter", "gauge", "histogram"].contains(&kind), "{line:?}");
                ensure!(kind != "counter" || name.ends_with("_total"), "{line:?}");
                family.kind = kind.to_owned();
            } else {
                let (name, labels, value) = sample(line).with_context(told)?;
                let family = page.0.get_mut(&current).with_context(told)?;
                let suffix = name.strip_prefix(&current).with_context(told)?;
                let suffixes: &[&str] =
                    if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                ensure!(suffixes.contains(&suffix) && !family.kind.is_empty(), "{line:?}");
                ensure!(family.kind != "counter" || value >= 0.0, "{line:?}");
                ensure!(seen.insert((name.clone(), labels.clone())), "a series twice: {line:?}");
                family.samples.push((name, labels, value));
            }
        }
        for (name, family) in &page.0 {
            ensure!(!family.samples.is_empty(), "{name} has no samples");
            if family.kind == "histogram" {
                check_histogram(name, family)?;
            }
        }
        Ok(page)
    }

    /// The value of the sample with these labels, whatever their order.
    pub fn value(&self, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut wanted: Vec<(String, String)> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        wanted.sort();
        let samples = &self.0.get(family)?.samples;
        samples.iter().find(|(_, labels, _)| *labels == wanted).map(|(_, _, value)| *value)
    }
}

fn check_histogram(name: &str, family: &Family) -> Result<()> {
    let (mut last, mut bound, mut count) = (0.0, f64::NEG_INFINITY, None);
    for (sample, labels, value) in &family.samples {
        if sample.ends_with("_bucket") {
            let [(label, le)] = labels.as_slice() else { bail!("{name}: a bucket with {labels:?}") };
            let le: f64 = le.replace("+Inf", "inf").parse()?;
            ensure!(label == "le" && le > bound && *value >= last, "{name}: {le} {value}");
            (bound, last) = (le, *value);
        } else if sample.ends_with("_count") {
            count = Some(*value);
        }
    }
    ensure!(bound == f64::INFINITY && count == Some(last), "{name}: {bound} {last} {count:?}");
    Ok(())
}

fn sample(line: &str) -> Result<Sample> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    ensure!(is_name(name), "no name: {name:?}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").context("no label")?;
            ensure!(is_name(label) && !label.contains(':') && !label.starts_with("__"), "{label:?}");
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after.strip_prefix('}').context("no end of the labels")?;
                    break;
                }
            }
        }
    }
    labels.sort();
    let names: BTreeSet<&String> = labels.iter().map(|(name, _)| name).collect();
    ensure!(names.len() == labels.len(), "a label twice");
    let value = rest.strip_prefix(' ').context("no value")?;
    ensure!(!value.is_empty() && !value.contains(' '), "{value:?}");
    Ok((name.to_owned(), labels, value.parse()?))
}

/// Up to the closing quote, and what comes behind it.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                other => bail!("an escape that is none: {other:?}"),
            },
            other => value.push(other),
        }
    }
    bail!("no closing quote")
}

fn is_name(text: &str) -> bool {
    let is_letter = |char: char| char.is_ascii_alphabetic() || char == '_' || char == ':';
    text.chars().next().is_some_and(is_letter)
        && text.chars().all(|char| is_letter(char) || char.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_it_has_to_be_is_refused() {
        let head = "# HELP a_total A.\n# TYPE a_total counter\n";
        for right in ["a_total 1\n", "a_total{b=\"x\\\"\\\\\\n\",c=\"\"} 1e3\na_total{b=\"y\"} 0\n"] {
            assert!(Page::parse(&format!("{head}{right}")).is_ok(), "{right}");
        }
        for wrong in [
            "a_total 1",
            "a_total\n",
            "a_total  1\n",
            "a_total -1\n",
            "a_total x\n",
            "b 1\n",
            "a_total 1\na_total 1\n",
            "a_total{b=\"x\"} 1\na_total{b=\"x\"} 2\n",
            "a_total{b=\"x\",b=\"y\"} 1\n",
            "a_total{b=x} 1\n",
            "a_total{b=\"x} 1\n",
            "a_total{b=\"\\x\"} 1\n",
            "a_total{1=\"x\"} 1\n",
            "",
            "a_total 1\n# TYPE a_total counter\n",
            "a_total 1\n# HELP a_total A.\n",
        ] {
            assert!(Page::parse(&format!("{head}{wrong}")).is_err(), "{wrong}");
        }
        assert!(Page::parse("# HELP a A.\n# TYPE a counter\na 1\n").is_err(), "a counter without _total");
    }
}
