//! Carrier: one type for all of them.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::http::subprotocol::Protocol;
use crate::http::{Framing, Upgraded};
use crate::peer::{Peer, Transport, Visitor};
use crate::sockjs::framed::Framed;
use crate::sockjs::polled::Polled;
use crate::sockjs::stream::{Conversation, SockJsStream};
use crate::stream::Stream;
use crate::websocket::WebSocket;

/// A connection as a stream of bytes both ways. It holds no buffer of its own (a WebSocket: 4 KiB for reading; a client that polls:
/// what waits for its next poll); several things can be waited for by one task, since every wait registers the same waker.
#[derive(Debug)]
pub struct Carrier {
    peer: Peer,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tcp(Stream),
    // Boxed: most connections should not pay for its size.
    WebSocket(Box<WebSocket>),
    SockJs(Box<SockJsStream>),
}

impl Carrier {
    /// A TCP connection, plain or by TLS.
    pub const fn tcp(stream: Stream, from: &Visitor) -> Self {
        Self { peer: from.by(Transport::Tcp), kind: Kind::Tcp(stream) }
    }

    /// A WebSocket, whose messages hold at most `message_bytes_max` bytes.
    pub async fn websocket(upgraded: Upgraded, from: &Visitor, message_bytes_max: usize) -> Self {
        let protocol = upgraded.protocol;
        match upgraded.framing {
            Framing::Plain => {
                let websocket = WebSocket::new(upgraded, message_bytes_max).await;
                Self { peer: from.by(Transport::WebSocket), kind: Kind::WebSocket(Box::new(websocket)) }
            }
            Framing::SockJs { heart_beat } => {
                let framed = Framed::new(upgraded, heart_beat, message_bytes_max).await;
                Self::sockjs(from, Conversation::Framed(Box::new(framed)), protocol)
            }
        }
    }

    /// A client of SockJS that polls, since that visit.
    pub fn polled(polled: Polled, from: &Visitor, protocol: Protocol) -> Self {
        Self::sockjs(from, Conversation::Polled(polled), protocol)
    }

    fn sockjs(from: &Visitor, conversation: Conversation, protocol: Protocol) -> Self {
        let stream = SockJsStream::new(conversation, protocol);
        Self { peer: from.by(Transport::SockJs), kind: Kind::SockJs(Box::new(stream)) }
    }

    /// Who is at the other end.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// Appends what came to `buf`, as much as its spare capacity holds, and says how much that was; 0 if the peer sends
    /// no more. The caller makes room first. A WebSocket's message is appended as a whole, also beyond the capacity.
    ///
    /// # Errors
    ///
    /// Trouble with the network, or [`io::ErrorKind::InvalidData`] where the peer broke the rules of the transport; its
    /// text is good for the log, and [`Self::poll_close`] tells the peer.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(stream) => pin!(stream.read_buf(buf)).poll(cx),
            Kind::WebSocket(websocket) => {
                let enough = buf.capacity();
                websocket.poll_read(cx, buf, enough)
            }
            Kind::SockJs(sockjs) => {
                let enough = buf.capacity();
                sockjs.poll_read(cx, buf, enough)
            }
        }
    }

    /// Writes the beginning of `slices`, as much as the network takes, and says how much that was.
    ///
    /// # Errors
    ///
    /// Trouble with the network; nothing more can be written.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match (&mut self.kind, slices) {
            // Cheaper than the vectored call where there is nothing to gather.
            (Kind::Tcp(stream), [slice]) => Pin::new(stream).poll_write(cx, slice),
            (Kind::Tcp(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
            (Kind::WebSocket(websocket), _) => websocket.poll_write(cx, slices),
            (Kind::SockJs(sockjs), _) => sockjs.poll_write(cx, slices),
        }
    }

    /// Ready when nothing that was written is held back on this side. To be called after a write that wrote everything,
    /// and again when woken until it is ready.
    ///
    /// # Errors
    ///
    /// Trouble with the network.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Kind::WebSocket(websocket) => websocket.poll_flush(cx),
            Kind::SockJs(sockjs) => sockjs.poll_flush(cx),
        }
    }

    /// Says that nothing more will be written, in the transport's own way. The caller sets a limit to the patience, and then
    /// [lingers](crate::linger::Patience::linger) with what [`Self::into_stream`] gives.
    ///
    /// # Errors
    ///
    /// Trouble with the network: closed all the same.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = match &mut self.kind {
            Kind::Tcp(stream) => stream,
            Kind::WebSocket(websocket) => {
                ready!(websocket.poll_close(cx))?;
                websocket.stream_mut()
            }
            Kind::SockJs(sockjs) => {
                ready!(sockjs.poll_close(cx))?;
                let Some(stream) = sockjs.stream_mut() else { return Poll::Ready(Ok(())) };
                stream
            }
        };
        Pin::new(stream).poll_shutdown(cx)
    }

    /// The connection below, of which nothing more is read or written; `None` where there is none that is the client's alone.
    pub fn into_stream(self) -> Option<Stream> {
        match self.kind {
            Kind::Tcp(stream) => Some(stream),
            Kind::WebSocket(websocket) => Some(websocket.into_stream()),
            Kind::SockJs(sockjs) => sockjs.into_stream(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carrier_is_small() {
        assert!(size_of::<Carrier>() <= 80, "{}", size_of::<Carrier>());
    }
}
