//! What MQTT asks: our broker does it, and docs/protocols/mqtt.md says what shows it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use harness::binary::root;
use harness::broker::{Broker, duetmq_command};
use harness::door::Door;
use serde_json::Value;

#[test]
fn our_broker_does_what_each_version_of_mqtt_asks() -> Result<()> {
    let page = page()?;
    let mut short = BTreeSet::new();
    let mut reasons = Vec::new();
    for (version, report) in reports()? {
        let cases = report.pointer("/cases").and_then(Value::as_array).context("no cases")?;
        ensure!(cases.len() > 80, "MQTT {version} has {} cases only", cases.len());
        // What 3.1 lacks is another test's.
        let is_short =
            |case: &&Value| case["verdict"] == "fail" || case["verdict"] != "pass" && *version != OLD;
        for case in cases.iter().filter(is_short) {
            short.insert(case["name"].as_str().context("a case without a name")?.to_owned());
            reasons.push(format!("{version}: {case}"));
        }
    }
    let line = page.split("\n\n").find(|paragraph| paragraph.starts_with("Does not hold yet: "));
    let known: BTreeSet<String> = quoted(line.unwrap_or_default()).collect();
    assert_eq!(short, known, "what falls short, and what the page says of it:\n  {}", reasons.join("\n  "));
    Ok(())
}

#[test]
fn mqtt_3_1_is_asked_all_of_3_1_1_but_for_what_it_lacks() -> Result<()> {
    let mut asked = Vec::new();
    for wanted in [OLD, "3.1.1"] {
        let (_, report) = reports()?.iter().find(|(version, _)| *version == wanted).context(wanted)?;
        let statements = report.pointer("/statements").and_then(Value::as_array).context("no statements")?;
        let ids: BTreeSet<&str> =
            statements.iter().filter_map(|statement| statement["id"].as_str()).collect();
        let lacking = statements.iter().filter(|statement| statement["verdict"] == "not applicable");
        let lacking: BTreeSet<&str> = lacking.filter_map(|statement| statement["id"].as_str()).collect();
        asked.push((ids, lacking));
    }
    let [(old, lacking), (new, _)] = &asked[..] else { unreachable!() };
    assert_eq!(old, new);
    // Each with its reason in the report; what becomes another is to be looked at.
    ensure!(lacking.len() == LACKING, "3.1 lacks {}: {lacking:?}", lacking.len());
    Ok(())
}

#[test]
fn every_statement_of_the_specifications_is_in_the_table() -> Result<()> {
    let wanted: BTreeSet<String> = STATEMENTS.lines().map(|line| line.replace(' ', ":")).collect();
    let rows = rows(&page()?);
    let found: BTreeSet<String> = rows.iter().map(|row| row.id.clone()).collect();
    assert_eq!(found.len(), rows.len(), "a statement is there twice");
    assert_eq!(found, wanted);
    Ok(())
}

#[test]
fn the_table_says_what_the_cases_show() -> Result<()> {
    let rows = rows(&page()?);
    let mut said = BTreeSet::new();
    for row in &rows {
        said.extend(row.cases.iter().map(|case| (row.id.clone(), case.clone())));
        for (name, file) in &row.tests {
            let text =
                fs::read_to_string(root().join(file)).with_context(|| format!("{}: {file}", row.id))?;
            ensure!(text.contains(&format!("fn {name}(")), "{}: {file} has no test {name}", row.id);
        }
    }
    let mut shown = BTreeSet::new();
    // 3.1 has no ids of its own.
    for (version, report) in reports()?.iter().filter(|(version, _)| *version != OLD) {
        let statements = report.pointer("/statements").and_then(Value::as_array).context("no statements")?;
        for statement in statements {
            let id = statement["id"].as_str().context("no id")?;
            let id = id.strip_prefix("MQTT-").with_context(|| id.to_owned())?;
            for case in statement["cases"].as_array().context("no cases")? {
                shown.insert((format!("{version}:{id}"), case.as_str().context("no name")?.to_owned()));
            }
        }
    }
    // A statement that binds only clients may be shown by a case, and need not be.
    let clients: BTreeSet<&String> = rows.iter().filter(|row| row.is_client).map(|row| &row.id).collect();
    shown.retain(|(id, _)| !clients.contains(id));
    let lacking: Vec<_> = shown.difference(&said).collect();
    let invented: Vec<_> = said.difference(&shown).collect();
    assert!(
        lacking.is_empty() && invented.is_empty(),
        "not in the table: {lacking:?}; only there: {invented:?}"
    );
    Ok(())
}

