//! Stream: a TCP connection, as it is or by TLS.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::rekeying::Rekeying;

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
    rekeying: Rekeying,
    /// What was looked at, and is still to be read.
    early: BytesMut,
}

impl Secure {
    /// Of a handshake that is done, with the keys that it left.
    pub(crate) fn new(stream: TlsStream<TcpStream>, rekeying: Rekeying) -> Self {
        Self { stream, rekeying, early: BytesMut::new() }
    }

    fn poll_decrypted(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = Pin::new(&mut self.stream);
        let polled = self.rekeying.watch(|| stream.poll_read(cx, buf));
        // An answer of TLS itself, such as the alert that refuses another handshake, would wait until somebody has something to
        // write. Whether it can leave now is seen there as well.
        if self.stream.get_ref().1.wants_write() {
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
        polled
    }

    /// Reads more of what is looked at; returns how much that is.
    async fn look_on(&mut self) -> io::Result<usize> {
        let mut bytes = [0; LOOK_BYTES_MAX];
        let room = LOOK_BYTES_MAX.saturating_sub(self.early.len());
        let mut more = ReadBuf::new(bytes.get_mut(..room).unwrap_or_default());
        poll_fn(|cx| self.poll_decrypted(cx, &mut more)).await?;
        self.early.extend_from_slice(more.filled());
        Ok(more.filled().len())
    }
}

impl Stream {
    /// Whether it is by TLS.
    pub const fn is_secure(&self) -> bool {
        matches!(self, Self::Secure(_))
    }

    /// The connection below: of TLS, what was read of it and not decrypted is gone.
    pub fn into_socket(self) -> TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Secure(secure) => match secure.stream {
                TlsStream::Server(stream) => stream.into_inner().0,
                TlsStream::Client(stream) => stream.into_inner().0,
            },
        }
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
            Self::Plain(stream) => {
                let judge = |bytes: &[u8]| Some((judge(bytes)?, bytes.to_vec()));
                look_at_socket(stream, LOOK_BYTES_MAX, judge).await
            }
            Self::Secure(secure) => loop {
                if let Some(found) = (!secure.early.is_empty()).then(|| judge(&secure.early)).flatten() {
                    return Ok(Some((found, secure.early.to_vec())));
                }
                match secure.look_on().await {
                    Ok(0) => return Ok(None),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
            },
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
        Poll::Ready(match ready!(self.poll_decrypted(cx, buf)) {
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
