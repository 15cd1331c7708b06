//! Adapter: somebody else's client behind lines of text. It is told one thing at a time, and says as JSON what happened.

use std::collections::VecDeque;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::script::Script;
use serde_json::Value;

/// A client program that runs.
#[derive(Debug)]
pub(crate) struct Adapter {
    script: Script,
    /// Messages that came while an answer was waited for, in their order.
    aside: VecDeque<Value>,
}

impl Adapter {
    /// Starts it; it ends when this is dropped, without a word to the broker.
    ///
    /// # Errors
    ///
    /// If it cannot be run.
    pub(crate) fn start(name: &str, command: Command) -> Result<Self> {
        Ok(Self { script: Script::start(name, command)?, aside: VecDeque::new() })
    }

    /// Tells it to do something.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        self.script.tell(line)
    }

    /// Tells it to do something, and waits until it says this of it.
    ///
    /// # Errors
    ///
    /// If it says something else, other than messages, or nothing.
    pub(crate) fn ask(&mut self, line: &str, event: &str) -> Result<Value> {
        self.tell(line)?;
        self.answer(event)
            .with_context(|| format!("it was told: {}", line.chars().take(100).collect::<String>()))
    }

    /// Waits until it says this; messages are kept for later.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub(crate) fn answer(&mut self, event: &str) -> Result<Value> {
        loop {
            let said = self.script.json(PATIENCE)?;
            match said["event"].as_str() {
                Some(said_event) if said_event == event => return Ok(said),
                Some("message") => self.aside.push_back(said),
                _ => bail!("instead of {event} it says {said}"),
            }
        }
    }

    /// As [`Self::answer`], where it may say `before` any number of times before.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub(crate) fn answer_after(&mut self, before: &str, event: &str) -> Result<()> {
        loop {
            let said = self.script.json(PATIENCE)?;
            if said["event"] == event {
                return Ok(());
            }
            ensure!(said["event"] == before, "instead of {event} it says {said}");
        }
    }

    /// The next message.
    ///
    /// # Errors
    ///
    /// If it says something else, or nothing.
    pub(crate) fn message(&mut self) -> Result<Value> {
        if let Some(message) = self.aside.pop_front() {
            return Ok(message);
        }
        let said = self.script.json(PATIENCE)?;
        ensure!(said["event"] == "message", "instead of a message it says {said}");
        Ok(said)
    }
}

/// Bytes as the adapters write them, so that no line is broken by what it carries; `-` for none.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The bytes of [`hex`].
///
/// # Errors
///
/// If it is not that.
pub(crate) fn bytes(hex: &str) -> Result<Vec<u8>> {
    if hex == "-" {
        return Ok(Vec::new());
    }
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    digits.map(byte).collect::<Result<_>>().with_context(|| format!("no bytes: {hex:.60}"))
}

/// Only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(20);
