//! The build that is guided by a profile: what it refuses.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run::{Done, finish};

#[test]
fn a_release_that_is_told_anything_says_what_may_be_said_and_builds_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let done = release(folder.path(), &["--help"])?;
    ensure!(done.code == Some(2) && done.out.is_empty(), "{done:?}");
    ensure!(done.error.contains("no arguments, and --help is one"), "{done:?}");
    ensure!(folder.path().read_dir()?.next().is_none(), "something was built");
    Ok(())
}

#[test]
fn a_release_without_the_tool_that_reads_profiles_says_what_to_install_and_builds_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let done = release(folder.path(), &[])?;
    ensure!(done.code == Some(2) && done.out.is_empty(), "{done:?}");
    for word in ["/does/not/exist", "rustup component add llvm-tools", "LLVM_PROFDATA", "Nothing was built"] {
        ensure!(done.error.contains(word), "no {word}: {done:?}");
    }
    ensure!(folder.path().read_dir()?.next().is_none(), "something was built");
    Ok(())
}

/// What became of `broker/release`, which has no tool that reads profiles, and `target` to build in.
fn release(target: &Path, arguments: &[&str]) -> Result<Done> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests have a folder above them")?;
    let mut command = Command::new(top.join("broker/release"));
    command.args(arguments).env("LLVM_PROFDATA", "/does/not/exist").env("CARGO_TARGET_DIR", target);
    finish(command, "")
}
