//! HttpClient: asks another server, over connections that are kept.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Asks one server. It follows no redirect, keeps no cookie and knows no proxy: who is asked is what was configured, and
/// nobody else.
pub struct HttpClient {
    url: Url,
    answer_bytes_max: usize,
    /// One for each question that may be under way.
    places: Semaphore,
    /// Connections that nobody uses now; the last one was used last.
    idle: Mutex<Vec<Connection>>,
}

impl HttpClient {
    /// For `url`, with at most so many connections at a time. An answer may have that many bytes.
    pub fn new(url: Url, connections_max: usize, answer_bytes_max: usize) -> Self {
        let places = Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS));
        Self { url, answer_bytes_max, places, idle: Mutex::default() }
    }

    /// Posts a question, and waits for the whole answer, whatever its status. It is put into words once there is a connection
    /// for it, so that those who wait hold nothing. If a connection that was kept breaks before there is an answer, it is asked
    /// again, once, on a new one.
    ///
    /// # Errors
    ///
    /// There is no answer `within` that time; waiting for a connection is part of it.
    pub async fn post(
        &self,
        question: impl FnOnce() -> Question + Send,
        within: Duration,
    ) -> Result<Answer, AskError> {
        tokio::time::timeout(within, self.ask(question)).await.unwrap_or(Err(AskError::TimedOut))
    }

    async fn ask(&self, question: impl FnOnce() -> Question + Send) -> Result<Answer, AskError> {
        // Never closed.
        let _place = self.places.acquire().await.map_err(|_| AskError::TimedOut)?;
        let question = question();
        let request = || self.request(&question);
        if let Some(mut kept) = self.kept() {
            match kept.sender.send_request(request()?).await {
                Ok(response) => return self.read(response, kept).await,
                // The server had closed it, most likely; nobody can tell before.
                Err(error) => drop((error, kept)),
            }
        }
        let mut fresh = Connection::open(&self.url).await?;
        let response = fresh.sender.send_request(request()?).await.map_err(AskError::Broken)?;
        self.read(response, fresh).await
    }

    fn request(&self, question: &Question) -> Result<Request<Full<Bytes>>, AskError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&*self.url.path)
            .header(HOST, &*self.url.authority)
            .header(USER_AGENT, "duetmq")
            .header(CONTENT_TYPE, question.content_type);
        let headers = question.headers.iter();
        let request = headers.fold(request, |request, (name, value)| request.header(*name, value.as_str()));
        request.body(Full::new(question.body.clone())).map_err(|_| AskError::Unsayable)
    }

    async fn read(&self, response: Response<Incoming>, connection: Connection) -> Result<Answer, AskError> {
        let (head, body) = response.into_parts();
        if body.size_hint().lower() > self.answer_bytes_max as u64 {
            return Err(AskError::TooLarge(self.answer_bytes_max));
        }
        let body = Limited::new(body, self.answer_bytes_max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return AskError::TooLarge(self.answer_bytes_max);
            }
            error.downcast().map_or(AskError::Unsayable, |error| AskError::Broken(*error))
        })?;
        self.keep(connection);
        Ok(Answer { status: head.status.as_u16(), body: body.to_bytes() })
    }

    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: Connection) {
        if !connection.sender.is_closed() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that were closed meanwhile are let go of.
            idle.retain(|other| !other.sender.is_closed());
            idle.push(connection);
        }
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What a server is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// What the body is: `application/json`.
    pub content_type: &'static str,
    /// What else is said in the head.
    pub headers: Vec<(&'static str, String)>,
    /// The rest.
    pub body: Bytes,
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// All that came with it.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there, or there is no such place.
    #[error("cannot connect: {0}")]
    Unreachable(io::Error),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke, or what came is not HTTP.
    #[error("no whole answer: {0}")]
    Broken(hyper::Error),
    /// The answer is larger than it may be.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The question cannot be written as HTTP.
    #[error("not a request")]
    Unsayable,
}

/// A connection, and the task that keeps it going.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Connection {
    async fn open(url: &Url) -> Result<Self, AskError> {
        let stream = TcpStream::connect((&*url.host, url.port)).await.map_err(AskError::Unreachable)?;
        // It would be no more than slower.
        let _ = stream.set_nodelay(true);
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(AskError::Broken)?;
        // How it ends is told to whoever asks.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, task })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Also in the middle of an answer that nobody waits for any more.
        self.task.abort();
    }
}

/// Where a server is: `http://127.0.0.1:9000/hook`.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    host: Box<str>,
    port: u16,
    authority: Box<str>,
    /// With the query, if there is one.
    path: Box<str>,
}

