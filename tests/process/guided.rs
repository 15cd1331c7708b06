//! The build that is guided by a profile: what it refuses.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run::finish;

#[test]
fn a_release_without_the_tool_that_reads_profiles_says_what_to_install_and_builds_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests have a folder above them")?;
    let mut command = Command::new(top.join("broker/release"));
    command.env("LLVM_PROFDATA", "/does/not/exist").env("CARGO_TARGET_DIR", folder.path());
    let done = finish(command, "")?;
    ensure!(done.code == Some(2) && done.out.is_empty(), "{done:?}");
    for word in ["/does/not/exist", "rustup component add llvm-tools", "LLVM_PROFDATA", "Nothing was built"] {
        ensure!(done.error.contains(word), "no {word}: {done:?}");
    }
    ensure!(folder.path().read_dir()?.next().is_none(), "something was built");
    Ok(())
}
