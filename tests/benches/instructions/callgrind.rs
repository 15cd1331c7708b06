//! Callgrind: counts the instructions of this program, run again under valgrind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// How many instructions this program takes for `count` times `scenario`, start and all. What valgrind wrote stays in
/// `file`.
///
/// # Errors
///
/// There is no valgrind, or the scenario failed.
pub(crate) fn count(scenario: &str, count: u64, file: &Path) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--callgrind-out-file={}", file.display()), "--"])
        .arg(std::env::current_exe()?)
        .args(["--run", scenario, &count.to_string()])
        // What stands there moves the stack.
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(MISSING),
        Err(error) => return Err(error).context("valgrind does not start"),
    };
    ensure!(output.status.success(), "{scenario}: {}", String::from_utf8_lossy(&output.stderr).trim());
    let written = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    total(&written).with_context(|| format!("{}: no total", file.display()))
}

fn total(written: &str) -> Option<u64> {
    written.lines().rev().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

/// Where the instructions of such a file went: functions, with what was inlined into them apart, the dearest first.
///
/// # Errors
///
/// `callgrind_annotate`, which comes with valgrind, does not start.
pub(crate) fn functions(file: &Path) -> Result<Vec<(String, u64)>> {
    let output = Command::new("callgrind_annotate").args(["--auto=no", "--threshold=100"]).arg(file).output();
    let output = output.context("callgrind_annotate does not start; it comes with valgrind")?;
    Ok(sums(&String::from_utf8_lossy(&output.stdout)))
}

/// A function has a line for each file that it has code of: `1,234 ( 0.5%)  FILE:FUNCTION [PROGRAM]`.
fn sums(annotated: &str) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for line in annotated.lines() {
        let Some((count, rest)) = line.trim_start().split_once(" (") else { continue };
        let Ok(count) = count.replace(',', "").parse::<u64>() else { continue };
        let Some((_, named)) = rest.split_once("%)") else { continue };
        let Some((_, name)) = named.split_once(':') else { continue };
        let name = name.rsplit_once(" [").map_or(name, |(name, _)| name);
        *sums.entry(name).or_default() += count;
    }
    let mut sums: Vec<_> = sums.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sums
}

const MISSING: &str = "there is no valgrind here, which counts the instructions: install the package of that name \
(Debian: `apt-get install valgrind`) and say it again";

#[cfg(test)]
mod tests {
    use super::{sums, total};

    #[test]
    fn the_total_stands_at_the_end() {
        assert_eq!(total("events: Ir\nsummary: 3\n\nfn=(1)\n0 5\ntotals: 12345\n"), Some(12_345));
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn a_function_is_added_up_over_its_files() {
        let annotated = "Ir\n5,000 (100.0%)  PROGRAM TOTALS\n\n\
            1,200 ( 24.0%)  a.rs:one::two [/bin/x]\n  900 ( 18.0%)  ???:malloc [libc.so]\n   34 ( 0.7%)  b.rs:one::two\n";
        assert_eq!(sums(annotated), [("one::two".to_owned(), 1234), ("malloc".to_owned(), 900)]);
    }
}
