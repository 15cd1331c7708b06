//! Stream: a TCP connection, as it is or by TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::secure::Secure;

/// Bytes both ways. Plain, it is the socket and nothing else.
#[derive(Debug)]
pub enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// Encrypted, the broker's end. Boxed: most connections should not pay for its size.
    Secure(Box<Secure>),
    /// Encrypted, the end of one who called a broker.
    Called(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether it is by TLS.
    pub const fn is_secure(&self) -> bool {
        matches!(self, Self::Secure(_) | Self::Called(_))
    }

    /// The connection below: of TLS, what was read of it and not decrypted is gone.
    pub fn into_socket(self) -> TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Secure(secure) => secure.into_socket(),
            Self::Called(called) => called.into_inner().0,
        }
    }

    /// Waits until `judge` can tell from the first bytes what it wants to know, and leaves them where they are; returns them
    /// too. `judge` sees at most [`LOOK_BYTES_MAX`], and must know by then. `None` if the peer left before. The caller sets a
    /// limit to the patience.
    ///
    /// # Errors
    ///
    /// Trouble with the network, or with TLS; and whoever called need not look: he knows what he wants to speak.
    pub async fn look<T>(&mut self, judge: impl Fn(&[u8]) -> Option<T>) -> io::Result<Option<(T, Vec<u8>)>> {
        match self {
            Self::Plain(stream) => {
                let judge = |bytes: &[u8]| Some((judge(bytes)?, bytes.to_vec()));
                look_at_socket(stream, LOOK_BYTES_MAX, judge).await
            }
            Self::Secure(secure) => loop {
                let seen = secure.plain();
                let seen = seen.get(..LOOK_BYTES_MAX).unwrap_or(seen);
                if let Some(found) = (!seen.is_empty()).then(|| judge(seen)).flatten() {
                    return Ok(Some((found, seen.to_vec())));
                }
                if seen.len() == LOOK_BYTES_MAX || !secure.more().await? {
                    return Ok(None);
                }
            },
            Self::Called(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Looks at what came, at `bytes_max` of it at most, each time that more has come, until `judge` knows; `None` if the peer has
/// ended before.
///
/// # Errors
///
/// Trouble with the network.
pub(crate) async fn look_at_socket<T>(
    socket: &TcpStream,
    bytes_max: usize,
    mut judge: impl FnMut(&[u8]) -> Option<T>,
) -> io::Result<Option<T>> {
    loop {
        // Seen before the look: whatever comes behind this end, nothing does.
        let is_ended = socket.ready(Interest::READABLE).await?.is_read_closed();
        // What is looked at stays there, and the socket would be ready for ever. That there is nothing to be read yet is what makes
        // it wait for more.
        let looked = socket.try_io(Interest::READABLE, || {
            let mut bytes = vec![0; bytes_max];
            let (count, _) = rustix::net::recv(socket, bytes.as_mut_slice(), RecvFlags::PEEK)?;
            match judge(bytes.get(..count).unwrap_or_default()) {
                Some(found) if count > 0 => Ok(Some(found)),
                _ if count == 0 || is_ended => Ok(None),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            }
        });
        match looked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            looked => return looked,
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Plain(stream)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Secure(secure) => Pin::new(&mut **secure).poll_read(cx, buf),
            Self::Called(called) => Pin::new(&mut **called).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Secure(secure) => Pin::new(&mut **secure).poll_write(cx, buf),
            Self::Called(called) => Pin::new(&mut **called).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(secure) => Pin::new(&mut **secure).poll_flush(cx),
            Self::Called(called) => Pin::new(&mut **called).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(secure) => Pin::new(&mut **secure).poll_shutdown(cx),
            Self::Called(called) => Pin::new(&mut **called).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Secure(secure) => Pin::new(&mut **secure).poll_write_vectored(cx, bufs),
            Self::Called(called) => Pin::new(&mut **called).poll_write_vectored(cx, bufs),
        }
    }
}

/// How much is looked at, in bytes.
pub const LOOK_BYTES_MAX: usize = 64;
