//! Acceptor: a connection that was accepted, through its handshake

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::stream::{Secure, Stream};
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
    /// Why there is no connection any more. The peer was told, as far as TLS has words for it.
    pub async fn accept(&self, stream: TcpStream) -> Result<Shaken, HandshakeError> {
        let wait_max = self.tls.options.handshake_max;
        let shaken = tokio::time::timeout(wait_max, self.shake(stream)).await;
        shaken.unwrap_or(Err(HandshakeError::TimedOut(wait_max)))
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

    async fn shake(&self, stream: TcpStream) -> Result<Shaken, HandshakeError> {
        let mut stream = Stream::Plain(stream);
        // A record of a handshake begins so, in every version (RFC 8446, 5.1). Text that is none is waited for until it shows
        // what it is.
        let judge = |bytes: &[u8]| match bytes {
            [HANDSHAKE, ..] => Some(true),
            [first, ..] if first.is_ascii_uppercase() && bytes.len() < 4 => None,
            _ => Some(false),
        };
        let begun = stream.look(judge).await.map_err(HandshakeError::Network)?;
        let Some((is_tls, bytes)) = begun else { return Err(HandshakeError::Silent) };
        let Stream::Plain(mut stream) = stream else { return Err(HandshakeError::Silent) };
        if !is_tls {
            if METHODS.iter().any(|method| bytes.starts_with(method)) {
                // Whether it is heard or not.
                let _ = tokio::time::timeout(GOOD_BYE_MAX, turn_away(&mut stream)).await;
            }
            let shown = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(&bytes).escape_ascii().to_string();
            return Err(HandshakeError::NoTls(shown));
        }
        let acceptor = TlsAcceptor::from(self.tls.config(self.purpose));
        let secure = acceptor.accept(stream).await.map_err(HandshakeError::Failed)?;
        let name = self.name(secure.get_ref().1.peer_certificates())?;
        Ok(Shaken { stream: Stream::Secure(Box::new(Secure::new(TlsStream::Server(secure)))), name })
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

/// Reads on until the peer has closed too: a socket that is closed with something unread in it takes what was written last
/// down with it.
async fn turn_away(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(NO_TLS.as_bytes()).await?;
    stream.shutdown().await?;
    let mut discarded = [0; 4096];
    while stream.read(&mut discarded).await? > 0 {}
    Ok(())
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

/// How long whoever speaks HTTP may take to hear that this is no place for it.
const GOOD_BYE_MAX: Duration = Duration::from_secs(1);

/// How requests begin.
const METHODS: [&[u8]; 7] = [b"GET ", b"POST", b"PUT ", b"HEAD", b"PATC", b"DELE", b"OPTI"];

const NO_TLS: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\
                      Content-Length: 48\r\n\r\nThis port speaks TLS alone: use https or wss://\n";
