//! A STOMP client that sends what it is told and shows all that comes.

use std::collections::VecDeque;
use std::io::{self, Error};
use std::net::SocketAddr;
use std::time::Duration;

use crate::socket::{Next, Socket};
use crate::wait::SOON;

/// A frame, either way, with its headers unescaped and in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// `SEND`, `MESSAGE`, …
    pub command: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What follows them.
    pub body: Vec<u8>,
}

impl Frame {
    /// Without headers or body.
    pub fn new(command: &str) -> Self {
        Self { command: command.to_owned(), ..Self::default() }
    }

    /// With a header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body and its length.
    #[must_use]
    pub fn body(self, body: &[u8]) -> Self {
        let mut frame = self.with("content-length", &body.len().to_string());
        frame.body = body.to_vec();
        frame
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body, where it is text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// As bytes, escaped as in 1.2 but for CONNECT.
    pub fn bytes(&self) -> Vec<u8> {
        let escaped = |text: &str| {
            if self.command == "CONNECT" {
                return text.to_owned();
            }
            text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace(':', "\\c")
        };
        let mut out = format!("{}\n", self.command).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(format!("{}:{}\n", escaped(name), escaped(value)).as_bytes());
        }
        out.push(b'\n');
        out.extend_from_slice(&self.body);
        out.push(0);
        out
    }
}

/// A connection that speaks STOMP.
#[derive(Debug)]
pub struct Client {
    /// What carries it.
    pub socket: Socket,
    /// Messages that came while a receipt was waited for, in their order.
    aside: VecDeque<Frame>,
}

impl Client {
    /// Connects, and says nothing yet.
    ///
    /// # Errors
    ///
    /// If nobody answers.
    pub fn dial(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: Socket::dial(address)?, aside: VecDeque::new() })
    }

    /// Connects with these versions and gets in; gives CONNECTED.
    ///
    /// # Errors
    ///
    /// If the broker does not say CONNECTED.
    pub fn connect(address: SocketAddr, versions: &str) -> io::Result<(Self, Frame)> {
        let mut client = Self::dial(address)?;
        client.send(&Frame::new("CONNECT").with("accept-version", versions).with("host", "/"))?;
        let connected = client.expect("CONNECTED")?;
        Ok((client, connected))
    }

    /// Connects as 1.2.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::connect(address, "1.2")?.0)
    }

    /// Sends a frame.
    ///
    /// # Errors
    ///
    /// If the peer is gone.
    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.socket.write(&frame.bytes())
    }

    /// The next frame, silence or end; heart-beats are passed over.
    ///
    /// # Errors
    ///
    /// If what came is no frame.
    pub fn next(&mut self, within: Duration) -> io::Result<Next<Frame>> {
        if let Some(frame) = self.aside.pop_front() {
            return Ok(Next::Some(frame));
        }
        self.socket.next(within, cut)
    }

    /// The next frame.
    ///
    /// # Errors
    ///
    /// If none comes.
    pub fn frame(&mut self) -> io::Result<Frame> {
        came(self.next(SOON)?)
    }

    /// The next frame, which must be of that kind.
    ///
    /// # Errors
    ///
    /// If another comes, or none.
    pub fn expect(&mut self, command: &str) -> io::Result<Frame> {
        named(self.frame()?, command)
    }

    /// Sends a frame with a receipt, and waits for the RECEIPT. Messages may come before it, and are kept for later.
    ///
    /// # Errors
    ///
    /// If something else comes.
    pub fn request(&mut self, frame: Frame) -> io::Result<()> {
        self.send(&frame.with("receipt", "asked"))?;
        let receipt = loop {
            let frame = came(self.socket.next(SOON, cut)?)?;
            if frame.command != "MESSAGE" {
                break named(frame, "RECEIPT")?;
            }
            self.aside.push_back(frame);
        };
        match receipt.header("receipt-id") {
            Some("asked") => Ok(()),
            other => Err(Error::other(format!("receipt-id is {other:?}"))),
        }
    }

    /// Subscribes, and waits until the subscription stands.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub fn subscribe(&mut self, id: &str, destination: &str, ack: &str) -> io::Result<()> {
        self.request(Frame::new("SUBSCRIBE").with("id", id).with("destination", destination).with("ack", ack))
    }

    /// Publishes a persistent message, and waits until the broker has it.
    ///
    /// # Errors
    ///
    /// As [`Self::request`].
    pub fn publish(&mut self, destination: &str, body: &[u8]) -> io::Result<()> {
        let frame = Frame::new("SEND").with("destination", destination).with("persistent", "true");
        self.request(frame.body(body))
    }

    /// Settles a MESSAGE by its `ack` header: `ACK` or `NACK`.
    ///
    /// # Errors
    ///
    /// If the message has none, or the peer is gone.
    pub fn settle(&mut self, command: &str, message: &Frame) -> io::Result<()> {
        let id = message.header("ack").ok_or_else(|| Error::other(format!("no ack header: {message:?}")))?;
        self.send(&Frame::new(command).with("id", id))
    }

    /// Whether the broker closes the connection, whatever it says before.
    ///
    /// # Errors
    ///
    /// If the connection fails in another way.
    pub fn closes(&mut self, within: Duration) -> io::Result<bool> {
        self.socket.closes(within)
    }
}

fn came(next: Next<Frame>) -> io::Result<Frame> {
    match next {
        Next::Some(frame) => Ok(frame),
        Next::Silence => Err(Error::other(format!("nothing came in {SOON:?}"))),
        Next::Closed => Err(Error::other("the broker closed the connection")),
    }
}

fn named(frame: Frame, command: &str) -> io::Result<Frame> {
    if frame.command == command {
        return Ok(frame);
    }
    Err(Error::other(format!("instead of {command} came {frame:?} {:?}", frame.text())))
}

/// Cuts a frame from the front of `buffer`; `None`: it is not all there.
///
/// # Errors
///
/// If what stands there is no frame.
pub fn cut(buffer: &mut Vec<u8>) -> io::Result<Option<Frame>> {
    let beats = buffer.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    buffer.drain(..beats);
    let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") else { return Ok(None) };
    let head = String::from_utf8(buffer.get(..end).unwrap_or_default().to_vec()).map_err(Error::other)?;
    let mut lines = head.split('\n');
    let command = lines.next().unwrap_or_default().to_owned();
    let headers = lines.map(header).collect::<io::Result<Vec<_>>>()?;
    let mut frame = Frame { command, headers, body: Vec::new() };
    let rest = buffer.get(end + 2..).unwrap_or_default();
    let size = match frame.header("content-length") {
        Some(size) => size.parse().map_err(Error::other)?,
        None => match rest.iter().position(|byte| *byte == 0) {
            Some(size) => size,
            None => return Ok(None),
        },
    };
    match rest.get(size) {
        Some(0) => {}
        Some(other) => {
            return Err(Error::other(format!("{other:#04x} instead of NUL after the body of {frame:?}")));
        }
        None => return Ok(None),
    }
    frame.body = rest.get(..size).unwrap_or_default().to_vec();
    buffer.drain(..end + 2 + size + 1);
    Ok(Some(frame))
}

fn header(line: &str) -> io::Result<(String, String)> {
    let (name, value) = line.split_once(':').ok_or_else(|| Error::other(format!("no header: {line:?}")))?;
    Ok((unescaped(name), unescaped(value)))
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        out.push(match letter {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('c') => ':',
                _ => '\\',
            },
            other => other,
        });
    }
    out
}
