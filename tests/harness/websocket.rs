//! Just enough WebSocket to knock at the door with any words.

use std::io::{self, Error};
use std::net::SocketAddr;

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
