//! What a client of bad will can do once it has shaken hands: new keys again and again, and coming back by a session it had.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::cipher::{AeadKey, InboundOpaqueMessage, Iv, OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, HandshakeKind, ProtocolVersion,
    RootCertStore,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use transport::stream::Stream;
use transport::tls::acceptor::Acceptor;
use transport::tls::{Options, Purpose, Tls};

#[tokio::test]
async fn who_asks_for_new_keys_again_and_again_and_says_nothing_is_cut_off() {
    // CVE-2026-39304 of ActiveMQ: each of them costs the server new keys, and its answer.
    let house = House::new();
    let (mut server, mut client) = house.meet().await;
    let reading = tokio::spawn(async move { server.read(&mut [0; 64]).await });
    let mut asked = 0;
    let error = loop {
        client.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
        if client.flush().await.is_err() || reading.is_finished() {
            break reading.await.expect("no panic").expect_err("it cannot go on");
        }
        asked += 1;
        assert!(asked < 10_000, "it goes on");
        tokio::task::yield_now().await;
    };
    assert!(error.to_string().contains("TooManyKeyUpdateRequests"), "{error}");
}

#[tokio::test]
async fn as_many_new_keys_as_there_are_change_nothing_and_one_more_is_the_end_whatever_is_said_between() {
    let (mut client, echo) = House::new().meet_echo().await;
    // Nobody earns one while the clock stands still.
    tokio::time::pause();
    for round in 0..AT_ONCE_MAX {
        assert!(is_heard_by_new_keys(&mut client).await, "{round}");
    }
    assert!(!is_heard_by_new_keys(&mut client).await);
    let error = echo.await.expect("no panic").expect_err("the end");
    assert!(error.to_string().contains("TooManyKeyUpdateRequests"), "{error}");
}

#[tokio::test]
async fn every_second_there_is_a_new_key_more_and_never_more_than_at_first() {
    let (mut client, echo) = House::new().meet_echo().await;
    tokio::time::pause();
    for (seconds, earned) in [(0, AT_ONCE_MAX), (1, 1), (5, 5), (86_400, AT_ONCE_MAX)] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        for round in 0..earned {
            assert!(is_heard_by_new_keys(&mut client).await, "{round} after {seconds} s");
        }
    }
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(!is_heard_by_new_keys(&mut client).await);
    assert!(echo.await.expect("no panic").is_err());
}

#[tokio::test]
async fn new_keys_of_one_connection_are_not_taken_from_another() {
    let house = House::new();
    let (mut one, mut other) = (house.meet_echo().await.0, house.meet_echo().await.0);
    tokio::time::pause();
    for _ in 0..AT_ONCE_MAX {
        assert!(is_heard_by_new_keys(&mut one).await);
    }
    for _ in 0..AT_ONCE_MAX {
        assert!(is_heard_by_new_keys(&mut other).await);
    }
    tokio::time::resume();
    // Nor from whoever comes now.
    assert!(is_heard_by_new_keys(&mut house.meet_echo().await.0).await);
}

#[tokio::test]
async fn a_second_handshake_within_tls_1_3_is_refused_by_an_alert() {
    // RFC 8446, 4.1.2: a ClientHello at any other time is answered by "unexpected_message". What TLS 1.2 has is `renegotiation` in
    // tests/pressure.
    let house = House::new();
    let mut config = house.client();
    config.enable_secret_extraction = true;
    let connector = TlsConnector::from(Arc::new(config.clone()));
    let (mut server, client) = house.meet_by(&connector).await;
    let reading = tokio::spawn(async move { server.read(&mut [0; 64]).await });
    let (mut socket, client) = client.into_inner();
    let cipher = client.negotiated_cipher_suite().and_then(|suite| suite.tls13()).expect("TLS 1.3").aead_alg;
    let secrets = client.dangerous_extract_secrets().expect("they may be");
    let ((sent, to_server), (received, to_client)) = (secrets.tx, secrets.rx);

    let hello = hello(config);
    let message = OutboundPlainMessage {
        typ: ContentType::Handshake,
        version: ProtocolVersion::TLSv1_2,
        payload: OutboundChunks::Single(&hello),
    };
    let (key, iv) = key(to_server);
    let record = cipher.encrypter(key, iv).encrypt(message, sent).expect("it can be");
    socket.write_all(&record.encode()).await.expect("it goes on");

    let mut head = [0; 5];
    socket.read_exact(&mut head).await.expect("an answer");
    let [_, _, _, high, low] = head;
    let mut record = vec![0; u16::from_be_bytes([high, low]).into()];
    socket.read_exact(&mut record).await.expect("the whole of it");
    let record =
        InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, &mut record);
    let (key, iv) = self::key(to_client);
    let mut reader = cipher.decrypter(key, iv);
    let answer = reader.decrypt(record, received).expect("it is for us");
    assert_eq!(answer.typ, ContentType::Alert);
    // Fatal, unexpected_message.
    assert_eq!(answer.payload, [2, 10]);
    let error = reading.await.expect("no panic").expect_err("the end");
    assert!(error.to_string().contains("ClientHello"), "{error}");
}

