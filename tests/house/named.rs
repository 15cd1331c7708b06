//! Tests that documents name as the proof of what they say.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use harness::binary::root;

use crate::tree::Source;

/// Documents whose tables name tests, `file::law`.
const DOCUMENTS: &[&str] = &["docs/limits.md", "docs/security.md"];

/// Tests that are named and that there are not, each with where it is named.
pub(crate) fn missing(sources: &[Source]) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).context(*document)?;
        let named = names(&text);
        ensure!(named.len() > 20, "{document} names only {} tests", named.len());
        let is_there = |(file, law): &(&str, &str)| sources.iter().any(|source| has(source, file, law));
        broken.extend(
            named
                .into_iter()
                .filter(|name| !is_there(name))
                .map(|(file, law)| format!("{document}: {file}::{law}")),
        );
    }
    Ok(broken)
}

/// What stands between two backticks and reads `file::law`.
fn names(text: &str) -> Vec<(&str, &str)> {
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    };
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let pairs = quoted.filter_map(|quoted| quoted.split_once("::"));
    pairs.filter(|(file, law)| is_word(file) && is_word(law)).collect()
}

/// In that file, or in one of the folder of that name.
fn has(source: &Source, file: &str, law: &str) -> bool {
    let is_it = |part: &Path| part.file_stem().is_some_and(|stem| stem == file);
    source.path.ancestors().any(is_it) && source.plain.contains(&format!("fn {law}("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_wherever_it_stands() {
        let text = "| a | `limits::at_and_beyond`, `rust::path::x` and `x` |\n`a` b::c `d::e` `1.0` `f::g`";
        assert_eq!(names(text), [("limits", "at_and_beyond"), ("d", "e"), ("f", "g")]);
    }
}
