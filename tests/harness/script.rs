//! Script: somebody else's client, in Python, JavaScript or Ruby, that is told what to do line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::binary::root;
use crate::process::Process;

/// A program of `tests/python` with the packages that the tests want.
///
/// # Errors
///
/// If they were not installed.
pub fn python(script: &str) -> Result<Command> {
    let interpreter = tests().join(".venv/bin/python");
    ensure!(interpreter.exists(), "{} is missing; run tests/prepare once", interpreter.display());
    let mut command = Command::new(interpreter);
    // Output that waits in a buffer would look like silence.
    command.arg("-u").arg(tests().join("python").join(script));
    Ok(command)
}

/// A program of `tests/node` with the packages that the tests want.
///
/// # Errors
///
/// If they were not installed.
pub fn node(script: &str) -> Result<Command> {
    let packages = tests().join("node/node_modules");
    ensure!(packages.exists(), "{} is missing; run tests/prepare once", packages.display());
    let mut command = Command::new("node");
    command.arg(tests().join("node").join(script));
    Ok(command)
}

/// A program of `tests/ruby`.
///
/// # Errors
///
/// None here; it ends at once if Ruby or its packages were not installed, and says so.
pub fn ruby(script: &str) -> Result<Command> {
    // Debian's own: only that one has Debian's packages.
    let mut command = Command::new("/usr/bin/ruby");
    command.arg(tests().join("ruby").join(script));
    Ok(command)
}

fn tests() -> PathBuf {
    root().join("tests")
}

/// A running script.
#[derive(Debug)]
pub struct Script {
    name: String,
    input: ChildStdin,
    lines: Receiver<String>,
    process: Process,
}

impl Script {
    /// Starts it; `name` is how a failure speaks of it.
    ///
    /// # Errors
    ///
    /// If it cannot be run.
    pub fn start(name: &str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = Process::start(&mut command)?;
        let input = process.child().stdin.take().context("stdin is piped")?;
        let output = process.child().stdout.take().context("stdout is piped")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { name: name.to_owned(), input, lines, process })
    }

    /// Says a line to it.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        // In one piece: some programs take what comes together for one command.
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .with_context(|| format!("{} does not listen", self.name))
    }

    /// The next line that it says.
    ///
    /// # Errors
    ///
    /// If it says none within `within`, or has ended.
    pub fn line(&mut self, within: Duration) -> Result<String> {
        self.lines
            .recv_timeout(within)
            .with_context(|| format!("waited {within:?} for a word of {}", self.name))
    }

    /// The next line, which must be this.
    ///
    /// # Errors
    ///
    /// If it is another.
    pub fn expect(&mut self, wanted: &str, within: Duration) -> Result<()> {
        let line = self.line(within)?;
        ensure!(line == wanted, "{} said {line:?} instead of {wanted:?}", self.name);
        Ok(())
    }

    /// The next line, read as JSON.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn json(&mut self, within: Duration) -> Result<serde_json::Value> {
        let line = self.line(within)?;
        serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))
    }

    /// Waits until it ends.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        self.process.wait(within).with_context(|| self.name.clone())
    }
}
