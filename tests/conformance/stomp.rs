//! What STOMP asks: our broker does it, and docs/protocols/stomp.md says what shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail, ensure};
use harness::binary::root;
use harness::broker::{Broker, duetmq_command};
use harness::door::Door;
use serde_json::Value;

#[test]
fn our_broker_does_what_each_version_of_stomp_asks() -> Result<()> {
    for (version, report) in reports()? {
        let cases = report.pointer("/cases").and_then(Value::as_array).context("no cases")?;
        let short: Vec<String> =
            cases.iter().filter(|case| case["verdict"] != "pass").map(Value::to_string).collect();
        assert!(short.is_empty(), "STOMP {version}:\n  {}", short.join("\n  "));
        assert!(cases.len() > 30, "STOMP {version} has {} cases only", cases.len());
    }
    Ok(())
}

#[test]
fn every_statement_of_the_page_names_what_shows_it() -> Result<()> {
    let page = fs::read_to_string(root().join("docs/protocols/stomp.md"))?;
    let mut said = BTreeSet::new();
    for row in rows(&page) {
        for (version, level) in &row.levels {
            ensure!(row.is_shown() || level.ends_with("client"), "nothing shows {} of {version}", row.number);
            said.extend(row.cases.iter().map(|case| (row.number.clone(), case.clone())));
        }
        for (file, name) in &row.tests {
            let text =
                fs::read_to_string(root().join(file)).with_context(|| format!("{}: {file}", row.number))?;
            ensure!(text.contains(&format!("fn {name}(")), "{}: {file} has no test {name}", row.number);
        }
    }
    assert!(said.len() > 80, "only {} rows were read", said.len());
    let shown: BTreeSet<(String, String)> =
        shown()?.into_iter().map(|(_, number, case)| (number, case)).collect();
    assert_eq!(said, shown, "the page and the cases differ");
    Ok(())
}

#[test]
fn every_sentence_of_the_specifications_is_accounted_for() -> Result<()> {
    let page = fs::read_to_string(root().join("docs/protocols/stomp.md"))?;
    let rows = rows(&page);
    let has = |number: &str, version: &str| {
        rows.iter().any(|row| row.number == number && row.levels.iter().any(|(of, _)| *of == version))
    };
    let list = fs::read_to_string(root().join("tests/conformance/stomp-statements.txt"))?;
    let mut sentences = BTreeMap::<&str, usize>::new();
    let mut named = BTreeSet::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [version, _, _, numbers] = cells[..] else { bail!("no sentence: {line}") };
        *sentences.entry(version).or_default() += 1;
        for number in numbers.split(' ').filter(|number| !["client", "words"].contains(number)) {
            ensure!(has(number, version), "{version} has no {number}: {line}");
            named.insert((number, version));
        }
    }
    // As many as a reader of the specifications finds: a line that is lost is noticed.
    assert_eq!(sentences, BTreeMap::from([("1.0", 40), ("1.1", 77), ("1.2", 106)]));
    for row in &rows {
        for (version, level) in row.levels.iter().filter(|(_, level)| level != "says") {
            ensure!(
                named.contains(&(row.number.as_str(), *version)),
                "who says {} {level} in {version}?",
                row.number
            );
        }
    }
    Ok(())
}

