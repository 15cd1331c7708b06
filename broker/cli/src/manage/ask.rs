//! Questions to a broker that runs: HTTP over its Unix socket, or to its admin listener

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use transport::stream::Stream;
use transport::tls_client::Trust;

use crate::failure::Failure;

/// Where a broker answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In its data directory.
    Data(PathBuf),
    /// At its admin listener.
    Admin {
        /// `HOST:PORT`.
        address: String,
        /// Whom to believe that he is the broker; `None`: it is not by TLS.
        trust: Option<Trust>,
        /// A user and his password.
        login: Option<(String, String)>,
    },
}

impl Place {
    /// Of `http://HOST:PORT`, or less of it, or `https://HOST:PORT`. `trust` is asked whether it is by TLS.
    ///
    /// # Errors
    ///
    /// It is nothing like that.
    pub(crate) fn admin(
        url: &str,
        login: Option<(String, String)>,
        trust: impl FnOnce(bool) -> Result<Trust, Failure>,
    ) -> Result<Self, Failure> {
        let (rest, is_secure) = match url.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => (url.strip_prefix("http://").unwrap_or(url), false),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let is_odd = |char: char| char.is_whitespace() || char.is_control() || "/?#@".contains(char);
        if rest.is_empty() || rest.contains(is_odd) {
            let text = format!(
                "--admin {url:?} is not the address of an admin listener, such as http://127.0.0.1:{PORT}"
            );
            return Err(Failure::usage(text));
        }
        let has_port =
            rest.rsplit_once(':').is_some_and(|(host, _)| host.ends_with(']') || !host.contains(':'));
        let port = if is_secure { PORT_BY_TLS } else { PORT };
        let address = if has_port { rest.to_owned() } else { format!("{rest}:{port}") };
        let trust = trust(is_secure)?;
        Ok(Self::Admin { address, trust: is_secure.then_some(trust), login })
    }

    /// What is at `path`.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        Ok(self.ask("GET", path, None).await?.value)
    }

    /// Asks that something be done; what was answered, where it is not refused.
    ///
    /// # Errors
    ///
    /// No broker answers there, or it does not do this.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let body = body.map(Value::to_string);
        let answered = timeout(PATIENCE, async {
            match self {
                Self::Data(directory) => {
                    let socket = directory.join("admin.sock");
                    let stream = UnixStream::connect(&socket).await;
                    let stream = stream.map_err(|error| no_socket(&error, directory))?;
                    exchange(stream, &request(method, path, "localhost", "", body.as_deref())).await
                }
                Self::Admin { address, trust, login } => {
                    let stream = TcpStream::connect(address).await;
                    let stream = stream.map_err(|error| {
                        let scheme = if trust.is_some() { "https" } else { "http" };
                        Failure::runtime(format!(
                            "no admin listener answers at {scheme}://{address}/: {error}"
                        ))
                    })?;
                    let stream = match trust {
                        Some(trust) => trust
                            .shake(stream, host(address), &["http/1.1"])
                            .await
                            .map_err(Failure::runtime)?,
                        None => Stream::Plain(stream),
                    };
                    let shown = authorization(login.as_ref());
                    exchange(stream, &request(method, path, address, &shown, body.as_deref())).await
                }
            }
        });
        let late = || Failure::timeout(format!("the broker did not answer within {} s", PATIENCE.as_secs()));
        let (status, body) = answered.await.map_err(|_| late())??;
        let value: Option<Value> =
            if body.is_empty() { Some(Value::Null) } else { serde_json::from_slice(&body).ok() };
        let told = value.as_ref().and_then(|value| value.get("reason")?.as_str()).map(str::to_owned);
        match (status, value, told) {
            (200..=299, Some(value), _) => Ok(Answer { is_new: status == 201, value }),
            (400 | 413 | 415, _, Some(reason)) => Err(Failure::usage(reason)),
            (404, _, Some(reason)) => Err(Failure::not_found(reason)),
            (401 | 403 | 405 | 429, _, reason) => {
                Err(Failure::refused(reason.unwrap_or_else(|| "the broker refuses".into())))
            }
            (_, _, Some(reason)) => Err(Failure::runtime(reason)),
            (status, ..) => Err(Failure::runtime(format!(
                "what answers there is no broker that knows {path}: it says {status}"
            ))),
        }
    }
}

