//! Origin: where a value came from.

use std::fmt;
use std::sync::Arc;

/// Where a value was given. Shown by `duetmq check` and at the start of every complaint about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the broker's own choice.
    Default,
    /// A line of a file, counted from 1.
    File {
        /// The file, as it was named.
        file: Arc<str>,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Env(String),
    /// An argument of the command line, as it was written.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(text) => write!(f, "flag {text}"),
        }
    }
}

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where.
    pub origin: Origin,
    /// What, why, and what to do.
    pub text: String,
}

impl ConfigError {
    pub(crate) fn new(origin: &Origin, text: impl Into<String>) -> Self {
        Self { origin: origin.clone(), text: text.into() }
    }
}

/// `duetmq.toml:14: unknown key "listner" - did you mean "listener"?`
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => f.write_str(&self.text),
            Origin::File { file, line } => write!(f, "{file}:{line}: {}", self.text),
            Origin::Env(name) => write!(f, "environment {name}: {}", self.text),
            Origin::Flag(text) => write!(f, "{text}: {}", self.text),
        }
    }
}

impl std::error::Error for ConfigError {}
