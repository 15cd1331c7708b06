//! Linger: an end that the peer hears, also where it was still speaking
//!
//! A socket that is closed with something unread in it, or to which more comes after that, answers by a reset, and a reset may
//! take what was written last down with it before anybody has read it. So whoever says good-bye stops writing first, and
//! throws away what still comes, for a while (RFC 9112, 9.6).

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::stream::Stream;

/// For how many peers it is waited at a time until they have heard the end. The connections of more than that are closed at once:
/// a crowd that does not listen takes no more than these places. Cloning it clones the handle.
#[derive(Debug, Clone)]
pub struct Patience(Arc<Semaphore>);

impl Patience {
    /// For so many.
    pub fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))))
    }

    /// Ends a connection on which all was said: ready when the peer has closed it too, or said nothing for two seconds, or went
    /// on for ten, or for 16 MiB. Meanwhile it costs a socket and no buffer.
    pub async fn linger(&self, mut stream: Stream) {
        // By TLS this is a last record: whoever takes nothing does not get that either.
        let shut = timeout(SILENCE_MAX, stream.shutdown()).await;
        let (Ok(Ok(())), Ok(_place)) = (shut, self.0.try_acquire()) else { return };
        // What still comes is not even decrypted.
        discard(&stream.into_socket()).await;
    }
}

async fn discard(socket: &TcpStream) {
    let until = Instant::now() + LINGER_MAX;
    let mut left = LINGER_BYTES_MAX;
    while left > 0 {
        let patience = until.min(Instant::now() + SILENCE_MAX);
        let Ok(Ok(())) = timeout_at(patience, socket.readable()).await else { return };
        match throw_away(socket) {
            Ok(0) => return,
            Ok(count) => left = left.saturating_sub(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Apart, so that nobody keeps the room for it while he waits.
fn throw_away(socket: &TcpStream) -> io::Result<usize> {
    socket.try_read(&mut [0; 16 * 1024])
}

/// A connection that a server of HTTP may use until it has said its last: then whoever lent it gets it back, and
/// [lingers](Patience::linger).
pub struct Lent {
    /// `None`: it is given back.
    stream: Option<Stream>,
    give_back: Option<Box<dyn FnOnce(Stream) + Send>>,
}

impl Lent {
    /// Lends a connection; `give_back` is called with it if the server shuts it down, and not if it drops it.
    pub fn new(stream: Stream, give_back: impl FnOnce(Stream) + Send + 'static) -> Self {
        Self { stream: Some(stream), give_back: Some(Box::new(give_back)) }
    }

    /// The connection, if it was not given back.
    pub fn into_stream(self) -> Option<Stream> {
        self.stream
    }

    fn stream(&mut self) -> io::Result<Pin<&mut Stream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl From<TcpStream> for Lent {
    /// For a server whose last word need not be heard.
    fn from(stream: TcpStream) -> Self {
        Self { stream: Some(stream.into()), give_back: None }
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl AsyncRead for Lent {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Lent {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().stream()?.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let lent = self.get_mut();
        ready!(lent.stream()?.poll_shutdown(cx))?;
        if let (Some(give_back), Some(stream)) = (lent.give_back.take(), lent.stream.take()) {
            give_back(stream);
        }
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().stream()?.poll_write_vectored(cx, bufs)
    }
}

/// How long a peer may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How long it may go on: as long as a login may take.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// How much of what it says is thrown away, in bytes.
const LINGER_BYTES_MAX: usize = 16 << 20;
