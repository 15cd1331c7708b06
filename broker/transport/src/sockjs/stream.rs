//! Messages of SockJS as a byte stream: where one ends means nothing.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;

use crate::http::subprotocol::Protocol;
use crate::sockjs::framed::Framed;
use crate::sockjs::polled::Polled;
use crate::stream::Stream;
use crate::websocket::gather;

/// A client of SockJS, whatever its transport.
#[derive(Debug)]
pub struct SockJsStream {
    conversation: Conversation,
    protocol: Protocol,
    /// The beginning of a character: it can leave only with its rest.
    cut: Vec<u8>,
}

/// Messages both ways.
#[derive(Debug)]
pub enum Conversation {
    /// By requests.
    Polled(Polled),
    /// Over a WebSocket. Boxed: those that poll, of which there may be many, should not pay for its size.
    Framed(Box<Framed>),
}

impl SockJsStream {
    /// STOMP travels as text. MQTT is no text: each message holds Base64 (RFC 4648, 4).
    pub const fn new(conversation: Conversation, protocol: Protocol) -> Self {
        Self { conversation, protocol, cut: Vec::new() }
    }

    /// Appends what came to `buf`, until nothing more is there or it holds `enough` bytes; 0 if the peer is gone.
    ///
    /// # Errors
    ///
    /// Trouble with the network, or [`io::ErrorKind::InvalidData`] where the peer broke a rule.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        enough: usize,
    ) -> Poll<io::Result<usize>> {
        let before = buf.len();
        while buf.len() < enough.max(before + 1) {
            let message = match self.poll_recv(cx) {
                Poll::Ready(Ok(Some(message))) => message,
                // What was read stands first; the rest is told at the next call.
                Poll::Pending | Poll::Ready(_) if buf.len() > before => break,
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            };
            match self.protocol {
                Protocol::Stomp => buf.extend_from_slice(message.as_bytes()),
                Protocol::Mqtt => {
                    let bytes = STANDARD.decode(message).map_err(|error| {
                        let reason = format!("MQTT in SockJS travels as Base64, and this is none: {error}");
                        io::Error::new(io::ErrorKind::InvalidData, reason)
                    })?;
                    buf.extend_from_slice(&bytes);
                }
            }
        }
        Poll::Ready(Ok(buf.len() - before))
    }

    /// Sends what is in `slices`, or the beginning of it, as one message; returns how many bytes of it that were.
    ///
    /// # Errors
    ///
    /// The peer is gone, or [`io::ErrorKind::InvalidData`] where STOMP is to carry what is no text.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let step = match &mut self.conversation {
            Conversation::Polled(polled) => {
                ready!(polled.poll_room(cx))?;
                polled.step_bytes(STEP_BYTES_MAX)
            }
            Conversation::Framed(framed) => {
                ready!(framed.poll_room(cx))?;
                Framed::step_bytes(STEP_BYTES_MAX)
            }
        };
        let turn = gather(slices, step);
        let count = turn.len();
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        match self.protocol {
            Protocol::Mqtt => self.send(&STANDARD.encode(turn))?,
            Protocol::Stomp => {
                let text = self.text(turn)?;
                if !text.is_empty() {
                    self.send(&text)?;
                }
            }
        }
        Poll::Ready(Ok(count))
    }

    /// Ready when nothing is held back on this side: what waits for a poll is on its way.
    ///
    /// # Errors
    ///
    /// Trouble with the network.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.conversation {
            Conversation::Polled(_) => Poll::Ready(Ok(())),
            Conversation::Framed(framed) => framed.poll_flush(cx),
        }
    }

    /// Says good-bye; ready when the client was told.
    ///
    /// # Errors
    ///
    /// Trouble with the network.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.conversation {
            Conversation::Polled(polled) => polled.poll_close(cx).map(Ok),
            Conversation::Framed(framed) => framed.poll_close(cx),
        }
    }

    /// The connection below, if there is one.
    pub fn stream_mut(&mut self) -> Option<&mut Stream> {
        match &mut self.conversation {
            Conversation::Polled(_) => None,
            Conversation::Framed(framed) => Some(framed.stream_mut()),
        }
    }

    /// The connection below, if there is one, without what was still to be sent.
    pub fn into_stream(self) -> Option<Stream> {
        match self.conversation {
            Conversation::Polled(_) => None,
            Conversation::Framed(framed) => Some(framed.into_stream()),
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<String>>> {
        match &mut self.conversation {
            Conversation::Polled(polled) => polled.poll_recv(cx).map(Ok),
            Conversation::Framed(framed) => framed.poll_recv(cx),
        }
    }

    fn send(&mut self, message: &str) -> io::Result<()> {
        match &mut self.conversation {
            Conversation::Polled(polled) => {
                polled.send(message);
                Ok(())
            }
            Conversation::Framed(framed) => framed.send(message),
        }
    }

    /// The turn as text, behind what was cut off the one before; what is cut off its end waits.
    fn text(&mut self, turn: Vec<u8>) -> io::Result<String> {
        let mut bytes = std::mem::take(&mut self.cut);
        if bytes.is_empty() {
            bytes = turn;
        } else {
            bytes.extend_from_slice(&turn);
        }
        String::from_utf8(bytes).or_else(|error| {
            let fault = error.utf8_error();
            if fault.error_len().is_some() {
                let reason = "a binary body cannot travel in SockJS, which carries text alone";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            let mut bytes = error.into_bytes();
            self.cut = bytes.split_off(fault.valid_up_to());
            // Valid up to there.
            String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        })
    }
}

/// The longest message that we send, in bytes before it is JSON.
const STEP_BYTES_MAX: usize = 48 * 1024;
