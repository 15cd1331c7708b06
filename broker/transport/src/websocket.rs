//! Messages as a byte stream.
//!
//! Where a message ends means nothing: a packet may lie across several, and one may hold many (MQTT 5.0, 6.0). That is how
//! they are read. Those we send hold one packet each: some clients keep back what comes behind it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use crate::http::Upgraded;
use crate::http::subprotocol::Protocol;
use crate::stream::Stream;
use crate::websocket::packets::Place;
use crate::websocket::violation::Violation;

mod packets;
pub mod violation;

/// The server's end of a WebSocket. Pings and the closing handshake are answered while it is read.
#[derive(Debug)]
pub struct WebSocket {
    stream: WebSocketStream<Stream>,
    protocol: Protocol,
    message_bytes_max: usize,
    /// How far the packet came that is under way to the peer.
    place: Place,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    /// The peer broke a rule: told to whoever reads, and to the peer when we close.
    Broken(Violation),
    /// The close frame is under way; what still comes is of no interest.
    Closing,
}

impl WebSocket {
    /// Takes an upgraded connection over. Messages above `message_bytes_max`, in bytes, end it.
    pub async fn new(upgraded: Upgraded, message_bytes_max: usize) -> Self {
        let protocol = upgraded.protocol;
        let stream = accept(upgraded, message_bytes_max, TURN_FRAMED_BYTES_MAX).await;
        Self { stream, protocol, message_bytes_max, place: Place::default(), state: State::Open }
    }

    /// Appends what came to `buf`, until nothing more is there or it holds `enough` bytes; 0 if the peer closed.
    ///
    /// # Errors
    ///
    /// Trouble with the network, or a [`Violation`] as [`io::ErrorKind::InvalidData`].
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        enough: usize,
    ) -> Poll<io::Result<usize>> {
        let before = buf.len();
        while buf.len() < enough.max(before + 1) {
            if let State::Broken(violation) = &self.state {
                let violation = violation.clone();
                return self.read_or(before, buf, Poll::Ready(Err(violation.into())));
            }
            match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Pending => return self.read_or(before, buf, Poll::Pending),
                Poll::Ready(None) => return self.read_or(before, buf, Poll::Ready(Ok(0))),
                Poll::Ready(Some(Ok(message))) => self.take(message, buf),
                Poll::Ready(Some(Err(error))) => match Violation::from_error(error, self.message_bytes_max) {
                    Ok(violation) => self.state = State::Broken(violation),
                    Err(error) => return self.read_or(before, buf, end_of_stream(error)),
                },
            }
        }
        Poll::Ready(Ok(buf.len() - before))
    }

    /// Sends what is in `slices`, or the beginning of it: MQTT packet by packet, each as a message of its own where it is
    /// whole and not longer than 64 KiB; STOMP as one message. Returns how many bytes of it that were. They have left for
    /// the network only when [`Self::poll_flush`] is ready.
    ///
    /// # Errors
    ///
    /// Trouble with the network, or the peer has closed.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // The turn before has to leave first: there is room for one.
        ready!(self.poll_flush(cx))?;
        let turn = gather(slices, TURN_BYTES_MAX);
        Poll::Ready(match self.protocol {
            _ if turn.is_empty() => Ok(0),
            Protocol::Mqtt => self.send_packets(turn.into()),
            Protocol::Stomp => self.send(text_where_possible(turn)),
        })
    }

    /// Ready when nothing is held back that was written.
    ///
    /// # Errors
    ///
    /// Trouble with the network.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(network)
    }

    /// Says good-bye with the code that fits, and waits for the peer's; ready when only the connection below is left.
    ///
    /// # Errors
    ///
    /// Trouble with the network.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let frame = match &self.state {
            State::Open => Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }),
            State::Broken(violation) => {
                Some(CloseFrame { code: violation.code(), reason: violation.to_string().into() })
            }
            State::Closing => None,
        };
        if let Some(frame) = frame {
            ready!(self.poll_flush(cx))?;
            // Fails where the peer closed first: then its close frame was answered already.
            let _ = Pin::new(&mut self.stream).start_send(Message::Close(Some(frame)));
            self.state = State::Closing;
        }
        ready!(self.poll_flush(cx))?;
        while let Some(Ok(_)) = ready!(Pin::new(&mut self.stream).poll_next(cx)) {}
        Poll::Ready(Ok(()))
    }

    /// The connection below.
    pub fn stream_mut(&mut self) -> &mut Stream {
        self.stream.get_mut()
    }

    /// The connection below, without what was still to be sent.
    pub fn into_stream(self) -> Stream {
        self.stream.into_inner()
    }

    /// Sends the packets of a turn. One that is cut at the end is left for the next turn, unless it is the first.
    fn send_packets(&mut self, mut turn: Bytes) -> io::Result<usize> {
        let mut sent = 0;
        while !turn.is_empty() {
            let (count, place) = self.place.after(&turn);
            if sent > 0 && place != Place::Between {
                break;
            }
            sent += self.send(Message::binary(turn.split_to(count)))?;
            self.place = place;
        }
        Ok(sent)
    }

    /// Into the library's buffer; returns how many bytes the message holds.
    fn send(&mut self, message: Message) -> io::Result<usize> {
        let count = message.len();
        Pin::new(&mut self.stream).start_send(message).map_err(network)?;
        Ok(count)
    }

    fn take(&mut self, message: Message, buf: &mut BytesMut) {
        match (message, self.protocol) {
            (Message::Binary(data), _) => buf.extend_from_slice(&data),
            (Message::Text(text), Protocol::Stomp) => buf.extend_from_slice(text.as_bytes()),
            (Message::Text(_), Protocol::Mqtt) => self.state = State::Broken(Violation::Text),
            // The library answers pings and closing by itself, and never hands out a raw frame.
            (Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_), _) => {}
        }
    }

    /// What was read stands first; the rest is told at the next call.
    fn read_or(
        &mut self,
        before: usize,
        buf: &BytesMut,
        otherwise: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match buf.len() - before {
            0 => otherwise,
            count => Poll::Ready(Ok(count)),
        }
    }
}

