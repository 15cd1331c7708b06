//! TLS from both ends: files, handshakes, and what is said inside.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transport::linger::Patience;
use transport::stream::Stream;
use transport::tls::acceptor::{Acceptor, HandshakeError, Shaken, Unshaken};
use transport::tls::certificate::Naming;
use transport::tls::{Clients, Options, Purpose, Tls};
use transport::tls_client::Trust;

#[tokio::test]
async fn what_is_said_inside_arrives_and_what_was_looked_at_is_read_again() {
    let house = House::new();
    let (mut server, mut client) = house.meet(Purpose::Mqtt, &["mqtt"]).await.expect("a handshake");
    client.write_all(b"ab").await.unwrap();
    client.flush().await.unwrap();
    // Not enough to judge by: more is waited for.
    let looked = tokio::spawn(async move {
        let found = server.look(|bytes| (bytes.len() >= 4).then_some(bytes.len())).await;
        (server, found)
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.write_all(b"cdef").await.unwrap();
    client.flush().await.unwrap();
    let (mut server, found) = looked.await.unwrap();
    assert_eq!(found.unwrap(), Some((6, b"abcdef".to_vec())));
    let mut bytes = [0; 6];
    server.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"abcdef");
    // Both ways, and more than one record.
    let large = vec![7; 100_000];
    let sent = large.clone();
    let sending = tokio::spawn(async move {
        server.write_all(&sent).await.unwrap();
        server.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    sending.await.unwrap();
    assert_eq!(got, large);
}

#[tokio::test]
async fn who_leaves_without_a_good_bye_has_left_all_the_same() {
    let house = House::new();
    let (mut server, mut client) = house.meet(Purpose::Stomp, &[]).await.expect("a handshake");
    server.write_all(b"x").await.unwrap();
    server.flush().await.unwrap();
    // With all that came read: else it would leave by a reset.
    client.read_exact(&mut [0]).await.unwrap();
    drop(client);
    let mut bytes = Vec::new();
    assert_eq!(server.read_to_end(&mut bytes).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_says_what_it_wants_must_want_what_is_spoken() {
    let house = House::new();
    for (purpose, wanted, is_let_in) in [
        (Purpose::Mqtt, &["mqtt"][..], true),
        (Purpose::Mqtt, &["h2", "mqtt"], true),
        (Purpose::Mqtt, &[], true),
        (Purpose::Mqtt, &["http/1.1"], false),
        (Purpose::Web, &["h2", "http/1.1"], true),
        (Purpose::Web, &["mqtt"], false),
        (Purpose::Any, &["mqtt"], true),
        (Purpose::Any, &["http/1.1"], true),
        (Purpose::Any, &[], true),
        // There is no such name for STOMP.
        (Purpose::Stomp, &["anything"], true),
    ] {
        let met = house.meet(purpose, wanted).await;
        assert_eq!(met.is_ok(), is_let_in, "{purpose:?} {wanted:?}: {:?}", met.err());
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended() {
    let house = House::with(Duration::from_millis(200));
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let (server, mut client) = house.dial().await;
        client.write_all(beginning).await.unwrap();
        let ended = house.acceptor(Purpose::Mqtt).accept(server).await;
        let error = ended.expect_err("no handshake").error;
        assert!(matches!(error, HandshakeError::TimedOut(_)), "{error:?}");
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_told_so_in_the_words_of_http_where_it_speaks_that() {
    let house = House::new();
    for (said, answer) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "HTTP/1.1 400 Bad Request\r\n"),
        (b"OPTIONS * HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
        (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00", ""),
        (b"CONNECT\naccept-version:1.2\n\n\0", ""),
        (b"\x00", ""),
        (b"\x16\x03\x03\x00\x05garbage", ""),
        (&[0x16; 70_000], ""),
    ] {
        let (server, mut client) = house.dial().await;
        let acceptor = house.acceptor(Purpose::Any);
        let ended = tokio::spawn(async move {
            let Unshaken { error, told } = acceptor.accept(server).await.expect_err("a refusal");
            if let Some(told) = told {
                Patience::new(1).linger(told).await;
            }
            error
        });
        // What is too long is not taken to its end.
        let _ = client.write_all(said).await;
        let _ = client.shutdown().await;
        let mut told = Vec::new();
        let _ = client.read_to_end(&mut told).await;
        let error = ended.await.unwrap();
        let text = String::from_utf8_lossy(&told);
        if said.first() == Some(&0x16) {
            assert!(matches!(error, HandshakeError::Failed(_)), "{error:?}");
        } else {
            assert!(matches!(error, HandshakeError::NoTls(_)), "{error:?}");
            assert!(text.starts_with(answer) && (text.is_empty() == answer.is_empty()), "{text}");
        }
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_with_what_to_do() {
    let house = House::new();
    let path = |name: &str| house.folder.path().join(name);
    let refused = |certificate: &str, key: &str, why: &str| {
        let error = Tls::load(options(&path(certificate), &path(key), SOON)).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    };
    refused("missing.pem", "a.key", "missing.pem: No such file");
    refused("a.pem", "missing.key", "missing.key: No such file");
    refused("a.key", "a.key", "there is none in it");
    write_key(&path("no.key"), &fs::read_to_string(path("a.pem")).unwrap());
    refused("a.pem", "no.key", "a private key is expected here, as PEM: there is none in it");
    fs::write(path("odd.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    refused("odd.pem", "a.key", "odd.pem: a certificate is expected here");
    write_key(
        &path("locked.key"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    refused("a.pem", "locked.key", "it is encrypted; write it without a passphrase");
    write_key(&path("other.key"), &KeyPair::generate().unwrap().serialize_pem());
    refused("a.pem", "other.key", "cannot be used together");
    for mode in [0o644, 0o640, 0o604, 0o660, 0o620] {
        fs::set_permissions(path("a.key"), Permissions::from_mode(mode)).unwrap();
        refused("a.pem", "a.key", &format!("(mode {mode:04o}); chmod 600"));
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(path("a.key"), Permissions::from_mode(mode)).unwrap();
        Tls::load(options(&path("a.pem"), &path("a.key"), SOON)).expect("good files");
    }
}

#[tokio::test]
async fn changed_files_are_read_once_they_have_settled_and_broken_ones_change_nothing() {
    let house = House::new();
    let path = |name: &str| house.folder.path().join(name);
    assert!(house.tls.refresh().is_none());
    let before = house.tls.expires_at();
    house.certify(&["localhost"], 2030);
    assert!(house.tls.refresh().is_none(), "they may change on");
    house.tls.refresh().expect("a change").expect("good files");
    assert!(house.tls.refresh().is_none());
    assert_ne!(house.tls.expires_at(), before);
    house.meet(Purpose::Mqtt, &[]).await.expect("a handshake by the new ones");

    write_key(&path("a.key"), &KeyPair::generate().unwrap().serialize_pem());
    assert!(house.tls.refresh().is_none());
    let error = house.tls.refresh().expect("a change").expect_err("another key").to_string();
    assert!(error.contains("cannot be used together"), "{error}");
    assert!(house.tls.refresh().is_none(), "said once");
    house.meet(Purpose::Mqtt, &[]).await.expect("those of before hold");

    fs::remove_file(path("a.pem")).unwrap();
    house.tls.refresh();
    assert!(house.tls.refresh().expect("a change").is_err());
    house.meet(Purpose::Mqtt, &[]).await.expect("those of before hold");
}

#[tokio::test]
async fn a_certificate_names_its_client_by_what_was_chosen() {
    let params = || {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "a factory");
        params.distinguished_name.push(DnType::CommonName, "device-7");
        params.subject_alt_names = vec![
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::DnsName("seven.example.org".try_into().unwrap()),
            SanType::DnsName("other.example.org".try_into().unwrap()),
            SanType::Rfc822Name("seven@example.org".try_into().unwrap()),
            SanType::URI("spiffe://example.org/seven".try_into().unwrap()),
        ];
        params
    };
    for (naming, name) in [
        (Some(Naming::CommonName), Some("device-7")),
        (Some(Naming::Dns), Some("seven.example.org")),
        (Some(Naming::Email), Some("seven@example.org")),
        (Some(Naming::Uri), Some("spiffe://example.org/seven")),
        (None, None),
    ] {
        let house = House::new().asking(true, naming);
        let files = house.client(params(), &house.authority);
        let (shaken, _client) = house.meet_with(Purpose::Mqtt, &[], Some(files)).await.expect("a handshake");
        assert_eq!(shaken.name.as_deref(), name, "{naming:?}");
        assert!(shaken.stream.is_secure());
    }
    for (naming, name) in [(Naming::CommonName, "\u{7}"), (Naming::CommonName, ""), (Naming::Uri, "device-8")]
    {
        let house = House::new().asking(true, Some(naming));
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let files = house.client(params, &house.authority);
        let error = house.meet_with(Purpose::Mqtt, &[], Some(files)).await.expect_err("a refusal");
        assert!(error.contains("tls.NAME.user_from"), "{error}");
    }
}

#[tokio::test]
async fn who_shows_no_certificate_comes_in_only_where_none_is_required_and_a_strangers_is_never_believed() {
    let stranger = House::new();
    for is_required in [true, false] {
        let house = House::new().asking(is_required, Some(Naming::CommonName));
        let nobody = house.meet_with(Purpose::Mqtt, &[], None).await;
        assert_eq!(nobody.is_ok(), !is_required, "{:?}", nobody.err());
        let params = || CertificateParams::new(vec!["a".to_owned()]).unwrap();
        let files = house.client(params(), &stranger.authority);
        let error = house.meet_with(Purpose::Mqtt, &[], Some(files)).await.expect_err("a stranger");
        assert!(error.contains("invalid peer certificate"), "{error}");
        let mut old = params();
        old.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let files = house.client(old, &house.authority);
        let error = house.meet_with(Purpose::Mqtt, &[], Some(files)).await.expect_err("too old");
        assert!(error.contains("certificate expired"), "{error}");
    }
}

#[tokio::test]
async fn an_authority_that_is_taken_away_is_believed_no_more_and_a_broken_file_of_them_changes_nothing() {
    let house = House::new().asking(true, Some(Naming::CommonName));
    let params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
    let files = house.client(params, &house.authority);
    let authorities = house.folder.path().join("ca.pem");
    let known = fs::read(&authorities).unwrap();
    fs::write(&authorities, "-----BEGIN CERTIFICATE-----\n").unwrap();
    house.tls.refresh();
    house.tls.refresh().expect("a change").expect_err("a broken file");
    fs::write(&authorities, &known).unwrap();
    house.meet_with(Purpose::Mqtt, &[], Some(files.clone())).await.expect("what was read before holds");
    fs::write(&authorities, House::new().authority.pem()).unwrap();
    house.tls.refresh();
    house.tls.refresh().expect("a change").expect("a good file");
    fs::write(&authorities, &known).unwrap();
    let error = house.meet_with(Purpose::Mqtt, &[], Some(files)).await.expect_err("nobody's now");
    assert!(error.contains("invalid peer certificate"), "{error}");
}

/// A server's files, and an authority that clients know.
struct House {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    tls: Arc<Tls>,
    listener: TcpListener,
}

impl House {
    fn new() -> Self {
        Self::with(SOON)
    }

    fn with(handshake_max: Duration) -> Self {
        let folder = tempfile::tempdir().expect("it works");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("it works");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("it works")).expect("it works");
        fs::write(folder.path().join("ca.pem"), authority.pem()).expect("it works");
        certify(folder.path(), &authority, &["localhost"], 2040);
        let options = options(&folder.path().join("a.pem"), &folder.path().join("a.key"), handshake_max);
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("it works");
        listener.set_nonblocking(true).expect("it works");
        let listener = TcpListener::from_std(listener).expect("it works");
        Self { folder, authority, tls: Arc::new(Tls::load(options).expect("it works")), listener }
    }

    fn certify(&self, names: &[&str], year: i32) {
        certify(self.folder.path(), &self.authority, names, year);
    }

    fn acceptor(&self, purpose: Purpose) -> Acceptor {
        Acceptor::new(Arc::clone(&self.tls), purpose)
    }

    async fn dial(&self) -> (TcpStream, TcpStream) {
        let client =
            TcpStream::connect(self.listener.local_addr().expect("it works")).await.expect("it works");
        (self.listener.accept().await.expect("it works").0, client)
    }

    /// Both ends of a handshake, or why there is none.
    async fn meet(&self, purpose: Purpose, wanted: &[&str]) -> Result<(Stream, Stream), String> {
        let (server, client) = self.meet_with(purpose, wanted, None).await?;
        Ok((server.stream, client))
    }

    async fn meet_with(
        &self,
        purpose: Purpose,
        wanted: &[&str],
        identity: Option<(PathBuf, PathBuf)>,
    ) -> Result<(Shaken, Stream), String> {
        let (server, client) = self.dial().await;
        let acceptor = self.acceptor(purpose);
        let accepting = tokio::spawn(async move { acceptor.accept(server).await });
        let trust = Trust { authorities: Some(self.folder.path().join("ca.pem")), identity };
        let client = trust.shake(client, "localhost", wanted).await;
        let server = accepting.await.expect("it works").map_err(|unshaken| unshaken.error.to_string())?;
        Ok((server, client?))
    }

    /// Another listener of the same house, which asks clients for certificates.
    fn asking(mut self, is_required: bool, named_by: Option<Naming>) -> Self {
        let path = |name: &str| self.folder.path().join(name);
        let clients = Some(Clients { authorities: path("ca.pem"), is_required, named_by });
        let options = Options { clients, ..options(&path("a.pem"), &path("a.key"), SOON) };
        self.tls = Arc::new(Tls::load(options).expect("it works"));
        self
    }

    /// A client's certificate and key, by this authority or by another one.
    fn client(
        &self,
        params: CertificateParams,
        authority: &CertifiedIssuer<'_, KeyPair>,
    ) -> (PathBuf, PathBuf) {
        let files = (self.folder.path().join("client.pem"), self.folder.path().join("client.key"));
        let key = KeyPair::generate().expect("it works");
        fs::write(&files.0, params.signed_by(&key, authority).expect("it works").pem()).expect("it works");
        write_key(&files.1, &key.serialize_pem());
        files
    }
}

fn certify(folder: &Path, authority: &CertifiedIssuer<'_, KeyPair>, names: &[&str], year: i32) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let key = KeyPair::generate().expect("it works");
    let mut params = CertificateParams::new(names).expect("it works");
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    fs::write(folder.join("a.pem"), params.signed_by(&key, authority).expect("it works").pem())
        .expect("it works");
    write_key(&folder.join("a.key"), &key.serialize_pem());
}

fn write_key(path: &Path, text: &str) {
    fs::write(path, text).expect("it works");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("it works");
}

fn options(certificate: &Path, key: &Path, handshake_max: Duration) -> Options {
    Options {
        name: "default".to_owned(),
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        clients: None,
        handshake_max,
    }
}

/// Generous: the machine may be busy.
const SOON: Duration = Duration::from_secs(30);
