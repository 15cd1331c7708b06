//! Failure: why a command ends before its time, in one line, and the code it ends with.

use std::process::ExitCode;

/// Told on stderr; the code tells scripts what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Failure {
    /// What kind.
    pub(crate) code: Code,
    /// What, where, why, and what to do about it.
    pub(crate) text: String,
}

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// The network, the broker or a file did not do its part.
    Runtime = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// The broker does not let this user in, or not do this.
    Refused = 5,
    /// There is nothing of that name.
    NotFound = 6,
    /// An answer or a message did not come in time.
    Timeout = 7,
}

impl Failure {
    pub(crate) fn runtime(text: impl Into<String>) -> Self {
        Self { code: Code::Runtime, text: text.into() }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: Code::Usage, text: text.into() }
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self { code: Code::Refused, text: text.into() }
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self { code: Code::NotFound, text: text.into() }
    }

    pub(crate) fn timeout(text: impl Into<String>) -> Self {
        Self { code: Code::Timeout, text: text.into() }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}