/// What a broker answered that did what it was asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// Whether something was made.
    pub(crate) is_new: bool,
    /// What it says; null where it says nothing.
    pub(crate) value: Value,
}

/// The name or number in `HOST:PORT`, without the brackets of IPv6.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// What keeps us from the socket, and what to do about it.
fn no_socket(error: &io::Error, directory: &Path) -> Failure {
    let (directory, kind) = (directory.display(), error.kind());
    if kind == io::ErrorKind::PermissionDenied {
        let text = format!("{directory}/admin.sock: {error}; ask as the user that runs the broker");
        return Failure::refused(text);
    }
    let why = if kind == io::ErrorKind::NotFound {
        "there is no admin.sock in it"
    } else if kind == io::ErrorKind::ConnectionRefused {
        "the one whose admin.sock is there has ended"
    } else {
        return Failure::runtime(format!("{directory}/admin.sock: {error}"));
    };
    Failure::runtime(format!(
        "no broker runs in the data directory {directory}: {why}. Name the broker's own with -d DIR, or its admin \
         listener with --admin URL"
    ))
}

/// The header that shows who asks (RFC 7617).
fn authorization(login: Option<&(String, String)>) -> String {
    let shown = |(user, password): &(String, String)| {
        format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
    };
    login.map(shown).unwrap_or_default()
}

/// To the end of the connection: nothing of the answer has to be taken apart.
fn request(method: &str, path: &str, host: &str, authorization: &str, body: Option<&str>) -> String {
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n{authorization}");
    let kind = "Content-Type: application/json\r\n";
    match body {
        Some(body) => format!("{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len()),
        None => format!("{head}\r\n"),
    }
}

/// One request and its answer: status and body.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> Result<(u16, Vec<u8>), Failure> {
    let lost = |error: io::Error| Failure::runtime(format!("the broker's answer was lost: {error}"));
    // A broker that refuses what is too large may answer and close before it has all of it.
    let written = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await;
    if answer.is_empty() {
        written.map_err(lost)?;
        read.map_err(lost)?;
    }
    parse(&answer).ok_or_else(|| Failure::runtime("what answers there does not speak HTTP"))
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = answer.split_at_checked(end + 4)?;
    let head = std::str::from_utf8(head).ok()?;
    let (_, rest) = head.strip_prefix("HTTP/1.")?.split_once(' ')?;
    let status = rest.get(..3)?.parse().ok()?;
    Some((status, body.to_vec()))
}

/// Where the admin listener is if nobody says otherwise.
const PORT: u16 = 15_672;
const PORT_BY_TLS: u16 = 15_671;
/// How long a broker may take, with tens of thousands of sessions to look at.
const PATIENCE: Duration = Duration::from_secs(30);
/// A page of ten thousand items is a few million bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_listener_is_named_in_full_or_in_part() {
        let check = |url: &str, expected: &str| {
            let found = Place::admin(url, None, |_| Ok(Trust::default()));
            let by_tls = url.starts_with("https://");
            assert!(
                matches!(&found, Ok(Place::Admin { address, trust, .. }) if address == expected && trust.is_some() == by_tls),
                "{url}: {found:?}"
            );
        };
        check("http://127.0.0.1:8080/", "127.0.0.1:8080");
        check("http://localhost", "localhost:15672");
        check("https://b.example", "b.example:15671");
        check("https://b.example:443/", "b.example:443");
        assert_eq!((host("b.example:443"), host("[::1]:443")), ("b.example", "::1"));
        check("[::1]:8080", "[::1]:8080");
        check("[::1]", "[::1]:15672");
        for wrong in ["", "http://", "https://", "http://h/path", "mqtt://h", "h\r\nx: y"] {
            assert!(Place::admin(wrong, None, |_| Ok(Trust::default())).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_taken_apart_or_is_none() {
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\na: b\r\n\r\n{}"), Some((200, b"{}".to_vec())));
        for wrong in [&b"HTTP/1.0 200 OK\r\n"[..], b"SSH-2.0\r\n\r\n", b"HTTP/1.1 x\r\n\r\n", b""] {
            assert_eq!(parse(wrong), None);
        }
    }
}
