//! Documents of other servers: good ones, bad ones, and those of somebody else.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the tests themselves")]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use transport::fetch::{Source, SourceError};

#[test]
fn plain_http_is_for_this_machine_alone() {
    for fine in
        ["http://127.0.0.1:1/", "http://[::1]/keys", "http://localhost/a?b=c", "https://id.example.org/keys"]
    {
        assert!(Source::new(fine, None).is_ok(), "{fine}");
    }
    for plain in ["http://10.0.0.1/", "http://id.example.org/keys", "http://localhost.example.org/"] {
        assert_eq!(Source::new(plain, None).err(), Some(SourceError::Plain), "{plain}");
    }
    for bad in [
        "",
        "localhost",
        "ftp://localhost/",
        "https://",
        "https://a:0/",
        "https://a:99999/",
        "https://u:p@a/",
        "https://a/#b",
        "https://a b/",
        "https://a/\r\nx: y",
    ] {
        assert_eq!(Source::new(bad, None).err(), Some(SourceError::Malformed), "{bad:?}");
    }
    let shown = format!("{:?}", Source::new("http://localhost/keys?secret=s3cret", None).unwrap());
    assert_eq!(shown, "http://localhost/keys");
}

#[tokio::test]
async fn what_is_no_document_is_an_error_and_costs_no_more_than_it_may() {
    let check = async |answer: &'static str, expected: &str| {
        let source = Source::new(&format!("http://127.0.0.1:{}/k?x=y", plain(answer).await), None).unwrap();
        let got = source.get(10, Duration::from_secs(1)).await;
        let shown =
            got.map_or_else(|error| error.to_string(), |body| String::from_utf8_lossy(&body).into_owned());
        assert!(shown.starts_with(expected), "{answer:?}: {shown}");
    };
    check("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789", "0123456789").await;
    check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok").await;
    check("HTTP/1.0 200 OK\r\n\r\nok", "ok").await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n01234567890", "the answer has more than 10").await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n01", "no whole answer").await;
    check(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        "the answer has status 302",
    )
    .await;
    check("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nok", "the answer has status 404").await;
    check("garbage\r\n\r\n", "no whole answer").await;
    check("", "no whole answer").await;
    check("SILENT", "no answer in time").await;
    let nobody = Source::new("http://127.0.0.1:1/", None).unwrap();
    assert!(
        nobody.get(10, Duration::from_secs(5)).await.unwrap_err().to_string().starts_with("cannot connect")
    );
}

#[tokio::test]
async fn a_server_is_believed_that_somebody_known_has_certified() {
    let folder = tempfile::tempdir().unwrap();
    let (port, certificate) = encrypted("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let known = folder.path().join("known.pem");
    fs::write(&known, certificate).unwrap();
    let get = async |host: &str, authorities: Option<&std::path::Path>| {
        let source = Source::new(&format!("https://{host}:{port}/keys"), authorities).unwrap();
        source.get(10, Duration::from_secs(10)).await.map_err(|error| error.to_string())
    };
    assert_eq!(get("localhost", Some(&known)).await.as_deref(), Ok(&b"ok"[..]));
    // Not by name, and not at all.
    for (host, authorities) in [("127.0.0.1", Some(&*known)), ("localhost", None)] {
        let error = get(host, authorities).await.unwrap_err();
        assert!(error.starts_with("no TLS connection: ") && error.contains("certificate"), "{error}");
    }
    // Whoever speaks no TLS is nobody.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let source = Source::new(&format!("https://localhost:{port}/"), Some(&known)).unwrap();
    let error = source.get(10, Duration::from_secs(10)).await.unwrap_err().to_string();
    assert!(error.starts_with("no TLS connection: "), "{error}");
    for (text, why) in
        [("", "no certificate"), ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "")]
    {
        fs::write(&known, text).unwrap();
        let error = Source::new("https://localhost/", Some(&known)).unwrap_err();
        assert!(matches!(&error, SourceError::Authorities(..)) && error.to_string().contains(why), "{error}");
    }
}

async fn plain(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer));
        }
    });
    port
}

/// The port, and the certificate as PEM.
async fn encrypted(answer: &'static str) -> (u16, String) {
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
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, answer).await;
            }
        }
    });
    (port, made.cert.pem())
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let (mut head, mut buf) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buf).await {
            Ok(0) | Err(_) => return,
            Ok(count) => head.extend_from_slice(&buf[..count]),
        }
    }
    if answer == "SILENT" {
        std::future::pending::<()>().await;
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