/// Takes an upgraded connection over; `turn_bytes_max` bounds what is sent between one flush and the next, frame headers
/// included.
pub(crate) async fn accept(
    upgraded: Upgraded,
    message_bytes_max: usize,
    turn_bytes_max: usize,
) -> WebSocketStream<Stream> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        // Nothing leaves before the flush: a turn is one write, however many messages it is made of.
        .write_buffer_size(turn_bytes_max)
        // A turn and the pong or close frame behind it always fit: whoever writes waits until the one before left.
        .max_write_buffer_size(turn_bytes_max + CONTROL_BYTES_MAX)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max));
    let Upgraded { stream, early, .. } = upgraded;
    WebSocketStream::from_partially_read(stream, early.into(), Role::Server, Some(config)).await
}

/// The library's error for what is the network's.
pub(crate) fn network(error: Error) -> io::Error {
    if let Error::Io(error) = error { error } else { io::Error::other(error) }
}

/// The peer left without the closing handshake: many do.
pub(crate) fn end_of_stream(error: io::Error) -> Poll<io::Result<usize>> {
    let left = error.kind() == io::ErrorKind::UnexpectedEof;
    Poll::Ready(if left { Ok(0) } else { Err(error) })
}

/// The beginning of what is in `slices`, at most `bytes_max` bytes.
pub(crate) fn gather(slices: &[IoSlice<'_>], bytes_max: usize) -> Vec<u8> {
    let all: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut turn = Vec::with_capacity(all.min(bytes_max));
    for slice in slices {
        let room = bytes_max - turn.len();
        turn.extend_from_slice(slice.get(..room).unwrap_or(slice));
    }
    turn
}

/// Browsers hand text to the page as text. A character that is cut at the end of the turn is left for the next one.
fn text_where_possible(turn: Vec<u8>) -> Message {
    match String::from_utf8(turn) {
        Ok(text) => Message::text(text),
        Err(error) => {
            let cut = error.utf8_error();
            let whole = cut.valid_up_to();
            let mut turn = error.into_bytes();
            if cut.error_len().is_some() || whole == 0 {
                return Message::binary(turn);
            }
            turn.truncate(whole);
            String::from_utf8(turn).map_or_else(|error| Message::binary(error.into_bytes()), Message::text)
        }
    }
}

/// What an idle connection costs. The default of the library would be 128 KiB.
const READ_BUFFER_BYTES: usize = 4096;

/// The most that is sent at once, and the longest message. The library keeps a buffer of this size, and what the frame headers
/// take, for each connection that ever needed it.
const TURN_BYTES_MAX: usize = 64 * 1024;

/// A turn with its frame headers: nothing but the shortest packets doubles it, 2 bytes each with a header of 2. The rest of a
/// packet may be shorter than its header, but a turn has one at most.
const TURN_FRAMED_BYTES_MAX: usize = 2 * TURN_BYTES_MAX + 16;

/// Room for the frames that the library sends by itself, at most 127 bytes each: a pong and a close frame.
const CONTROL_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_sent_as_text_and_anything_else_as_binary() {
        assert_eq!(text_where_possible(b"MESSAGE".to_vec()), Message::text("MESSAGE"));
        assert_eq!(text_where_possible(b"a\xffb".to_vec()), Message::binary(b"a\xffb".to_vec()));
    }

    #[test]
    fn a_character_that_is_cut_at_the_end_waits_for_its_rest() {
        assert_eq!(text_where_possible("aé".as_bytes()[..2].to_vec()), Message::text("a"));
        // Nothing else to send: then it must go, or nothing ever would.
        assert_eq!(text_where_possible(b"\xc3".to_vec()), Message::binary(b"\xc3".to_vec()));
    }

    #[test]
    fn a_turn_is_cut_at_its_bound() {
        let large = vec![b'x'; TURN_BYTES_MAX - 1];
        let turn = gather(&[IoSlice::new(&large), IoSlice::new(b"yz")], TURN_BYTES_MAX);
        assert_eq!(turn.len(), TURN_BYTES_MAX);
        assert!(turn.ends_with(b"xy"));
    }
}
