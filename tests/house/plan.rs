//! The lists of docs/architecture.md: every file of a crate, in building order.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Result;
use harness::binary::root;

use crate::modules::Crate;

/// The modules of a crate in their order: `["codec", "codec::header", …]`.
pub(crate) type List = Vec<String>;

/// The lists by the folders of their crates; `None` where there is no such page.
pub(crate) fn read() -> Result<Option<BTreeMap<String, List>>> {
    let path = root().join("docs/architecture.md");
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(parse(&fs::read_to_string(path)?)))
}

/// What a crate does against its list.
pub(crate) fn broken(found: &Crate, list: &[String]) -> Vec<String> {
    // A file without an entry of its own belongs to the file that it is indented under.
    let entry = |name: &str| {
        let mut name = name.to_owned();
        loop {
            if let Some(rank) = list.iter().position(|entry| *entry == name) {
                return Some((rank, name));
            }
            name.truncate(name.rfind("::")?);
        }
    };
    let mut broken = Vec::new();
    for name in found.names().filter(|name| entry(name).is_none() && !found.is_of_tests(name)) {
        broken.push(format!("{}: docs/architecture.md does not list {name}", found.name));
    }
    // Where a program is a few lines that start a library, `main` stands in the list as well.
    let absent = |listed: &&String| *listed != "main" && !found.names().any(|name| name == listed.as_str());
    for name in list.iter().filter(absent) {
        broken.push(format!("{}: docs/architecture.md lists {name}, which does not exist", found.name));
    }
    for (from, targets) in found.edges() {
        let Some((rank, from)) = entry(from) else { continue };
        for (target_rank, target) in targets.iter().filter_map(|target| entry(target)) {
            let is_own_child = target.starts_with(&format!("{from}::"));
            if target_rank > rank && !is_own_child {
                broken.push(format!("{}: {from} uses {target}, which stands below it", found.name));
            }
        }
    }
    broken
}

fn parse(page: &str) -> BTreeMap<String, List> {
    let mut lists: BTreeMap<String, List> = BTreeMap::new();
    // Two lists stand side by side; where the right one begins, the line with both names says.
    let mut right = usize::MAX;
    let mut current: [Option<String>; 2] = [None, None];
    let mut in_block = false;
    for line in page.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
            current = [None, None];
            continue;
        }
        if !in_block {
            continue;
        }
        if let Some(offset) = second_name(line) {
            right = offset;
        }
        let letters: Vec<char> = line.chars().collect();
        let split = right.min(letters.len());
        let cells = [letters.iter().take(split).collect::<String>(), letters.iter().skip(split).collect()];
        for (cell, current) in cells.iter().zip(&mut current) {
            if let Some(name) = folder(cell) {
                *current = Some(name.to_owned());
            } else if let Some(list) = current.as_ref().map(|name| lists.entry(name.clone()).or_default()) {
                list.extend(module(cell, list));
            }
        }
    }
    lists
}

/// Where the second of two folders on a line begins.
fn second_name(line: &str) -> Option<usize> {
    folder(line.split("  ").next()?)?;
    let gap = line.find("  ")?;
    let rest = line.get(gap..)?;
    let name = rest.trim_start();
    folder(name)?;
    Some(line.chars().count() - name.chars().count())
}

/// A cell that names a crate's folder, and nothing else.
fn folder(cell: &str) -> Option<&str> {
    let name = cell.trim_end();
    let is_name =
        name.starts_with("broker/") || name.starts_with("protocols/") || name == "storage" || name == "tests";
    (is_name && !name.contains(' ')).then_some(name)
}

fn module(cell: &str, list: &[String]) -> Option<String> {
    let name = cell.split_whitespace().next()?;
    let indent = cell.chars().take_while(|letter| *letter == ' ').count();
    let is_name =
        name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    match indent {
        2 if is_name => Some(name.to_owned()),
        4 if is_name => {
            let parent = list.iter().rev().find(|entry| !entry.contains("::"))?;
            Some(format!("{parent}::{name}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists_stand_side_by_side() {
        let page = "```text\nbroker/a         storage\n  one    first     log      door\n  two    second      part   inside\n    three  x       end\n```\n";
        let lists = parse(page);
        assert_eq!(
            lists.get("broker/a").map(Vec::as_slice),
            Some(["one", "two", "two::three"].map(String::from).as_slice())
        );
        assert_eq!(
            lists.get("storage").map(Vec::as_slice),
            Some(["log", "log::part", "end"].map(String::from).as_slice())
        );
    }
}
