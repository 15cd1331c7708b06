//! A header that the broker cannot act on.

use std::borrow::Cow;

use crate::destination::DestinationError;

/// A header that the broker cannot act on. The client gets an ERROR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    /// Its value means nothing.
    #[error("header {name} is '{value}'; expected {expected}.")]
    Value {
        /// Which.
        name: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        expected: Cow<'static, str>,
    },
    /// Only the broker may set it.
    #[error("'{0}' is not allowed on 'SEND': the broker sets it on MESSAGE.")]
    NotAllowed(&'static str),
    /// It asks for something that this broker does not do; ignoring it would break a promise that was never given.
    #[error("header {0} is not supported by this broker; leave it out.")]
    Unsupported(&'static str),
    /// `reply-to` names a queue that cannot be.
    #[error("header reply-to: {0}")]
    ReplyTo(DestinationError),
}

impl HeaderError {
    pub(crate) fn value(name: &'static str, value: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self::Value { name, value: value.into(), expected: expected.into() }
    }

    /// A few words for the `message` header.
    pub(crate) const fn summary(&self) -> &'static str {
        match self {
            Self::Value { .. } | Self::NotAllowed(_) | Self::Unsupported(_) => "Invalid header",
            Self::ReplyTo(error) => error.summary(),
        }
    }
}
