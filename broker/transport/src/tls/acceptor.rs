//! Acceptor: a connection that was accepted, through its handshake

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::secure::Secure;
use crate::stream::Stream;
use crate::tls::certificate::Certificate;
use crate::tls::{Purpose, Tls};

/// Shakes hands for a listener.
#[derive(Debug, Clone)]
pub struct Acceptor {
    tls: Arc<Tls>,
    purpose: Purpose,
}

impl Acceptor {
    /// For a listener with that purpose.
    pub const fn new(tls: Arc<Tls>, purpose: Purpose) -> Self {
        Self { tls, purpose }
    }

    /// Shakes hands, in the time there is for it. Whoever speaks HTTP without TLS is told so in its words.
    ///
    /// # Errors
    ///
    /// Why nothing comes of the connection. The peer was told, as far as TLS has words for it.
    pub async fn accept(&self, stream: TcpStream) -> Result<Shaken, Unshaken> {
        let wait_max = self.tls.options.handshake_max;
        let shaken = tokio::time::timeout(wait_max, self.shake(stream)).await;
        shaken.unwrap_or(Err(HandshakeError::TimedOut(wait_max).into()))
    }

    /// As whom a certificate names a client, which is verified by now.
    fn name(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<Option<Arc<str>>, HandshakeError> {
        let naming = self.tls.options.clients.as_ref().and_then(|clients| clients.named_by);
        let (Some(naming), Some([first, ..])) = (naming, shown) else { return Ok(None) };
        let certificate = Certificate::read(first).map_err(HandshakeError::Nameless)?;
        match certificate.name(naming) {
            Some(name) => Ok(Some(name.into())),
            None => Err(HandshakeError::Nameless(certificate.subject)),
        }
    }

    async fn shake(&self, stream: TcpStream) -> Result<Shaken, Unshaken> {
        let mut stream = Stream::Plain(stream);
        // A record of a handshake begins so, in every version (RFC 8446, 5.1). Text that is none is waited for until it shows
        // what it is.
        let judge = |bytes: &[u8]| match bytes {
            [HANDSHAKE, ..] => Some(true),
            [first, ..] if first.is_ascii_uppercase() && bytes.len() < 4 => None,
            _ => Some(false),
        };
        let begun = stream.look(judge).await.map_err(HandshakeError::Network)?;
        let Some((is_tls, bytes)) = begun else { return Err(HandshakeError::Silent.into()) };
        if !is_tls {
            let shown = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(&bytes).escape_ascii().to_string();
            let error = HandshakeError::NoTls(shown);
            let speaks_http = METHODS.iter().any(|method| bytes.starts_with(method));
            let is_told = speaks_http && stream.write_all(NO_TLS.as_bytes()).await.is_ok();
            return Err(Unshaken { error, told: is_told.then_some(stream) });
        }
        let secure = match Secure::accept(self.tls.config(self.purpose), stream.into_socket()).await {
            Ok(secure) => secure,
            Err((error, socket)) => {
                return Err(Unshaken { error: HandshakeError::Failed(error), told: Some(socket.into()) });
            }
        };
        let name = self.name(secure.certificates());
        let stream = Stream::Secure(Box::new(secure));
        match name {
            Ok(name) => Ok(Shaken { stream, name }),
            Err(error) => Err(Unshaken { error, told: Some(stream) }),
        }
    }
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Shaken {
    /// What is said in it.
    pub stream: Stream,
    /// As whom the client's certificate names it; `None`: it showed none, or that is not asked.
    pub name: Option<Arc<str>>,
}

/// A connection of which nothing comes.
#[derive(Debug)]
pub struct Unshaken {
    /// Why.
    pub error: HandshakeError,
    /// The connection, where the peer was told something and should hear it; `None`: it is closed.
    pub told: Option<Stream>,
}

impl From<HandshakeError> for Unshaken {
    fn from(error: HandshakeError) -> Self {
        Self { error, told: None }
    }
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer left before it said anything.
    #[error("closed before it said anything")]
    Silent,
    /// It took too long.
    #[error("no TLS handshake within {0:?} (limits.tls_handshake)")]
    TimedOut(Duration),
    /// Something else was spoken.
    #[error("no TLS handshake came, and this listener speaks TLS alone; the first bytes are \"{0}\"")]
    NoTls(String),
    /// The two could not agree, or one did not believe the other.
    #[error("the TLS handshake failed: {0}")]
    Failed(io::Error),
    /// The client's certificate does not say who it is.
    #[error("the client's certificate ({0}) has no such name in it (tls.NAME.user_from)")]
    Nameless(String),
    /// The connection broke.
    #[error("{0}")]
    Network(io::Error),
}

impl HandshakeError {
    /// Whether it took too long.
    pub const fn is_late(&self) -> bool {
        matches!(self, Self::TimedOut(_))
    }

    /// Something that a health check or a scanner does all day.
    pub fn is_passing_by(&self) -> bool {
        match self {
            Self::Silent | Self::Network(_) => true,
            Self::Failed(error) => {
                matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
            }
            Self::TimedOut(_) | Self::NoTls(_) | Self::Nameless(_) => false,
        }
    }
}

/// The type of a record that carries a handshake.
const HANDSHAKE: u8 = 22;

/// How much of what a stranger said is shown in the log.
const SHOWN_BYTES_MAX: usize = 32;

/// How requests begin.
const METHODS: [&[u8]; 7] = [b"GET ", b"POST", b"PUT ", b"HEAD", b"PATC", b"DELE", b"OPTI"];

const NO_TLS: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\
                      Content-Length: 48\r\n\r\nThis port speaks TLS alone: use https or wss://\n";
