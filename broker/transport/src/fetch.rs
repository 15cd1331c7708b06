//! Fetch: a document of another server, by HTTP from this machine or by HTTPS from anywhere.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where a document is: `https://id.example.org/keys`. It follows no redirect, keeps no connection and knows no proxy: who is
/// asked is what was configured, and nobody else.
#[derive(Clone)]
pub struct Source {
    host: Box<str>,
    port: u16,
    authority: Box<str>,
    path: Box<str>,
    /// `None`: plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Source {
    /// Reads an address. Servers are known by the certificates of the operating system, or of `authorities`, a file of them as
    /// PEM. May wait for the disk.
    ///
    /// # Errors
    ///
    /// Why nobody can be asked there.
    pub fn new(text: &str, authorities: Option<&Path>) -> Result<Self, SourceError> {
        let uri: Uri = text.parse().map_err(|_| SourceError::Malformed)?;
        let authority = uri.authority().ok_or(SourceError::Malformed)?;
        if authority.as_str().contains('@') || text.contains('#') {
            return Err(SourceError::Malformed);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let has_port = authority.as_str() != authority.host();
        let (tls, usual) = match uri.scheme_str() {
            Some("https") => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| SourceError::Malformed)?;
                (Some((connector(authorities)?, name)), 443)
            }
            Some("http") if !is_this_machine(host) => return Err(SourceError::Plain),
            Some("http") if authorities.is_some() => return Err(SourceError::NoUse),
            Some("http") => (None, 80),
            Some(_) | None => return Err(SourceError::Malformed),
        };
        let port = if has_port { authority.port_u16() } else { Some(usual) };
        let (Some(port @ 1..), false) = (port, host.is_empty()) else { return Err(SourceError::Malformed) };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let (authority, path) = (authority.as_str().into(), path.into());
        Ok(Self { host: host.into(), port, authority, path, tls })
    }

    /// Gets the document, of at most `bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// It is not there, or not here `within` that time.
    pub async fn get(&self, bytes_max: usize, within: Duration) -> Result<Bytes, FetchError> {
        tokio::time::timeout(within, self.ask(bytes_max)).await.unwrap_or(Err(FetchError::TimedOut))
    }

    async fn ask(&self, bytes_max: usize) -> Result<Bytes, FetchError> {
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(FetchError::Unreachable)?;
        match &self.tls {
            None => self.converse(stream, bytes_max).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(FetchError::Tls)?;
                self.converse(stream, bytes_max).await
            }
        }
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        bytes_max: usize,
    ) -> Result<Bytes, FetchError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(FetchError::Broken)?;
        let request = Request::get(&*self.path)
            .header(HOST, &*self.authority)
            .header(USER_AGENT, "duetmq")
            .header(ACCEPT, "application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|_| FetchError::Unsayable)?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(FetchError::Broken)?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status().as_u16()));
            }
            let body = Limited::new(response.into_body(), bytes_max).collect().await;
            let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => FetchError::Broken(*error),
                Err(error) if error.is::<LengthLimitError>() => FetchError::TooLarge(bytes_max),
                Err(_) => FetchError::Unsayable,
            })?;
            Ok(body.to_bytes())
        };
        // The connection moves while the answer is waited for, and is gone with it. How it ends is told with the answer.
        let moved = async {
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            answer = answered => answer,
            answer = moved => answer,
        }
    }
}

/// Without its query, in which a secret may be.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

fn connector(authorities: Option<&Path>) -> Result<TlsConnector, SourceError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(path) => {
            let unusable = |why: String| SourceError::Authorities(path.display().to_string(), why);
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unusable("there is no certificate in it".to_owned()));
            }
        }
        // Some of a system's may be odd; those that are not are enough for those they are for.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SourceError::Authorities("TLS".to_owned(), error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Why a text is no address to fetch from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It is none.
    #[error("it is no address such as https://id.example.org/keys")]
    Malformed,
    /// Whoever is between could answer.
    #[error("http:// is for this machine alone (127.0.0.1, ::1, localhost); use https://")]
    Plain,
    /// Nothing would be checked with them.
    #[error("certificates are of no use with http://")]
    NoUse,
    /// The certificates cannot be used.
    #[error("{0}: {1}")]
    Authorities(String, String),
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody listens there, or there is no such place.
    #[error("cannot connect: {0}")]
    Unreachable(io::Error),
    /// It is somebody else, or no TLS.
    #[error("no TLS connection: {0}")]
    Tls(io::Error),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke, or what came is not HTTP.
    #[error("no whole answer: {0}")]
    Broken(hyper::Error),
    /// It answers, but not with a document. Redirects are not followed.
    #[error("the answer has status {0}, not 200")]
    Status(u16),
    /// It is larger than it may be.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The question cannot be written as HTTP, or the answer not be read.
    #[error("not HTTP")]
    Unsayable,
}

/// What the head of an answer may have.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
