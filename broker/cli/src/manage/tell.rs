//! Telling: what a command has to say, and how it ends

use std::io::{self, Write, stderr, stdout};
use std::process::ExitCode;

use crate::failure::Failure;

/// Tells what went wrong.
pub(crate) fn end(done: Result<(), Failure>) -> ExitCode {
    let Err(failure) = done else { return ExitCode::SUCCESS };
    // Whoever closed stderr does not want to know.
    let _ = stderr().write_all(format!("duetmq: {failure}\n").as_bytes());
    failure.code.into()
}

/// To standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match stdout().write_all(text.as_bytes()) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::runtime(format!("standard output: {error}"))),
    }
}