impl Url {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// Why it is none that can be asked.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(if text.starts_with("https://") { UrlError::Tls } else { UrlError::Scheme });
        };
        let uri: hyper::Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::User);
        }
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        // What stands behind the host and is no port is not there, for the one who reads it.
        let is_bare = authority.as_str() == authority.host();
        let port = if is_bare { Some(80) } else { authority.port_u16() };
        let (Some(port @ 1..), false) = (port, host.is_empty()) else { return Err(UrlError::Malformed) };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { host: host.into(), port, authority: authority.as_str().into(), path: path.into() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// Without its query, in which a secret may be.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "\"http://{}{path}\"", self.authority)
    }
}

/// Why a text is no address that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is another kind of address.
    #[error("it must begin with http://")]
    Scheme,
    /// TLS is not there.
    #[error(
        "https:// is not supported; use http:// to this machine or a private network, or to a proxy on this machine that speaks TLS"
    )]
    Tls,
    /// It names a user.
    #[error("it must not name a user")]
    User,
    /// It has a part that is for browsers.
    #[error("it must not have a fragment (#)")]
    Fragment,
    /// It is no address.
    #[error("it is no address such as http://127.0.0.1:9000/hook")]
    Malformed,
}

/// What the head of an answer may have.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_is_http_and_says_where() {
        for (text, expected) in [
            ("http://127.0.0.1:9000/hook?a=b", "127.0.0.1 9000 127.0.0.1:9000 /hook?a=b"),
            ("http://app", "app 80 app /"),
            ("http://[::1]:80/x", "::1 80 [::1]:80 /x"),
            ("https://app/", "https:// is not supported"),
            ("ftp://app/", "it must begin with http://"),
            ("app:80", "it must begin with http://"),
            ("http://", "it is no address"),
            ("http://app:0/", "it is no address"),
            ("http://app:99999/", "it is no address"),
            ("http://a:b@app/", "it must not name a user"),
            ("http://app/#x", "it must not have a fragment"),
            ("http://app/a b", "it is no address"),
            ("http://app/\r\nx: y", "it is no address"),
        ] {
            let shown = match Url::parse(text) {
                Ok(url) => format!("{} {} {} {}", url.host, url.port, url.authority, url.path),
                Err(error) => error.to_string(),
            };
            assert!(shown.starts_with(expected), "{text}: {shown}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_one_that_broke_is_made_anew() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let (url, connections) = server(move |count| (answer, count % 3 == 2)).await;
        let client = HttpClient::new(url, 4, 100);
        for _ in 0..9 {
            let got = client.post(question, PATIENCE).await.unwrap();
            assert_eq!((got.status, &got.body[..]), (200, &b"ok"[..]));
        }
        // Each was closed behind its third answer, and that was no failure.
        assert_eq!(connections.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error_and_costs_no_more_than_it_may() {
        let check = async |answer: &'static str, expected: &str| {
            let (url, _) = server(move |_| (answer, true)).await;
            let client = HttpClient::new(url, 1, 10);
            let got = client.post(question, Duration::from_millis(300)).await;
            let shown = got.map_or_else(|error| error.to_string(), |answer| answer.status.to_string());
            assert!(shown.starts_with(expected), "{answer:?}: {shown}");
        };
        check("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n12345678901", "the answer has more than 10")
            .await;
        check("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n1", "the answer has more than 10").await;
        check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n1", "no whole answer").await;
        check("garbage\r\n\r\n", "no whole answer").await;
        check("", "no whole answer").await;
        // Told as it is; nobody goes there.
        check("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "302")
            .await;
        let nobody = HttpClient::new(Url::parse("http://127.0.0.1:1/").unwrap(), 1, 10);
        let error = nobody.post(question, PATIENCE).await.unwrap_err();
        assert!(matches!(error, AskError::Unreachable(_)), "{error}");
        // Whoever waits for a connection waits no longer than for an answer.
        let (url, _) = server(|_| ("SILENT", false)).await;
        let client = Arc::new(HttpClient::new(url, 1, 10));
        let ask = || {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.post(question, Duration::from_millis(200)).await.unwrap_err() })
        };
        let both = [ask(), ask()];
        for one in both {
            assert!(matches!(one.await.unwrap(), AskError::TimedOut));
        }
    }

    /// Answers each request of a connection by its number there; then, where it says so, closes.
    async fn server(
        answer: impl Fn(usize) -> (&'static str, bool) + Clone + Send + 'static,
    ) -> (Url, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut buf = [0; 4096];
                    for count in 0.. {
                        let mut head = Vec::new();
                        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                            match stream.read(&mut buf).await {
                                Ok(0) | Err(_) => return,
                                Ok(read) => head.extend_from_slice(&buf[..read]),
                            }
                        }
                        let (text, closes) = answer(count);
                        if text == "SILENT" {
                            std::future::pending::<()>().await;
                        }
                        let _ = stream.write_all(text.as_bytes()).await;
                        if closes {
                            return;
                        }
                    }
                });
            }
        });
        (url, connections)
    }

    fn question() -> Question {
        Question { content_type: "text/plain", headers: Vec::new(), body: Bytes::from_static(b"?") }
    }

    const PATIENCE: Duration = Duration::from_secs(20);
}
