//! What other servers say: good ones, bad ones, and somebody else.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the tests themselves")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use transport::http_client::failure::AskError;
use transport::http_client::trust::TrustError;
use transport::http_client::url::Url;
use transport::http_client::{Answer, HttpClient, Question};

#[tokio::test]
async fn what_is_no_document_is_an_error_and_costs_no_more_than_it_may() {
    let check = async |answer: &'static str, expected: &str| {
        let client = client(&format!("http://127.0.0.1:{}/k?x=y", plain(answer).await), None).unwrap();
        let got = client.get("application/json", Duration::from_secs(1)).await;
        let shown = got.map_or_else(|error| error.to_string(), |answer| shown(&answer));
        assert!(shown.starts_with(expected), "{answer:?}: {shown}");
    };
    check("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789", "200 0123456789").await;
    check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "200 ok").await;
    check("HTTP/1.0 200 OK\r\n\r\nok", "200 ok").await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n01234567890", "the answer has more than 10").await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n01", "no whole answer").await;
    // Told as it is; nobody goes there.
    check("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "302 ").await;
    check("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nok", "404 ok").await;
    check("garbage\r\n\r\n", "no whole answer").await;
    check("", "no whole answer").await;
    check("SILENT", "no answer in time").await;
    let nobody = client("http://127.0.0.1:1/", None).unwrap();
    let error = nobody.get("application/json", Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, AskError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn a_server_is_believed_that_somebody_known_has_certified() {
    let folder = tempfile::tempdir().unwrap();
    let (port, certificate, _) = encrypted("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true).await;
    let known = folder.path().join("known.pem");
    fs::write(&known, certificate).unwrap();
    let ask = async |host: &str, authorities: Option<&Path>| {
        let client = client(&format!("https://{host}:{port}/keys"), authorities).unwrap();
        let got = client.get("application/json", PATIENCE).await;
        let posted = client.post(question, PATIENCE).await;
        let told = |answer: Result<Answer, AskError>| {
            answer.map(|answer| shown(&answer)).map_err(|error| error.to_string())
        };
        [told(got), told(posted)]
    };
    for answer in ask("localhost", Some(&known)).await {
        assert_eq!(answer.as_deref(), Ok("200 ok"));
    }
    // Not by name, and not at all.
    for (host, authorities) in [("127.0.0.1", Some(&*known)), ("localhost", None)] {
        for answer in ask(host, authorities).await {
            let error = answer.unwrap_err();
            assert!(error.starts_with("no TLS connection: ") && error.contains("certificate"), "{error}");
        }
    }
    // Whoever speaks no TLS is nobody.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let nobody = client(&format!("https://localhost:{port}/"), Some(&known)).unwrap();
    let error = nobody.post(question, PATIENCE).await.unwrap_err();
    assert!(matches!(error, AskError::Tls(_)), "{error}");
    assert_eq!(client("http://localhost/", Some(&known)).err(), Some(TrustError::NoUse));
    for (text, why) in
        [("", "no certificate"), ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "")]
    {
        fs::write(&known, text).unwrap();
        let error = client("https://localhost/", Some(&known)).unwrap_err();
        assert!(matches!(&error, TrustError::Authorities(..)) && error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_connection_by_tls_is_kept_for_posts_and_one_that_broke_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let known = folder.path().join("known.pem");
    for (closes, expected) in [(false, 1), (true, 5)] {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let (port, certificate, connections) = encrypted(answer, closes).await;
        fs::write(&known, certificate).unwrap();
        let client = client(&format!("https://localhost:{port}/hook"), Some(&known)).unwrap();
        for _ in 0..5 {
            assert_eq!(shown(&client.post(question, PATIENCE).await.unwrap()), "200 ok");
        }
        assert_eq!(connections.load(Ordering::SeqCst), expected);
    }
}

fn client(url: &str, authorities: Option<&Path>) -> Result<HttpClient, TrustError> {
    HttpClient::new(Url::parse(url).unwrap(), authorities, 1, 10)
}

fn question() -> Question {
    Question { content_type: "text/plain", headers: Vec::new(), body: Bytes::new() }
}

fn shown(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

async fn plain(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = stream;
                if serve(&mut stream, answer).await.is_some() {
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    port
}

/// The port, the certificate as PEM, and how many connections there were on which TLS was spoken.
async fn encrypted(answer: &'static str, closes: bool) -> (u16, String, Arc<AtomicUsize>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                while serve(&mut stream, answer).await.is_some() {
                    if closes {
                        let _ = stream.shutdown().await;
                        return;
                    }
                }
            });
        }
    });
    (port, made.cert.pem(), connections)
}

/// Answers once; `None`: nobody asks any more.
async fn serve(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &str) -> Option<()> {
    let (mut head, mut buf) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buf).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => head.extend_from_slice(&buf[..count]),
        }
    }
    if answer == "SILENT" {
        std::future::pending::<()>().await;
    }
    stream.write_all(answer.as_bytes()).await.ok()
}

const PATIENCE: Duration = Duration::from_secs(20);