#[test]
fn every_rule_that_brokers_get_wrong_has_a_case_or_a_test() -> Result<()> {
    let page = fs::read_to_string(root().join("docs/protocols/stomp.md"))?;
    let (_, rules) = page.split_once("## Rules that brokers often get wrong").context("no rules")?;
    let cases: BTreeSet<String> = shown()?.into_iter().map(|(_, _, case)| case).collect();
    let mut count = 0;
    for line in rules.lines().take_while(|line| !line.starts_with("## ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, _, _, said] = cells[..] else { continue };
        if number.parse::<u32>().is_err() {
            continue;
        }
        count += 1;
        let (named, tests) = shown_by(said);
        ensure!(!named.is_empty() || !tests.is_empty(), "nothing shows rule {number}");
        ensure!(named.iter().all(|case| cases.contains(case)), "rule {number}: no such case: {named:?}");
        for (file, name) in tests {
            let text = fs::read_to_string(root().join(&file)).with_context(|| file.clone())?;
            ensure!(text.contains(&format!("fn {name}(")), "rule {number}: {file} has no test {name}");
        }
    }
    assert_eq!(count, 20);
    Ok(())
}

#[test]
fn a_case_shows_only_statements_that_its_version_has() -> Result<()> {
    let page = fs::read_to_string(root().join("docs/protocols/stomp.md"))?;
    let rows = rows(&page);
    let shown = shown()?;
    for (version, number, case) in &shown {
        let row = rows.iter().find(|row| row.number == *number);
        let levels = &row.with_context(|| format!("{case} shows {number}, which is no row"))?.levels;
        ensure!(levels.iter().any(|(of, _)| of == version), "{case}: {version} has no {number}");
    }
    for row in &rows {
        // What a server may do, no case can ask of every broker.
        let asked = |level: &String| !level.ends_with("client") && level != "MAY";
        for (version, _) in row.levels.iter().filter(|(_, level)| asked(level)) {
            let found = shown.iter().any(|(of, number, _)| of == version && *number == row.number);
            ensure!(found, "no case shows STOMP-{version}-{}", row.number);
        }
    }
    Ok(())
}

/// A row of the page.
struct Row {
    number: String,
    /// Version, and how strong its words are.
    levels: Vec<(&'static str, String)>,
    cases: Vec<String>,
    /// File and name.
    tests: Vec<(String, String)>,
}

impl Row {
    fn is_shown(&self) -> bool {
        !self.cases.is_empty() || !self.tests.is_empty()
    }
}

fn rows(page: &str) -> Vec<Row> {
    page.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [number, v1_0, v1_1, v1_2, _, shown] = cells[..] else { return None };
    let is_number = number.split('-').all(|part| part.parse::<u32>().is_ok());
    let levels = VERSIONS.into_iter().zip([v1_0, v1_1, v1_2]).filter(|(_, level)| *level != "—");
    let levels = levels.map(|(version, level)| (version, level.to_owned())).collect();
    let (cases, tests) = shown_by(shown);
    is_number.then(|| Row { number: number.to_owned(), levels, cases, tests })
}

/// The cases that a cell names, and the tests by file and name.
fn shown_by(cell: &str) -> (Vec<String>, Vec<(String, String)>) {
    let (mut cases, mut tests) = (Vec::new(), Vec::new());
    for one in cell.split("; ") {
        let quoted: Vec<&str> = one.split('`').skip(1).step_by(2).collect();
        match quoted[..] {
            [case] => cases.push(case.to_owned()),
            [file, name] => tests.push((file.to_owned(), name.to_owned())),
            _ => {}
        }
    }
    (cases, tests)
}

/// Version, number and case of all that the cases show.
fn shown() -> Result<Vec<(&'static str, String, String)>> {
    let mut found = Vec::new();
    for (version, report) in reports()? {
        let statements = report.pointer("/statements").and_then(Value::as_array).context("no statements")?;
        for statement in statements {
            let id = statement["id"].as_str().context("no id")?;
            let number = id.strip_prefix(&format!("STOMP-{version}-")).with_context(|| id.to_owned())?;
            for case in statement["cases"].as_array().context("no cases")? {
                found.push((*version, number.to_owned(), case.as_str().context("no name")?.to_owned()));
            }
        }
    }
    Ok(found)
}

/// What `duetmq conform` reports of our own broker, once for all tests.
fn reports() -> Result<&'static [(&'static str, Value)]> {
    static RUN: OnceLock<Result<Vec<(&'static str, Value)>, String>> = OnceLock::new();
    let run = RUN.get_or_init(|| run().map_err(|error| format!("{error:#}")));
    run.as_deref().map_err(|error| anyhow!(error.clone()))
}

fn run() -> Result<Vec<(&'static str, Value)>> {
    let broker = Broker::new()?;
    let url = format!("stomp://{}", broker.at(Door::Stomp));
    let mut found = Vec::new();
    for version in VERSIONS {
        let output = duetmq_command()?.args(["conform", &url, "--stomp", version, "--json"]).output()?;
        let report = serde_json::from_slice(&output.stdout);
        found.push((version, report.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?));
    }
    Ok(found)
}

const VERSIONS: [&str; 3] = ["1.0", "1.1", "1.2"];
