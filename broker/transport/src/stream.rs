//! Stream: a TCP connection, as it is or by TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// Bytes both ways. Plain, it is the socket and nothing else.
#[derive(Debug)]
pub enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// Encrypted. Boxed: most connections should not pay for its size.
    Secure(Box<Secure>),
}

/// A connection by TLS, behind its handshake.
#[derive(Debug)]
pub struct Secure {
    stream: TlsStream<TcpStream>,
    /// What was looked at, and is still to be read.
    early: BytesMut,
}

impl Secure {
    /// Of a handshake that is done.
    pub(crate) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, early: BytesMut::new() }
    }
}

impl Stream {
    /// Whether it is by TLS.
    pub const fn is_secure(&self) -> bool {
        matches!(self, Self::Secure(_))
    }

    /// Waits until `judge` can tell from the first bytes what it wants to know, and leaves them where they are; returns them
    /// too. `judge` sees at most [`LOOK_BYTES_MAX`], and must know by then. `None` if the peer left before. The caller sets a
    /// limit to the patience.
    ///
    /// # Errors
    ///
    /// Trouble with the network, or with TLS.
    pub async fn look<T>(&mut self, judge: impl Fn(&[u8]) -> Option<T>) -> io::Result<Option<(T, Vec<u8>)>> {
        match self {
            Self::Plain(stream) => look_at_socket(stream, judge).await,
            Self::Secure(secure) => loop {
                if let Some(found) = (!secure.early.is_empty()).then(|| judge(&secure.early)).flatten() {
                    return Ok(Some((found, secure.early.to_vec())));
                }
                let room = LOOK_BYTES_MAX.saturating_sub(secure.early.len());
                let mut more = (&mut secure.stream).take(room as u64);
                match more.read_buf(&mut secure.early).await {
                    Ok(0) => return Ok(None),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
            },
        }
    }
}

async fn look_at_socket<T>(
    stream: &TcpStream,
    judge: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Option<(T, Vec<u8>)>> {
    loop {
        let mut bytes = [0; LOOK_BYTES_MAX];
        let count = stream.peek(&mut bytes).await?;
        let bytes = bytes.get(..count).unwrap_or_default();
        if count == 0 {
            return Ok(None);
        }
        if let Some(found) = judge(bytes) {
            return Ok(Some((found, bytes.to_vec())));
        }
        // What was peeked at is still there, so the socket stays ready: look again when more had time to come.
        tokio::time::sleep(LOOK_AGAIN).await;
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
        }
    }
}

impl AsyncRead for Secure {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let count = self.early.len().min(buf.remaining());
            buf.put_slice(self.early.get(..count).unwrap_or_default());
            self.early.advance(count);
            if self.early.is_empty() {
                self.early = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_read(cx, buf)) {
            // Left without the good-bye of TLS: many do, and every protocol here says itself where its messages end.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            read => read,
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_shutdown(cx),
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
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_write_vectored(cx, bufs),
        }
    }
}

/// How much is looked at, in bytes.
pub const LOOK_BYTES_MAX: usize = 64;

const LOOK_AGAIN: Duration = Duration::from_millis(20);