/// What it costs to come, and to come back: `cargo test --release -p transport --test tls_floods -- --nocapture`.
#[tokio::test]
async fn who_comes_back_by_a_session_it_had_costs_no_signature() {
    let house = House::new();
    for (what, connector, kind) in [
        ("each for the first time", None, HandshakeKind::Full),
        ("coming back", Some(house.connector()), HandshakeKind::Resumed),
    ] {
        if let Some(connector) = &connector {
            // A first time has to be, and the ticket comes behind it.
            drop(house.meet_by(connector).await);
        }
        let (count, begun) = (100, Instant::now());
        for _ in 0..count {
            let connector = connector.clone().unwrap_or_else(|| house.connector());
            let (_server, client) = house.meet_by(&connector).await;
            assert_eq!(client.get_ref().1.handshake_kind(), Some(kind), "{what}");
        }
        println!("{what}: {:?} a handshake, both ends", begun.elapsed() / count);
    }
}

/// Asks for new keys and says a byte by them; whether that comes back.
async fn is_heard_by_new_keys(client: &mut TlsStream<TcpStream>) -> bool {
    client.get_mut().1.refresh_traffic_keys().expect("TLS 1.3");
    let said = async {
        client.write_all(b"x").await?;
        client.flush().await?;
        client.read_u8().await
    };
    said.await.is_ok_and(|byte| byte == b'x')
}

/// What a client says first, without the head of its record.
fn hello(config: ClientConfig) -> Vec<u8> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut record = Vec::new();
    client.write_tls(&mut record).expect("there is room");
    record.split_off(5)
}

fn key(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => panic!("a cipher that this test does not know"),
    }
}

/// A listener, and its certificate.
struct House {
    folder: TempDir,
    tls: Arc<Tls>,
    listener: TcpListener,
}

impl House {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let write = |name: &str, text: String| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
            path
        };
        let (certificate, key) = (write("a.pem", cert.pem()), write("a.key", signing_key.serialize_pem()));
        let handshake_max = Duration::from_secs(60);
        let options = Options { name: "a".to_owned(), certificate, key, clients: None, handshake_max };
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("an option");
        let listener = TcpListener::from_std(listener).expect("within a runtime");
        Self { folder, tls: Arc::new(Tls::load(options).expect("files that can be used")), listener }
    }

    /// A client that remembers its sessions.
    fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::new(self.client()))
    }

    fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let path = self.folder.path().join("a.pem");
        let certificate = rustls::pki_types::CertificateDer::from_pem_file(path).expect("a certificate");
        roots.add(certificate).expect("a certificate");
        ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// A client of somebody who says back each byte.
    async fn meet_echo(&self) -> (TlsStream<TcpStream>, JoinHandle<io::Result<()>>) {
        let (mut server, client) = self.meet().await;
        let echo = tokio::spawn(async move {
            let mut byte = [0];
            while server.read(&mut byte).await? > 0 {
                server.write_all(&byte).await?;
                server.flush().await?;
            }
            Ok(())
        });
        (client, echo)
    }

    async fn meet(&self) -> (Stream, TlsStream<TcpStream>) {
        self.meet_by(&self.connector()).await
    }

    /// Both ends; the client has what the server sent behind the handshake.
    async fn meet_by(&self, connector: &TlsConnector) -> (Stream, TlsStream<TcpStream>) {
        let address = self.listener.local_addr().expect("bound");
        let client = TcpStream::connect(address).await.expect("connected");
        let (server, _) = self.listener.accept().await.expect("accepted");
        for end in [&client, &server] {
            end.set_nodelay(true).expect("an option");
        }
        let acceptor = Acceptor::new(Arc::clone(&self.tls), Purpose::Mqtt);
        let accepting = tokio::spawn(async move { acceptor.accept(server).await });
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = connector.connect(name, client).await.expect("a handshake");
        let mut server = accepting.await.expect("no panic").expect("a handshake").stream;
        server.write_all(b"!").await.expect("it goes on");
        server.flush().await.expect("it goes on");
        assert_eq!(client.read_u8().await.expect("it goes on"), b'!');
        (server, client)
    }
}

/// How many new keys a client may have in one go, beside those of its handshake.
const AT_ONCE_MAX: u32 = 32;
