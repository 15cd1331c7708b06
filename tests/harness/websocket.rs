//! Just enough WebSocket to knock at the door with any words.

use std::io::{self, Error};
use std::net::SocketAddr;
use std::time::Duration;

use crate::socket::{Next, Socket};
use crate::wait::SOON;

/// Sends an upgrade request with these subprotocols, and gives the head of the answer and the connection.
///
/// # Errors
///
/// If no answer comes.
pub fn upgrade(address: SocketAddr, path: &str, subprotocols: &str) -> io::Result<(String, Socket)> {
    let mut socket = Socket::dial(address)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {subprotocols}\r\n\r\n"
    );
    socket.write(request.as_bytes())?;
    match socket.next(SOON, head)? {
        Next::Some(answer) => Ok((answer, socket)),
        Next::Silence | Next::Closed => Err(Error::other("no answer to the upgrade request")),
    }
}

/// A WebSocket whose messages are one stream of bytes.
#[derive(Debug)]
pub struct WebSocket {
    socket: Socket,
    /// What came in messages and was not yet taken.
    pub bytes: Vec<u8>,
}

impl WebSocket {
    /// After the upgrade.
    pub const fn new(socket: Socket) -> Self {
        Self { socket, bytes: Vec::new() }
    }

    /// Sends a binary message.
    ///
    /// # Errors
    ///
    /// If the peer is gone.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.socket.write(&binary(payload))
    }

    /// Waits for a message.
    ///
    /// # Errors
    ///
    /// If none comes, or one that is not whole.
    pub fn receive(&mut self) -> io::Result<()> {
        match self.socket.next(SOON, message)? {
            Next::Some(message) => {
                self.bytes.extend(message);
                Ok(())
            }
            Next::Silence | Next::Closed => Err(Error::other("no message in the WebSocket")),
        }
    }

    /// Whether the broker closes the WebSocket next, and then the connection.
    ///
    /// # Errors
    ///
    /// If something else comes before, or the connection fails in another way.
    pub fn ends(&mut self, within: Duration) -> io::Result<bool> {
        if self.socket.next(within, close)? != Next::Some(()) {
            return Ok(false);
        }
        // The broker waits for the answer, for a while.
        let _ = self.socket.write(&[0x88, 0x80, 1, 2, 3, 4]);
        self.socket.closes(within)
    }
}

/// The broker's close frame.
fn close(buffer: &mut Vec<u8>) -> io::Result<Option<()>> {
    match buffer.as_slice() {
        [] => Ok(None),
        [0x88, ..] => {
            buffer.clear();
            Ok(Some(()))
        }
        other => Err(Error::other(format!("instead of a close frame: {other:?}"))),
    }
}

/// A message of the broker's, text or binary, in one frame, which is not masked (RFC 6455, 5.2).
fn message(buffer: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let (size, head) = match buffer.as_slice() {
        [0x81 | 0x82, short @ 0..=125, ..] => (usize::from(*short), 2),
        [0x81 | 0x82, 126, high, low, ..] => (usize::from(*high) << 8 | usize::from(*low), 4),
        [0x81 | 0x82, 126, ..] | [] | [0x81 | 0x82] => return Ok(None),
        other => return Err(Error::other(format!("no short message: {other:?}"))),
    };
    if buffer.len() < head + size {
        return Ok(None);
    }
    Ok(Some(buffer.drain(..head + size).skip(head).collect()))
}

/// A binary message in one masked frame (RFC 6455, 5.2).
pub fn binary(payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![0x82];
    match u16::try_from(payload.len()) {
        Ok(size) if size < 126 => out.push(0x80 | size.to_be_bytes()[1]),
        Ok(size) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&size.to_be_bytes());
        }
        Err(_) => {
            out.push(0x80 | 127);
            out.extend_from_slice(&u64::try_from(payload.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn head(buffer: &mut Vec<u8>) -> io::Result<Option<String>> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = buffer.drain(..end + 4).collect();
    String::from_utf8(head).map(Some).map_err(Error::other)
}