#[test]
fn what_is_not_shown_is_counted() -> Result<()> {
    let page = page()?;
    let count = page.lines().find_map(|line| line.strip_prefix("Not shown yet: ")).context("no count")?;
    let rows = rows(&page);
    for row in &rows {
        let is_shown = !row.cases.is_empty() || !row.tests.is_empty();
        let is_settled = is_shown || row.is_client || row.is_absent || row.is_open;
        ensure!(is_settled, "{} says nothing of what shows it", row.id);
    }
    let open: Vec<&str> = rows.iter().filter(|row| row.is_open).map(|row| row.id.as_str()).collect();
    ensure!(open.len() == count.parse::<usize>()?, "the page counts {count}, and lists {open:?}");
    ensure!(open.is_empty(), "not shown: {open:?}");
    Ok(())
}

/// A row of the table.
struct Row {
    /// `5.0:3.3.1-2`
    id: String,
    is_client: bool,
    /// It is about something that our broker does not have.
    is_absent: bool,
    is_open: bool,
    cases: Vec<String>,
    /// Name and file.
    tests: Vec<(String, String)>,
}

fn rows(page: &str) -> Vec<Row> {
    page.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [id, _, who, shown] = cells[..] else { return None };
    let mut row = Row {
        id: id.to_owned(),
        is_client: who == "client",
        is_absent: shown.starts_with("does not apply: "),
        is_open: shown == "not shown yet",
        cases: Vec::new(),
        tests: Vec::new(),
    };
    for one in shown.split(", ") {
        let Some(name) = quoted(one).next() else { continue };
        match one.split_once("` in ") {
            Some((_, file)) => row.tests.push((name, file.to_owned())),
            None => row.cases.push(name),
        }
    }
    let is_statement = id.contains(':') && id.contains('-');
    is_statement.then_some(row)
}

fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

fn page() -> Result<String> {
    Ok(fs::read_to_string(root().join("docs/protocols/mqtt.md"))?)
}

/// What `duetmq conform` reports of our own broker, once for all tests.
fn reports() -> Result<&'static [(&'static str, Value)]> {
    static RUN: OnceLock<Result<Vec<(&'static str, Value)>, String>> = OnceLock::new();
    let run = RUN.get_or_init(|| run().map_err(|error| format!("{error:#}")));
    run.as_deref().map_err(|error| anyhow!(error.clone()))
}

fn run() -> Result<Vec<(&'static str, Value)>> {
    let broker = Broker::new()?;
    let url = format!("mqtt://{}", broker.at(Door::Mqtt));
    let mut found = Vec::new();
    for (version, argument) in [("5.0", "5"), ("3.1.1", "3.1.1"), (OLD, OLD)] {
        let output = duetmq_command()?
            .args(["conform", &url, "--mqtt", argument, "--json", "--patience", "10"])
            .output()?;
        let report = serde_json::from_slice(&output.stdout);
        found.push((version, report.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?));
    }
    Ok(found)
}

/// How many statements of 3.1.1 do not hold in 3.1.
const LACKING: usize = 26;

/// The version without ids.
const OLD: &str = "3.1";

/// The ids of both specifications, a version and an id on each line.
const STATEMENTS: &str = include_str!("mqtt-statements.txt");
