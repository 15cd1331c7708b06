//! Requests by which a client receives: a frame in each answer, or many in one that streams.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep};

use crate::sockjs::frame::{Close, HEART_BEAT, script_string};
use crate::sockjs::options::Options;
use crate::sockjs::session::Session;

/// How frames are wrapped for a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrapping {
    /// A line in an answer of its own.
    Xhr,
    /// Lines.
    XhrStreaming,
    /// Events (HTML, 9.2).
    EventSource,
    /// Calls of a function of the frame around it, whose name this is.
    HtmlFile(String),
    /// A script that calls this function.
    Jsonp(String),
}

impl Wrapping {
    /// Whether one answer holds many frames.
    pub(crate) const fn is_stream(&self) -> bool {
        match self {
            Self::Xhr | Self::Jsonp(_) => false,
            Self::XhrStreaming | Self::EventSource | Self::HtmlFile(_) => true,
        }
    }

    /// The type of the answer.
    pub(crate) const fn content_type(&self) -> &'static str {
        match self {
            Self::Xhr | Self::XhrStreaming | Self::Jsonp(_) => "application/javascript; charset=UTF-8",
            Self::EventSource => "text/event-stream",
            Self::HtmlFile(_) => "text/html; charset=UTF-8",
        }
    }

    /// A frame as the transport has it.
    pub(crate) fn wrap(&self, frame: &str) -> Bytes {
        match self {
            Self::Xhr | Self::XhrStreaming => format!("{frame}\n"),
            Self::EventSource => format!("data: {frame}\r\n\r\n"),
            Self::HtmlFile(_) => format!("<script>\np({});\n</script>\r\n", script_string(frame)),
            // The comment keeps the answer from being taken for anything else (a Flash file, once).
            Self::Jsonp(callback) => format!("/**/{callback}({});\r\n", script_string(frame)),
        }
        .into()
    }

    /// What comes before the first frame: enough for browsers to begin with what they have.
    fn prelude(&self) -> Option<Bytes> {
        match self {
            Self::Xhr | Self::Jsonp(_) => None,
            Self::XhrStreaming => {
                let mut bytes = vec![b'h'; XHR_PRELUDE_BYTES];
                bytes.push(b'\n');
                Some(bytes.into())
            }
            Self::EventSource => Some(Bytes::from_static(b"\r\n")),
            Self::HtmlFile(callback) => {
                let head = HTML_HEAD.replace("{callback}", callback);
                Some(format!("{head:<HTML_PRELUDE_BYTES$}\r\n\r\n").into())
            }
        }
    }
}

/// Whoever receives from a session. If it is dropped before it was over, it was cut off.
#[derive(Debug)]
struct Receiver {
    session: Arc<Session>,
    is_over: bool,
}

impl Receiver {
    /// `None` if somebody else receives.
    fn attach(session: Arc<Session>) -> Option<Self> {
        // Made only then: dropping one cuts off whoever receives.
        session.attach().then(|| Self { session, is_over: false })
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        self.session.poll_frame(cx).map(|(frame, is_last)| {
            self.is_over = is_last;
            frame
        })
    }

    /// In good order.
    fn detach(&mut self) {
        if !self.is_over {
            self.is_over = true;
            self.session.detach();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.is_over {
            self.session.interrupt();
        }
    }
}

/// Waits for the one frame of an answer. Cancelled, it cuts the session off.
pub(crate) async fn receive_one(session: Arc<Session>, heart_beat: Duration) -> String {
    let Some(mut receiver) = Receiver::attach(session) else { return Close::StillOpen.frame().to_owned() };
    let frame = tokio::time::timeout(heart_beat, poll_fn(|cx| receiver.poll_frame(cx))).await;
    receiver.detach();
    frame.unwrap_or_else(|_| HEART_BEAT.to_owned())
}

/// An answer that streams. Dropped before its end, it cuts the session off.
pub(crate) struct Streaming {
    wrapping: Wrapping,
    receiver: Option<Receiver>,
    /// What is sent before the session is asked.
    prelude: Option<Bytes>,
    /// Told to whoever is one too many.
    refusal: Option<&'static str>,
    bytes_left: usize,
    heart_beat: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl Streaming {
    /// Of a session; to be called within a tokio runtime.
    pub(crate) fn new(session: Arc<Session>, wrapping: Wrapping, options: &Options) -> Self {
        let receiver = Receiver::attach(session);
        Self {
            prelude: wrapping.prelude(),
            refusal: receiver.is_none().then_some(Close::StillOpen.frame()),
            wrapping,
            receiver,
            bytes_left: options.stream_bytes,
            heart_beat: options.heart_beat,
            alarm: Box::pin(tokio::time::sleep(options.heart_beat)),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        if let Some(refusal) = self.refusal.take() {
            return Poll::Ready(Some(refusal.to_owned()));
        }
        let Some(receiver) = &mut self.receiver else { return Poll::Ready(None) };
        if receiver.is_over || self.bytes_left == 0 {
            receiver.detach();
            self.receiver = None;
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = receiver.poll_frame(cx) {
            return Poll::Ready(Some(frame));
        }
        self.alarm.as_mut().poll(cx).map(|()| Some(HEART_BEAT.to_owned()))
    }
}

impl Stream for Streaming {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let streaming = self.get_mut();
        if let Some(prelude) = streaming.prelude.take() {
            return Poll::Ready(Some(prelude));
        }
        streaming.poll_frame(cx).map(|frame| {
            let piece = streaming.wrapping.wrap(&frame?);
            streaming.bytes_left = streaming.bytes_left.saturating_sub(piece.len());
            streaming.alarm.as_mut().reset(Instant::now() + streaming.heart_beat);
            Some(piece)
        })
    }
}

/// Some browsers show nothing of an answer before so many bytes of it came.
const XHR_PRELUDE_BYTES: usize = 2048;
const HTML_PRELUDE_BYTES: usize = 1024;

const HTML_HEAD: &str = r#"<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.{callback};
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"#;
