//! SockJS over a WebSocket: its frames, one in each message.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Sink, Stream as _};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use crate::http::Upgraded;
use crate::sockjs::frame::{self, Close, HEART_BEAT, Messages, OPEN};
use crate::stream::Stream;
use crate::websocket::violation::Violation;
use crate::websocket::{accept, end_of_stream, network};

/// Messages to and from a client whose transport is a WebSocket.
#[derive(Debug)]
pub struct Framed {
    stream: WebSocketStream<Stream>,
    message_bytes_max: usize,
    inbound: VecDeque<String>,
    heart_beat: Duration,
    alarm: Pin<Box<Sleep>>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The client waits for its `o`.
    New,
    Open,
    /// The peer broke a rule of WebSocket: it is told which.
    Broken(Violation),
    /// What the client sent is not SockJS: it gets no word more.
    Garbled,
    /// The last frame is under way.
    Closing,
}

impl Framed {
    /// Takes an upgraded connection over. Messages above `message_bytes_max`, in bytes, end it. To be called within a
    /// tokio runtime.
    pub async fn new(upgraded: Upgraded, heart_beat: Duration, message_bytes_max: usize) -> Self {
        // JSON may make six bytes of one.
        let stream = accept(upgraded, message_bytes_max, 8 * STEP_BYTES_MAX).await;
        Self {
            stream,
            message_bytes_max,
            inbound: VecDeque::new(),
            heart_beat,
            alarm: Box::pin(tokio::time::sleep(heart_beat)),
            state: State::New,
        }
    }

    /// The next message; `None` if the peer closed.
    ///
    /// # Errors
    ///
    /// Trouble with the network, or [`io::ErrorKind::InvalidData`] where the peer broke a rule.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<String>>> {
        loop {
            if let Some(message) = self.inbound.pop_front() {
                return Poll::Ready(Ok(Some(message)));
            }
            match &self.state {
                State::New => ready!(self.poll_room(cx))?,
                State::Open | State::Closing => {}
                State::Broken(violation) => return Poll::Ready(Err(violation.clone().into())),
                State::Garbled => {
                    let reason = "what came over the WebSocket is not an array of strings, as SockJS has it";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
                }
            }
            self.beat(cx)?;
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                None => return Poll::Ready(Ok(None)),
                Some(Ok(message)) => self.take(message),
                Some(Err(error)) => match Violation::from_error(error, self.message_bytes_max) {
                    Ok(violation) => self.state = State::Broken(violation),
                    Err(error) => return end_of_stream(error).map_ok(|_| None),
                },
            }
        }
    }

    /// Ready when a message may be sent.
    ///
    /// # Errors
    ///
    /// Trouble with the network.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(network)?;
        if matches!(self.state, State::New) {
            self.state = State::Open;
            self.send_frame(OPEN)?;
            let _ = self.poll_flush(cx)?;
            ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(network)?;
        }
        Poll::Ready(Ok(()))
    }

    /// How long a message should be at most, in bytes.
    pub const fn step_bytes(bytes: usize) -> usize {
        if bytes < STEP_BYTES_MAX { bytes } else { STEP_BYTES_MAX }
    }

    /// Sends a message; there must be room.
    ///
    /// # Errors
    ///
    /// Trouble with the network.
    pub fn send(&mut self, message: &str) -> io::Result<()> {
        let mut messages = Messages::default();
        messages.push(message);
        self.send_frame(&messages.take())
    }

    /// Ready when nothing is held back that was sent.
    ///
    /// # Errors
    ///
    /// Trouble with the network.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(network)
    }

    /// Says good-bye and waits for the peer's; ready when only the connection below is left.
    ///
    /// # Errors
    ///
    /// Trouble with the network.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let last = match &self.state {
            State::New => {
                ready!(self.poll_room(cx))?;
                return self.poll_close(cx);
            }
            State::Open => CloseFrame { code: CloseCode::Normal, reason: "".into() },
            State::Broken(violation) => {
                CloseFrame { code: violation.code(), reason: violation.to_string().into() }
            }
            State::Garbled => return Poll::Ready(Ok(())),
            State::Closing => return self.poll_closed(cx),
        };
        ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(network)?;
        // Both fail where the peer closed first.
        if matches!(self.state, State::Open) {
            let _ = self.send_frame(Close::GoAway.frame());
        }
        let _ = Pin::new(&mut self.stream).start_send(Message::Close(Some(last)));
        self.state = State::Closing;
        self.poll_closed(cx)
    }

    /// The connection below.
    pub fn stream_mut(&mut self) -> &mut Stream {
        self.stream.get_mut()
    }

    /// The connection below, without what was still to be sent.
    pub fn into_stream(self) -> Stream {
        self.stream.into_inner()
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        while let Some(Ok(_)) = ready!(Pin::new(&mut self.stream).poll_next(cx)) {}
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, message: Message) {
        let data = match message {
            Message::Binary(data) => data,
            Message::Text(text) => text.into(),
            // The library answers pings and closing by itself, and never hands out a raw frame.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return,
        };
        match frame::websocket_messages(&data) {
            Ok(messages) => self.inbound.extend(messages),
            Err(_) => self.state = State::Garbled,
        }
    }

    /// Sends an `h` where nothing was sent for so long.
    fn beat(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while matches!(self.state, State::Open) && self.alarm.as_mut().poll(cx).is_ready() {
            // A peer that takes nothing needs no sign of life: that it gets one would be news.
            if Pin::new(&mut self.stream).poll_ready(cx).map_err(network)?.is_ready() {
                self.send_frame(HEART_BEAT)?;
                let _ = self.poll_flush(cx)?;
            } else {
                self.alarm.as_mut().reset(Instant::now() + self.heart_beat);
            }
        }
        Ok(())
    }

    fn send_frame(&mut self, frame: &str) -> io::Result<()> {
        self.alarm.as_mut().reset(Instant::now() + self.heart_beat);
        Pin::new(&mut self.stream).start_send(Message::text(frame)).map_err(network)
    }
}

/// How long a message is at most that we send, in bytes before it is JSON.
const STEP_BYTES_MAX: usize = 16 * 1024;
