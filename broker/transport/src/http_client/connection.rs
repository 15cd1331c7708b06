//! A connection to a server, plain or by TLS, and the task that keeps it going.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::failure::AskError;
use super::url::Url;

pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Connection {
    /// By TLS if the address says so; then there is a `connector`.
    pub(super) async fn open(url: &Url, connector: Option<&TlsConnector>) -> Result<Self, AskError> {
        let stream = TcpStream::connect((&*url.host, url.port)).await.map_err(AskError::Unreachable)?;
        // It would be no more than slower.
        let _ = stream.set_nodelay(true);
        match url.certified.clone().zip(connector) {
            None => Self::over(stream).await,
            Some((name, connector)) => {
                Self::over(connector.connect(name, stream).await.map_err(AskError::Tls)?).await
            }
        }
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, AskError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(AskError::Broken)?;
        // How it ends is told to whoever asks.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, task })
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, AskError> {
        self.sender.send_request(request).await.map_err(AskError::Broken)
    }

    /// Whether it waits for something to do.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether the server has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Also in the middle of an answer that nobody waits for any more.
        self.task.abort();
    }
}

/// What the head of an answer may have.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
