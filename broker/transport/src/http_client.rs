//! HttpClient: asks another server, by HTTP or HTTPS, over connections that are kept where that helps.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::http::request;
use hyper::{Method, Request, Response};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::TlsConnector;

use self::connection::Connection;
use self::failure::AskError;
use self::trust::TrustError;
use self::url::Url;

pub mod url;

pub mod trust;

pub mod failure;

mod connection;

/// Asks one server. It follows no redirect, keeps no cookie and knows no proxy: who is asked is what was configured, and
/// nobody else.
pub struct HttpClient {
    url: Url,
    /// `None`: plain HTTP.
    connector: Option<TlsConnector>,
    answer_bytes_max: usize,
    /// One for each question that may be under way.
    places: Semaphore,
    /// Connections that nobody uses now; the last one was used last.
    idle: Mutex<Vec<Connection>>,
}

impl HttpClient {
    /// For `url`, with at most so many connections at a time. An answer may have that many bytes. A server that is asked by TLS
    /// is known by the certificates of the operating system, or of `authorities`, a file of them as PEM. May wait for the disk.
    ///
    /// # Errors
    ///
    /// The certificates cannot be used.
    pub fn new(
        url: Url,
        authorities: Option<&Path>,
        connections_max: usize,
        answer_bytes_max: usize,
    ) -> Result<Self, TrustError> {
        let connector = match (&url.certified, authorities) {
            (Some(_), authorities) => Some(trust::connector(authorities)?),
            (None, Some(_)) => return Err(TrustError::NoUse),
            (None, None) => None,
        };
        let places = Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS));
        Ok(Self { url, connector, answer_bytes_max, places, idle: Mutex::default() })
    }

    /// Whom it asks.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Gets what is there, as `accept` (`application/json`), and waits for all of it, whatever the status. It is asked for over
    /// a connection of its own: whoever comes now and then would find a kept one closed.
    ///
    /// # Errors
    ///
    /// There is no answer `within` that time; waiting for a connection is part of it.
    pub async fn get(&self, accept: &'static str, within: Duration) -> Result<Answer, AskError> {
        let ask = async {
            let _place = self.place().await?;
            let request = self.head(Method::GET).header(ACCEPT, accept).body(Full::default());
            let mut fresh = self.open().await?;
            let response = fresh.send(request.map_err(|_| AskError::Unsayable)?).await?;
            self.read(response).await
        };
        tokio::time::timeout(within, ask).await.unwrap_or(Err(AskError::TimedOut))
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
        let _place = self.place().await?;
        let question = question();
        if let Some(mut kept) = self.kept() {
            match kept.send(self.request(&question)?).await {
                Ok(response) => return self.read_and_keep(response, kept).await,
                // The server had closed it, most likely; nobody can tell before.
                Err(error) => drop((error, kept)),
            }
        }
        let mut fresh = self.open().await?;
        let response = fresh.send(self.request(&question)?).await?;
        self.read_and_keep(response, fresh).await
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>, AskError> {
        // Never closed.
        self.places.acquire().await.map_err(|_| AskError::TimedOut)
    }

    async fn open(&self) -> Result<Connection, AskError> {
        Connection::open(&self.url, self.connector.as_ref()).await
    }

    fn head(&self, method: Method) -> request::Builder {
        Request::builder()
            .method(method)
            .uri(&*self.url.path)
            .header(HOST, &*self.url.authority)
            .header(USER_AGENT, "duetmq")
    }

    fn request(&self, question: &Question) -> Result<Request<Full<Bytes>>, AskError> {
        let request = self.head(Method::POST).header(CONTENT_TYPE, question.content_type);
        let headers = question.headers.iter();
        let request = headers.fold(request, |request, (name, value)| request.header(*name, value.as_str()));
        request.body(Full::new(question.body.clone())).map_err(|_| AskError::Unsayable)
    }

    async fn read_and_keep(
        &self,
        response: Response<Incoming>,
        connection: Connection,
    ) -> Result<Answer, AskError> {
        let answer = self.read(response).await?;
        self.keep(connection);
        Ok(answer)
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Answer, AskError> {
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
        Ok(Answer { status: head.status.as_u16(), body: body.to_bytes() })
    }

    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: Connection) {
        if !connection.is_closed() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that were closed meanwhile are let go of.
            idle.retain(|other| !other.is_closed());
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_kept_and_one_that_broke_is_made_anew() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let (url, connections) = server(move |count| (answer, count % 3 == 2)).await;
        let client = HttpClient::new(url, None, 4, 100).unwrap();
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
            let client = HttpClient::new(url, None, 1, 10).unwrap();
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
        let nobody = HttpClient::new(Url::parse("http://127.0.0.1:1/").unwrap(), None, 1, 10).unwrap();
        let error = nobody.post(question, PATIENCE).await.unwrap_err();
        assert!(matches!(error, AskError::Unreachable(_)), "{error}");
        // Whoever waits for a connection waits no longer than for an answer.
        let (url, _) = server(|_| ("SILENT", false)).await;
        let client = Arc::new(HttpClient::new(url, None, 1, 10).unwrap());
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
