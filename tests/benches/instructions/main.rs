//! What a message costs in instructions, counted by valgrind, beside what it cost when that was last written down.
//!
//! On a machine that others use, times differ from run to run by more than most changes make; instructions hardly differ.
//! Each scenario runs twice, the second time five times as long, so that what the start and the first messages cost goes out
//! of the sum.
#![allow(clippy::indexing_slicing, reason = "a measurement that meets anything else has failed")]

mod baseline;
mod callgrind;
mod floor;
mod options;
mod scenarios;
mod words;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::baseline::{Baseline, TOLERANCE_PERCENT, Verdict};
use crate::options::Options;
use crate::scenarios::{ALL, Scenario};

fn main() -> ExitCode {
    let done = match Options::read(std::env::args().skip(1)) {
        Ok(Options::Run(name, count)) => {
            find(&name).and_then(|scenario| (scenario.run)(count)).map(|()| true)
        }
        Ok(Options::Functions(name)) => functions(&name).map(|()| true),
        Ok(Options::Compare { only, update }) => compare(&only, update),
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// Counts, and says whether all is as it should be.
fn compare(only: &[String], update: bool) -> Result<bool> {
    let chosen: Vec<&Scenario> = if only.is_empty() {
        ALL.iter().collect()
    } else {
        only.iter().map(|name| find(name)).collect::<Result<_>>()?
    };
    let mut known = Baseline::read()?;
    let built = built()?;
    let (mut worse, mut better) = (Vec::new(), Vec::new());
    println!("{:<16}{:>12}{:>12}{:>10}  for each", "", "now", "baseline", "change");
    for scenario in chosen {
        let count = instructions(scenario)?;
        let verdict = known.judge(scenario.name, count);
        let before = known.counts.get(scenario.name).copied();
        let shown = before.map_or_else(|| "-".to_owned(), |before| before.to_string());
        let change = before.map_or_else(|| "-".to_owned(), |before| change(before, count));
        println!("{:<16}{count:>12}{shown:>12}{change:>10}  {}", scenario.name, scenario.about);
        match verdict {
            Verdict::Same => {}
            Verdict::Better => better.push(scenario.name),
            Verdict::Worse | Verdict::Unknown => worse.push(scenario.name),
        }
        if update {
            known.counts.insert(scenario.name.to_owned(), count);
        }
    }
    if update {
        known.built = built;
        known.counts.retain(|name, _| ALL.iter().any(|scenario| scenario.name == name));
        known.write()?;
        println!("written down");
        return Ok(true);
    }
    tell(&worse, &better, &known.built, &built);
    Ok(worse.is_empty())
}

fn tell(worse: &[&str], better: &[&str], known: &str, built: &str) {
    if !better.is_empty() {
        println!("over {TOLERANCE_PERCENT} % better: {}; `--update` writes that down", better.join(", "));
    }
    if !worse.is_empty() {
        println!("over {TOLERANCE_PERCENT} % worse, or not in the baseline: {}", worse.join(", "));
        println!("`--functions {}` shows where they go; `--update` accepts it", worse[0]);
    }
    if known != built {
        println!("the baseline was built by {known}, this by {built}: some of the change may come from that");
    }
}

fn change(before: u64, now: u64) -> String {
    let change = (now as f64 / before.max(1) as f64 - 1.0) * 100.0;
    format!("{change:+.1} %")
}

/// For each time, rounded.
fn instructions(scenario: &Scenario) -> Result<u64> {
    let folder = folder()?;
    let count = |times: u64| callgrind::count(scenario.name, times, &file(&folder, scenario));
    let (short, long) = (scenario.count, scenario.count * TIMES);
    let (first, second) = (count(short)?, count(long)?);
    let more = long - short;
    Ok((second.saturating_sub(first) + more / 2) / more)
}

fn functions(name: &str) -> Result<()> {
    let (scenario, folder) = (find(name)?, folder()?);
    let (file, times) = (file(&folder, scenario), scenario.count * TIMES);
    let all = callgrind::count(name, times, &file)?;
    for (name, count) in callgrind::functions(&file)?.into_iter().take(SHOWN) {
        let share = count as f64 / all as f64 * 100.0;
        println!("{:>10.1}{share:>7.1} %  {name}", count as f64 / times as f64);
    }
    println!("for each {}, the start shared out among {times} of them", scenario.about);
    println!("all of it: callgrind_annotate {}", file.display());
    Ok(())
}

fn file(folder: &Path, scenario: &Scenario) -> PathBuf {
    folder.join(format!("{}.callgrind", scenario.name))
}

/// Beside the program.
fn folder() -> Result<PathBuf> {
    ensure!(
        !cfg!(debug_assertions),
        "this build is not optimised, so its instructions say nothing: `cargo run --release …`"
    );
    let folder = std::env::current_exe()?.with_file_name("instructions.counted");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

fn find(name: &str) -> Result<&'static Scenario> {
    let names = || ALL.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
    ALL.iter()
        .find(|scenario| scenario.name == name)
        .with_context(|| format!("{name} is none of {}", names()))
}

/// What this was built with, and for: as far as the compiler that is here now tells.
fn built() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("rustc does not say its version")?;
    Ok(format!("{}, {}", String::from_utf8_lossy(&output.stdout).trim(), std::env::consts::ARCH))
}

/// How many times as long the second run of a scenario is.
const TIMES: u64 = 5;

/// How many functions are shown.
const SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_gets_all_that_it_should() -> Result<()> {
        for scenario in ALL {
            (scenario.run)(10).with_context(|| scenario.name)?;
        }
        Ok(())
    }

    #[test]
    fn the_baseline_knows_every_scenario_and_no_other() -> Result<()> {
        let known: Vec<String> = Baseline::read()?.counts.into_keys().collect();
        let mut names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        assert_eq!(known, names);
        Ok(())
    }
}
