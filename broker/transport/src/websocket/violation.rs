//! What a WebSocket peer can do wrong, and the close code that tells it.

use std::io;

use tokio_tungstenite::tungstenite;
use tungstenite::Error;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;

/// A rule that the peer broke. The connection ends with [`Self::code`] (RFC 6455, 7.4.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// MQTT is carried in binary messages.
    #[error("[MQTT-6.0.0-1] a WebSocket text message came where only binary ones may")]
    Text,
    /// A text message that is no text.
    #[error("a WebSocket text message is not UTF-8")]
    NotUtf8,
    /// A message longer than we take.
    #[error("a WebSocket message is longer than {max_bytes} bytes")]
    TooLong {
        /// The most that we take, in bytes.
        max_bytes: usize,
    },
    /// Frames that RFC 6455 does not allow.
    #[error("WebSocket framing: {0}")]
    Framing(ProtocolError),
}

impl Violation {
    /// What tells the peer.
    pub const fn code(&self) -> CloseCode {
        match self {
            Self::Text => CloseCode::Unsupported,
            Self::NotUtf8 => CloseCode::Invalid,
            Self::TooLong { .. } => CloseCode::Size,
            Self::Framing(_) => CloseCode::Protocol,
        }
    }

    /// The rule that an error of the WebSocket library is about; anything else is trouble with the network.
    ///
    /// # Errors
    ///
    /// That trouble.
    pub fn from_error(error: Error, max_bytes: usize) -> Result<Self, io::Error> {
        if let Error::Io(error) = error {
            return Err(error);
        }
        if let Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) = error {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Error::Protocol(error) = error {
            return Ok(Self::Framing(error));
        }
        if matches!(error, Error::Capacity(_)) {
            return Ok(Self::TooLong { max_bytes });
        }
        if matches!(error, Error::Utf8(_)) {
            return Ok(Self::NotUtf8);
        }
        Err(io::Error::other(error))
    }
}

impl From<Violation> for io::Error {
    fn from(violation: Violation) -> Self {
        Self::new(io::ErrorKind::InvalidData, violation)
    }
}
