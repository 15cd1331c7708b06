//! Frame and Command.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use crate::headers::Headers;

/// A frame with its escapes resolved. What it was decoded from is shared, not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it asks or says.
    pub command: Command,
    /// Its headers, as they were written, `content-length` included.
    pub headers: Headers,
    /// Its body; empty unless the command is one of SEND, MESSAGE and ERROR.
    pub body: Bytes,
}

impl Frame {
    /// A frame without headers and without a body.
    pub fn new(command: Command) -> Self {
        Self { command, headers: Headers::default(), body: Bytes::new() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: impl Into<ByteString>, value: impl Into<ByteString>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The same with that body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&ByteString> {
        self.headers.get(name)
    }
}

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The first line of a frame (STOMP 1.2, "Augmented BNF").
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Command {
            $($(#[$doc])* $name,)*
        }

        impl Command {
            /// Reads the first line of a frame: case-sensitive, no blanks around it.
            pub fn parse(line: &[u8]) -> Option<Self> {
                $(if line == $text.as_bytes() {
                    return Some(Self::$name);
                })*
                None
            }

            /// As it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

commands! {
    /// A message for a destination.
    Send = "SEND",
    /// A message from a subscription.
    Message = "MESSAGE",
    /// One or more messages are processed.
    Ack = "ACK",
    /// One or more messages are not.
    Nack = "NACK",
    /// A frame is processed.
    Receipt = "RECEIPT",
    /// Asks for messages of a destination.
    Subscribe = "SUBSCRIBE",
    /// Asks for no more of them.
    Unsubscribe = "UNSUBSCRIBE",
    /// Starts a transaction.
    Begin = "BEGIN",
    /// Makes one take effect.
    Commit = "COMMIT",
    /// Drops one.
    Abort = "ABORT",
    /// Good-bye.
    Disconnect = "DISCONNECT",
    /// The first frame of a client.
    Connect = "CONNECT",
    /// The same, under a name that no HTTP request starts with.
    Stomp = "STOMP",
    /// The first frame of a server.
    Connected = "CONNECTED",
    /// The last frame of a server.
    Error = "ERROR",
}

impl Command {
    /// Whether such a frame may have a body (STOMP 1.2, "Body").
    pub const fn may_have_body(self) -> bool {
        matches!(self, Self::Send | Self::Message | Self::Error)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
