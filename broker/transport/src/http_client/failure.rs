//! Why there is no answer.

use std::io;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there, or there is no such place.
    #[error("cannot connect: {0}")]
    Unreachable(io::Error),
    /// It is somebody else, or no TLS.
    #[error("no TLS connection: {0}")]
    Tls(io::Error),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke, or what came is not HTTP.
    #[error("no whole answer: {0}")]
    Broken(hyper::Error),
    /// The answer is larger than it may be.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The question cannot be written as HTTP.
    #[error("not a request")]
    Unsayable,
}
