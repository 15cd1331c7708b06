//! Report: what the cases came to, statement by statement.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::conform::case::Verdict;
use crate::conform::runner::Ran;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Report {
    specification: String,
    address: String,
    cases: Vec<Ran>,
    /// Statements in the order of their numbers, each with its cases by index.
    statements: BTreeMap<Id, Vec<usize>>,
}

impl Report {
    /// Sorts results by statement.
    pub(crate) fn new(specification: String, address: String, cases: Vec<Ran>) -> Self {
        let mut statements: BTreeMap<Id, Vec<usize>> = BTreeMap::new();
        for (index, case) in cases.iter().enumerate() {
            for id in &case.statements {
                statements.entry(Id(id.clone())).or_default().push(index);
            }
        }
        Self { specification, address, cases, statements }
    }

    /// Whether nothing failed.
    pub(crate) fn is_good(&self) -> bool {
        !self.cases.iter().any(|case| matches!(case.verdict, Verdict::Fail(_)))
    }

    /// A line for each statement and a line for each reason.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("{} at {}\n\n", self.specification, self.address);
        let width = self.statements.keys().map(|id| id.0.chars().count()).max().unwrap_or_default();
        for (id, cases) in &self.statements {
            let verdict = word(&self.verdict(id, cases));
            let shown: Vec<&str> = self.of(cases).map(|case| case.name).collect();
            // Writing to a string does not fail.
            let _ = writeln!(out, "{verdict}  {:width$}  {}", id.0, shown.join(", "));
        }
        let notes = self.cases.iter().filter(|case| case.verdict != Verdict::Pass);
        for (index, case) in notes.enumerate() {
            let gap = if index == 0 { "\n" } else { "" };
            let (Verdict::Fail(why) | Verdict::NotApplicable(why)) = &case.verdict else { continue };
            let _ = writeln!(out, "{gap}{}  {}: {why}", word(&case.verdict), case.name);
        }
        let [pass, fail, not] = self.totals();
        let slowest = self.cases.iter().map(|case| case.took).max().unwrap_or_default();
        let _ = writeln!(
            out,
            "\n{} statements: {pass} pass, {fail} fail, {not} not applicable; {} cases, the slowest {:.1} s",
            self.statements.len(),
            self.cases.len(),
            slowest.as_secs_f32()
        );
        out
    }

    /// The same for programs, on one line.
    pub(crate) fn json(&self) -> String {
        let statements: Vec<Value> = self
            .statements
            .iter()
            .map(|(id, cases)| {
                let names: Vec<&str> = self.of(cases).map(|case| case.name).collect();
                json!({ "id": id.0, "verdict": name(&self.verdict(id, cases)), "cases": names })
            })
            .collect();
        let cases: Vec<Value> = self
            .cases
            .iter()
            .map(|case| {
                let why = match &case.verdict {
                    Verdict::Pass => Value::Null,
                    Verdict::Fail(why) | Verdict::NotApplicable(why) => json!(why),
                };
                let took = u64::try_from(case.took.as_millis()).unwrap_or(u64::MAX);
                json!({
                    "name": case.name,
                    "verdict": name(&case.verdict),
                    "why": why,
                    "broken": case.broken,
                    "took_ms": took,
                })
            })
            .collect();
        let [pass, fail, not_applicable] = self.totals();
        let report = json!({
            "specification": self.specification,
            "address": self.address,
            "pass": pass,
            "fail": fail,
            "not_applicable": not_applicable,
            "statements": statements,
            "cases": cases,
        });
        format!("{report}\n")
    }

    fn of<'a>(&'a self, cases: &'a [usize]) -> impl Iterator<Item = &'a Ran> {
        cases.iter().filter_map(|index| self.cases.get(*index))
    }

    /// One failure is a failure, if it is about this statement; one success is a success, where the others are not applicable.
    fn verdict(&self, id: &Id, cases: &[usize]) -> Verdict {
        let rank = |verdict: &Verdict| match verdict {
            Verdict::NotApplicable(_) => 0,
            Verdict::Pass => 1,
            Verdict::Fail(_) => 2,
        };
        let of_case = |case: &Ran| match &case.verdict {
            Verdict::Fail(why) if !case.broken.contains(&id.0) => Verdict::NotApplicable(why.clone()),
            Verdict::Pass | Verdict::Fail(_) | Verdict::NotApplicable(_) => case.verdict.clone(),
        };
        self.of(cases).map(of_case).max_by_key(rank).unwrap_or(Verdict::Pass)
    }

    fn totals(&self) -> [usize; 3] {
        let mut totals = [0; 3];
        let [pass, fail, not_applicable] = &mut totals;
        for (id, cases) in &self.statements {
            match self.verdict(id, cases) {
                Verdict::Pass => *pass += 1,
                Verdict::Fail(_) => *fail += 1,
                Verdict::NotApplicable(_) => *not_applicable += 1,
            }
        }
        totals
    }
}

/// Four letters wide; a failure stands out.
fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail(_) => "FAIL",
        Verdict::NotApplicable(_) => "n/a ",
    }
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail(_) => "fail",
        Verdict::NotApplicable(_) => "not applicable",
    }
}

/// The name of a statement, whose numbers are compared as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Id(String);

impl Id {
    fn key(&self) -> (Vec<u32>, &str) {
        let numbers =
            self.0.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok());
        (numbers.collect(), &self.0)
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_statement_fails_with_one_of_its_cases() {
        let report = report();
        let text = report.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines.get(2..6),
            Some(&["FAIL  A-9   one, two", "pass  A-10  one, two", "n/a   A-11  three", ""][..])
        );
        assert!(
            text.contains("FAIL  two: late\n") && text.contains("3 statements: 1 pass, 1 fail, 1 not"),
            "{text}"
        );
        assert!(!report.is_good());
    }

    #[test]
    fn a_program_reads_the_same() {
        let value: Value = serde_json::from_str(&report().json()).expect("JSON");
        assert_eq!(value.pointer("/statements/0/verdict"), Some(&json!("fail")));
        assert_eq!(value.pointer("/cases/2/why"), Some(&json!("no such feature")));
        assert_eq!(value.pointer("/fail"), Some(&json!(1)));
    }

    fn report() -> Report {
        let ran = |name, statements: &[&str], verdict| {
            let statements = statements.iter().map(|id| (*id).to_owned()).collect();
            let broken =
                if matches!(verdict, Verdict::Fail(_)) { vec!["A-9".to_owned()] } else { Vec::new() };
            Ran { name, statements, verdict, broken, took: Duration::ZERO }
        };
        Report::new(
            "A".into(),
            "h:1".into(),
            vec![
                ran("one", &["A-10", "A-9"], Verdict::Pass),
                // Of its two statements it has seen one to be broken.
                ran("two", &["A-9", "A-10"], Verdict::Fail("late".into())),
                ran("three", &["A-11"], Verdict::NotApplicable("no such feature".into())),
            ],
        )
    }
}
