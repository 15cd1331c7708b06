//! Admin: the broker's HTTP, asked one request at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::broker::Broker;
use crate::door::Door;

/// Somebody who asks.
#[derive(Debug, Clone)]
pub struct Admin {
    place: Place,
    headers: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
enum Place {
    Socket(PathBuf),
    Listener(SocketAddr),
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub body: String,
}

impl Admin {
    /// At the socket in the broker's data directory: as whoever owns the broker.
    pub fn owner(broker: &Broker) -> Self {
        Self { place: Place::Socket(broker.data().join("admin.sock")), headers: Vec::new() }
    }

    /// At the admin listener, as nobody.
    pub fn nobody(broker: &Broker) -> Self {
        Self { place: Place::Listener(broker.at(Door::Admin)), headers: Vec::new() }
    }

    /// At the admin listener, with that name and password.
    pub fn user(broker: &Broker, user: &str, password: &str) -> Self {
        let shown = STANDARD.encode(format!("{user}:{password}"));
        Self::nobody(broker).with("authorization", &format!("Basic {shown}"))
    }

    /// With that header in every request, in place of another one of that name.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks for what is at `path`.
    ///
    /// # Errors
    ///
    /// If nobody answers.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.ask("GET", path, None)
    }

    /// Sends JSON, or nothing.
    ///
    /// # Errors
    ///
    /// If nobody answers.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let body = body.map(Value::to_string);
        let admin = self.clone();
        let admin = if body.is_some() || method == "POST" {
            let kind = self.headers.iter().find(|(name, _)| name == "content-type");
            let kind = kind.map_or("application/json", |(_, value)| value).to_owned();
            admin.with("content-type", &kind)
        } else {
            admin
        };
        admin.send(method, path, body.as_deref().unwrap_or_default().as_bytes())
    }

    /// Sends these bytes.
    ///
    /// # Errors
    ///
    /// If nobody answers.
    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !self.headers.iter().any(|(name, _)| name == "host") {
            request.push_str("host: localhost\r\n");
        }
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let request = [request.as_bytes(), body].concat();
        match &self.place {
            Place::Socket(path) => {
                let stream = UnixStream::connect(path).with_context(|| path.display().to_string())?;
                stream.set_read_timeout(Some(PATIENCE))?;
                exchange(stream, &request)
            }
            Place::Listener(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                exchange(stream, &request)
            }
        }
    }
}

impl Answer {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{self:?}"))
    }

    /// What an error says to people; empty where it says nothing.
    pub fn reason(&self) -> String {
        let reason = self.json().ok().and_then(|value| Some(value.get("reason")?.as_str()?.to_owned()));
        reason.unwrap_or_default()
    }
}

fn exchange(mut stream: impl Read + Write, request: &[u8]) -> Result<Answer> {
    // Whoever refuses a large body may have closed before all of it was sent; his answer is there all the same.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes)?;
    let (head, body) =
        text.split_once("\r\n\r\n").with_context(|| format!("a whole answer, not {text:?}"))?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    let header =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers = head.lines().skip(1).filter_map(header).collect();
    Ok(Answer { status, headers, body: body.to_owned() })
}

/// How long an answer may take; only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(30);
