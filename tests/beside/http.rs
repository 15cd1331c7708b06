//! A request to an admin API, with a name and a password, and its answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::wait::SOON;
use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 200, 201, 404, …
    pub(crate) status: u16,
    /// JSON, or null where there is none.
    pub(crate) body: Value,
}

/// Asks `address`, as the user guest.
///
/// # Errors
///
/// If no answer comes.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, body: &Value) -> Result<Answer> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    let login = STANDARD.encode("guest:guest");
    // 1.0: the answer comes in one piece, and its end is the connection's.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\nauthorization: Basic {login}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
    Ok(Answer { status, body: serde_json::from_str(body).unwrap_or(Value::Null) })
}
