//! A client in a browser, as the broker sees it: it subscribes to a room and notes when each message came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::report::Crowd;

/// Polls over SockJS until it is told that the session is over.
pub(crate) async fn poll(door: SocketAddr, number: usize, room: usize, crowd: Arc<Crowd>) -> Result<()> {
    let mut stream = BufReader::with_capacity(1024, TcpStream::connect(door).await?);
    let base = format!("/stomp/000/load-{number}");
    ensure!(ask(&mut stream, &base, "xhr", "").await? == "o\n", "no session");
    for frame in login(room) {
        let message = serde_json::to_string(&[frame])?;
        ask(&mut stream, &base, "xhr_send", &message).await?;
        ask(&mut stream, &base, "xhr", "").await?;
    }
    crowd.inside.fetch_add(1, Ordering::Relaxed);
    loop {
        let frame = ask(&mut stream, &base, "xhr", "").await?;
        match frame.as_bytes().first() {
            Some(b'a') => crowd.note(&frame),
            Some(b'h') => {}
            Some(b'c') if frame.starts_with("c[3000,") => return Ok(()),
            _ => bail!("{frame:?}"),
        }
    }
}

/// Reads a WebSocket until its close frame.
pub(crate) async fn socket(door: SocketAddr, number: usize, room: usize, crowd: Arc<Crowd>) -> Result<()> {
    let mut stream = BufReader::with_capacity(1024, TcpStream::connect(door).await?);
    let request = format!(
        "GET /ws?{number} HTTP/1.1\r\nHost: {door}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: v12.stomp\r\n\r\n"
    );
    stream.get_mut().write_all(request.as_bytes()).await?;
    let (status, _) = head(&mut stream).await?;
    ensure!(status == 101, "no upgrade: {status}");
    for frame in login(room) {
        let frame = frame.as_bytes();
        // Masked with zeros, which changes nothing.
        let mut bytes = vec![0x81, 0x80 | u8::try_from(frame.len())?, 0, 0, 0, 0];
        bytes.extend_from_slice(frame);
        stream.get_mut().write_all(&bytes).await?;
        message(&mut stream).await?.context("closed")?;
    }
    crowd.inside.fetch_add(1, Ordering::Relaxed);
    while let Some(text) = message(&mut stream).await? {
        crowd.note(&text);
    }
    Ok(())
}

/// CONNECT, and SUBSCRIBE with a receipt: each is answered by one frame.
fn login(room: usize) -> [String; 2] {
    [
        "CONNECT\naccept-version:1.2\nhost:/\n\n\0".to_owned(),
        format!("SUBSCRIBE\nid:1\nreceipt:1\ndestination:/topic/load.{room}\n\n\0"),
    ]
}

async fn ask(stream: &mut BufReader<TcpStream>, base: &str, what: &str, body: &str) -> Result<String> {
    let length = body.len();
    let request =
        format!("POST {base}/{what} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.get_mut().write_all(request.as_bytes()).await?;
    let (status, length) = head(stream).await?;
    ensure!(matches!(status, 200 | 204), "{what} of {base}: {status}");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8(body)?)
}

/// The head of an answer: its status and how long its body is.
async fn head(stream: &mut BufReader<TcpStream>) -> Result<(u16, usize)> {
    let (mut line, mut status, mut length) = (String::new(), None, 0);
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line).await? > 0, "closed in the middle of an answer");
        let text = line.trim_end();
        if let Some(status) = status.filter(|_| text.is_empty()) {
            return Ok((status, length));
        }
        if status.is_none() {
            status = Some(text.split(' ').nth(1).context("no status")?.parse()?);
        } else if let Some(value) = text.to_lowercase().strip_prefix("content-length: ") {
            length = value.parse()?;
        }
    }
}

/// The next message; `None` for a close frame with code 1000.
async fn message(stream: &mut BufReader<TcpStream>) -> Result<Option<String>> {
    let first = stream.read_u8().await?;
    let length = match stream.read_u8().await? {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length)?];
    stream.read_exact(&mut payload).await?;
    if first == 0x88 {
        ensure!(payload.starts_with(&1000_u16.to_be_bytes()), "closed with {payload:?}");
        return Ok(None);
    }
    Ok(Some(String::from_utf8(payload)?))
}
