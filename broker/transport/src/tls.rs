//! TLS: what a listener shows of itself, whom it believes, and the same again when its files are others.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::files::Stamp;
use crate::rekeying::provider;
use crate::tls::certificate::{Certificate, Naming};
use crate::tls::pem::{PemError, certificates, private_key};

pub mod pem;

pub mod certificate;

pub mod acceptor;

/// Which files a listener goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What it is called in the log.
    pub name: String,
    /// Its certificate and those of the authorities between it and one that clients know, as PEM.
    pub certificate: PathBuf,
    /// The key of the first of them, as PEM.
    pub key: PathBuf,
    /// Whose certificates clients may show; `None`: they are not asked for one.
    pub clients: Option<Clients>,
    /// How long a handshake may take, from the connection on.
    pub handshake_max: Duration,
}

/// What is asked of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// Certificates of authorities, as PEM: what they signed is believed.
    pub authorities: PathBuf,
    /// Whether nobody is let in without a certificate.
    pub is_required: bool,
    /// What of it is the client's user name; `None`: it names nobody, and lets in who shows otherwise who he is.
    pub named_by: Option<Naming>,
}

/// What is spoken inside: a client that says what it wants (ALPN, RFC 7301) must want this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// MQTT: `mqtt`.
    Mqtt,
    /// STOMP: it has no such name, and whatever a client wants is left unanswered.
    Stomp,
    /// HTTP and WebSocket: `http/1.1`.
    Web,
    /// All of these.
    Any,
}

/// The files of a listener, read; whoever shakes hands does so by what they were last.
#[derive(Debug)]
pub struct Tls {
    options: Options,
    current: RwLock<Arc<Loaded>>,
    stamps: Mutex<Stamps>,
}

/// What was read, ready for use.
#[derive(Debug)]
struct Loaded {
    mqtt: Arc<ServerConfig>,
    web: Arc<ServerConfig>,
    any: Arc<ServerConfig>,
    stomp: Arc<ServerConfig>,
    expires_at: i64,
}

/// The files as they were seen.
#[derive(Debug)]
struct Stamps {
    /// When they were read.
    read: [Option<Stamp>; 3],
    /// When they were looked at last.
    seen: [Option<Stamp>; 3],
}

impl Tls {
    /// Reads the files. May wait for the disk.
    ///
    /// # Errors
    ///
    /// One cannot be read, or they do not belong together.
    pub fn load(options: Options) -> Result<Self, TlsError> {
        let stamps = stamps(&options);
        let loaded = Loaded::read(&options)?;
        Ok(Self {
            options,
            current: RwLock::new(Arc::new(loaded)),
            stamps: Mutex::new(Stamps { read: stamps, seen: stamps }),
        })
    }

    /// Reads the files again if they are others by now; `None`: they are not, or changed so shortly ago that more may change:
    /// then the next call reads them. Who is connected stays so. May wait for the disk.
    ///
    /// # Errors
    ///
    /// They cannot be used. Until they can be, what was read before holds.
    pub fn refresh(&self) -> Option<Result<(), TlsError>> {
        let found = stamps(&self.options);
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        // A certificate and its key are replaced one after the other.
        let is_settled = stamps.seen == found;
        stamps.seen = found;
        if stamps.read == found || !is_settled {
            return None;
        }
        // Also when they cannot be used: it is complained about once.
        stamps.read = found;
        Some(self.read())
    }

    /// Reads the files again, whether they changed or not; always has an answer. May wait for the disk.
    ///
    /// # Errors
    ///
    /// As [`Self::refresh`].
    pub fn reread(&self) -> Option<Result<(), TlsError>> {
        let found = stamps(&self.options);
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        *stamps = Stamps { read: found, seen: found };
        Some(self.read())
    }

    fn read(&self) -> Result<(), TlsError> {
        Loaded::read(&self.options).map(|loaded| {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        })
    }

    /// What it is called in the log.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// When the first of its certificates is over, in seconds since 1970.
    pub fn expires_at(&self) -> i64 {
        self.loaded().expires_at
    }

    /// What holds for whoever shakes hands now.
    fn config(&self, purpose: Purpose) -> Arc<ServerConfig> {
        let loaded = self.loaded();
        Arc::clone(match purpose {
            Purpose::Mqtt => &loaded.mqtt,
            Purpose::Stomp => &loaded.stomp,
            Purpose::Web => &loaded.web,
            Purpose::Any => &loaded.any,
        })
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Loaded {
    fn read(options: &Options) -> Result<Self, TlsError> {
        let chain = certificates(&options.certificate)?;
        let key = private_key(&options.key)?;
        let ends = chain.iter().map(|one| Certificate::read(one).map(|one| one.not_after));
        let ends: Result<Vec<i64>, String> = ends.collect();
        let odd = |why| PemError::Odd { path: options.certificate.clone(), what: "a certificate", why };
        let expires_at = ends.map_err(odd)?.into_iter().min().unwrap_or_default();
        // Sessions that can be resumed, and all else that is kept, begin anew: nobody comes back by what no longer holds.
        let provider = Arc::new(provider());
        let verifier = match &options.clients {
            Some(clients) => verifier(clients, Arc::clone(&provider))?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::unusable(options, error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| TlsError::unusable(options, error))?;
        let speaking = |names: &[&str]| {
            let mut config = config.clone();
            config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            Arc::new(config)
        };
        Ok(Self {
            mqtt: speaking(&["mqtt"]),
            web: speaking(&["http/1.1"]),
            any: speaking(&["mqtt", "http/1.1"]),
            stomp: speaking(&[]),
            expires_at,
        })
    }
}

/// Believes who is certified by one of these authorities.
fn verifier(
    clients: &Clients,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, PemError> {
    let odd = |why: String| PemError::Odd { path: clients.authorities.clone(), what: "a certificate", why };
    let mut roots = RootCertStore::empty();
    for one in certificates(&clients.authorities)? {
        roots.add(one).map_err(|error| odd(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = if clients.is_required { verifier } else { verifier.allow_unauthenticated() };
    verifier.build().map_err(|error| odd(error.to_string()))
}

fn stamps(options: &Options) -> [Option<Stamp>; 3] {
    let authorities = options.clients.as_ref().map(|clients| &clients.authorities);
    [Some(&options.certificate), Some(&options.key), authorities].map(|path| Stamp::of(path?))
}

/// Why there is no TLS by these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is of no use.
    #[error(transparent)]
    File(#[from] PemError),
    /// Each is one for itself, but not with the other.
    #[error("{files} cannot be used together: {error}")]
    Unusable {
        /// Which files.
        files: String,
        /// Why not.
        error: rustls::Error,
    },
}

impl TlsError {
    fn unusable(options: &Options, error: rustls::Error) -> Self {
        let files = format!("{} and {}", options.certificate.display(), options.key.display());
        Self::Unusable { files, error }
    }
}
