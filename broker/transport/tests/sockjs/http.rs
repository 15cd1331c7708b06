//! A client that sends any request and hides nothing of the answer; and the server for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use transport::http::origins::Origins;
use transport::sockjs::options::Options;
use transport::tcp;

use crate::sockjs_echo::{serve, site};

/// The services, which pages of every origin may use, at a free port.
pub(crate) async fn start() -> SocketAddr {
    start_with(Options { origins: Origins::new(vec!["*".to_owned()]), ..Options::default() }).await
}

pub(crate) async fn start_with(options: Options) -> SocketAddr {
    let listener = tcp::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(serve(listener, Arc::new(site(options))));
    address
}

/// A path that no other session has.
pub(crate) fn session(service: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("/{service}/000/session-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn get(at: SocketAddr, path: &str) -> Answer {
    ask(at, "GET", path, &[], "").await
}

pub(crate) async fn post(at: SocketAddr, path: &str, body: &str) -> Answer {
    ask(at, "POST", path, &[], body).await
}

/// One request on a connection of its own, and the whole answer.
pub(crate) async fn ask(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut client = Client::dial(at).await;
    client.ask(method, path, headers, body).await;
    client.answer().await
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    version: &'static str,
}

/// An answer: its head, and its body as far as it was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Client {
    pub(crate) async fn dial(at: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(at).await.expect("connected"), version: "1.1" }
    }

    /// From another address of this machine.
    pub(crate) async fn dial_from(from: SocketAddr, at: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(from).expect("an address of this machine");
        Self { stream: socket.connect(at).await.expect("connected"), version: "1.1" }
    }

    /// Speaks HTTP/1.0.
    pub(crate) async fn dial_old(at: SocketAddr) -> Self {
        Self { version: "1.0", ..Self::dial(at).await }
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let mut text = format!("{method} {path} HTTP/{}\r\nHost: localhost\r\n", self.version);
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if method == "POST" {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        self.write(format!("{text}\r\n{body}").as_bytes()).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("sent");
    }

    /// The head of an answer.
    pub(crate) async fn head(&mut self) -> Answer {
        let text = self.until("\r\n\r\n").await;
        let mut lines = text.lines();
        let first = lines.next().expect("a status line");
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Answer { status, headers, body: String::new() }
    }

    /// All of an answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        if let Some(length) = answer.header("content-length") {
            answer.body = self.exactly(length.parse().expect("a number")).await;
        } else if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                answer.body.push_str(&chunk);
            }
        }
        answer
    }

    /// The next chunk of an answer that streams; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<String> {
        let size = self.until("\r\n").await;
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        let chunk = self.exactly(size).await;
        self.exactly(2).await;
        (size > 0).then_some(chunk)
    }

    async fn exactly(&mut self, count: usize) -> String {
        String::from_utf8(self.bytes(count).await).expect("text")
    }

    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timely(self.stream.read_exact(&mut bytes)).await.expect("so many bytes");
        bytes
    }

    /// What still comes until the server closes.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        timely(self.stream.read_to_end(&mut bytes)).await.expect("an orderly end");
        String::from_utf8(bytes).expect("text")
    }

    async fn until(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            bytes.push(timely(self.stream.read_u8()).await.expect("more"));
        }
        String::from_utf8(bytes).expect("text")
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The type, without spaces.
    pub(crate) fn content_type(&self) -> String {
        self.header("content-type").unwrap_or_default().replace(' ', "").to_lowercase()
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status, &*self.body), (status, body), "{self:?}");
    }

    #[track_caller]
    pub(crate) fn is_never_cached(&self) {
        let control = "no-store, no-cache, no-transform, must-revalidate, max-age=0";
        assert_eq!(self.header("cache-control"), Some(control), "{self:?}");
        assert!(self.header("expires").is_none() && self.header("last-modified").is_none(), "{self:?}");
    }

    #[track_caller]
    pub(crate) fn is_cached_for_a_year(&self) {
        assert_eq!(self.header("cache-control"), Some("public, max-age=31536000"), "{self:?}");
        assert!(self.header("expires").is_some() && self.header("last-modified").is_none(), "{self:?}");
    }

    /// Whether a page of that origin, or of none, may read it.
    #[track_caller]
    pub(crate) fn allows(&self, origin: Option<&str>) {
        let credentials = origin.map(|_| "true");
        assert_eq!(self.header("access-control-allow-origin"), Some(origin.unwrap_or("*")), "{self:?}");
        assert_eq!(self.header("access-control-allow-credentials"), credentials, "{self:?}");
    }
}

/// Waits, but not for ever.
pub(crate) async fn timely<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}
