//! A command from start to end, with all that it said.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use harness::broker::duetmq_command;
use harness::process::Process;

/// What became of a command.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) error: String,
}

/// Runs `duetmq` with these arguments to its end.
pub(crate) fn duetmq(arguments: &[&str]) -> Result<Done> {
    duetmq_with(arguments, &[], "")
}

/// The same with an environment and an input.
pub(crate) fn duetmq_with(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Result<Done> {
    let mut command = duetmq_command()?;
    command.args(arguments).envs(environment.iter().copied());
    finish(command, input)
}

/// Runs a command to its end, which must come within a minute.
pub(crate) fn finish(mut command: Command, input: &str) -> Result<Done> {
    let shown = format!("{command:?}");
    // Files, and not pipes: whoever does not end can still be ended, and what it said is there.
    let folder = tempfile::tempdir()?;
    let (out, error) = (folder.path().join("out"), folder.path().join("error"));
    command.stdin(Stdio::piped()).stdout(File::create(&out)?).stderr(File::create(&error)?);
    let mut process = Process::start(&mut command)?;
    if let Some(mut pipe) = process.child().stdin.take() {
        // Whoever does not read it may be gone already.
        let _ = pipe.write_all(input.as_bytes());
    }
    let status = process.wait(Duration::from_secs(60)).with_context(|| shown.clone())?;
    let done =
        Done { code: status.code(), out: fs::read_to_string(&out)?, error: fs::read_to_string(&error)? };
    println!("{shown}\n{done:?}");
    Ok(done)
}
