//! Process: a child that never outlives the test that started it.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait::until;

/// A running child; killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// If the program cannot be run.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Self { child })
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        // An error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A signal by name, such as `TERM`.
    ///
    /// # Errors
    ///
    /// If it cannot be sent.
    pub fn signal(&self, name: &str) -> Result<()> {
        // The shell has `kill` built in; a program of that name is not everywhere.
        let script = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").arg("-c").arg(&script).stderr(Stdio::null()).status()?;
        anyhow::ensure!(status.success(), "{script}: {status}");
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// If it does not within `within`.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        until("the process to end", within, || self.ended())
    }
}

/// How much memory process `pid` has, in KiB: `VmRSS` is all that is resident, `RssAnon` what is its own (proc_pid_status(5)).
///
/// # Errors
///
/// If there is no such process, or the system does not tell.
pub fn memory_kib(pid: u32, which: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut words = status.lines().map(str::split_whitespace);
    let name = format!("{which}:");
    let line = words.find_map(|mut words| (words.next() == Some(&name)).then_some(words));
    let kib = line.and_then(|mut words| words.next()).with_context(|| format!("no {name} of {pid}"))?;
    kib.parse().with_context(|| format!("{name} {kib}"))
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
