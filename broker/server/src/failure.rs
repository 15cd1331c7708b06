//! Failure: why the process ends before its time, in one line, and the code it ends with.

use std::io::{self, Write};
use std::process::ExitCode;

/// Told on stderr; the code tells scripts what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// What kind.
    pub code: Code,
    /// What, where, why, and what to do about it.
    pub text: String,
}

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Something else went wrong.
    Other = 1,
    /// The arguments or the configuration cannot be used.
    Usage = 2,
    /// An address cannot be listened on.
    Bind = 3,
    /// Another broker uses the data directory.
    Locked = 4,
    /// It is not the password, or not allowed.
    Refused = 5,
    /// There is no such thing.
    NotFound = 6,
    /// The store is damaged.
    Damaged = 65,
    /// The disk failed; nothing more was acknowledged from then on.
    Disk = 74,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// Says something on stderr. Where that cannot be written, by a full disk or a closed pipe, life goes on without:
/// `eprintln!` would panic there, and what comes after it would never happen.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}
