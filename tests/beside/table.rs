//! The table for people, and its place in docs/routing.md.

use std::fs;

use anyhow::{Context, Result, ensure};
use harness::binary::root;

use crate::case::{Row, Verdict};

/// Everything between the marks.
pub(crate) fn written(rows: &[Row], version: &str) -> String {
    let count = |verdict: Verdict| rows.iter().filter(|row| row.verdict() == verdict).count();
    let mut out = format!(
        "RabbitMQ {version} and DuetMQ: {} cases, the same in {}, otherwise on purpose in {}.\n",
        rows.len(),
        count(Verdict::Same),
        count(Verdict::OnPurpose)
    );
    let mut group = "";
    for row in rows {
        if row.case.group != group {
            group = row.case.group;
            out.push_str(&format!("\n### {group}\n\n| case | RabbitMQ | DuetMQ |\n| --- | --- | --- |\n"));
        }
        let theirs = cell(&row.theirs);
        let ours = match (row.verdict(), row.case.reason) {
            (Verdict::Same, _) => "the same".to_owned(),
            (_, Some(reason)) => format!("{}. {reason}", cell(&row.ours)),
            (_, None) => format!("**{}**", cell(&row.ours)),
        };
        out.push_str(&format!("| {} | {theirs} | {ours} |\n", row.case.name));
    }
    out
}

/// Puts it into docs/routing.md.
///
/// # Errors
///
/// If the page has no place for it.
pub(crate) fn put(text: &str) -> Result<()> {
    let path = root().join("docs/routing.md");
    let page = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (before, rest) = page.split_once(BEGIN).context("docs/routing.md has no place for the table")?;
    let (_, after) = rest.split_once(END).context("the place in docs/routing.md has no end")?;
    ensure!(!after.contains(BEGIN), "docs/routing.md has two places for the table");
    Ok(fs::write(&path, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))?)
}

fn cell(lines: &[String]) -> String {
    lines.join("; ").replace('|', "\\|").replace('\n', " ")
}

const BEGIN: &str = "<!-- written by: cargo run -p tests --bin beside_rabbitmq -- --write -->";
const END: &str = "<!-- end of what is written -->";
