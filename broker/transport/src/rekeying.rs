//! Rekeying: how often a client of TLS 1.3 may change its keys (KeyUpdate, RFC 8446, 4.6.3)
//!
//! For 27 bytes of a client the broker derives keys, in both directions if it is asked to. rustls bounds how many such messages
//! come with nothing between them, and a record without a byte in it is something already. So they are counted where each of
//! them passes: where keys are made. Whoever has had all that there are for him is not understood any more, which ends the
//! connection at his next record.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::{
    CipherSuiteCommon, ConnectionTrafficSecrets, Error, PeerMisbehaved, SupportedCipherSuite,
    Tls13CipherSuite,
};
use tokio::time::Instant;

/// How many new keys the peer of a connection may still have.
#[derive(Debug)]
pub(crate) struct Rekeying {
    left: u32,
    /// From when on the next one is earned, where some are missing.
    since: Instant,
}

impl Rekeying {
    /// Of a connection that is about to shake hands.
    pub(crate) fn new() -> Self {
        Self { left: AT_ONCE_MAX + OF_HANDSHAKE, since: Instant::now() }
    }

    /// Does what `read` does: some reading of the connection, during which the keys of its peer are counted. Only those of a
    /// connection by [`provider`] are.
    pub(crate) fn watch<T>(&mut self, read: impl FnOnce() -> T) -> T {
        if self.left < AT_ONCE_MAX {
            self.earn();
        }
        let watch = Watch::begin(self.left);
        let read = read();
        let left = watch.left();
        if left < self.left {
            if self.left >= AT_ONCE_MAX {
                self.since = Instant::now();
            }
            self.left = left;
        }
        read
    }

    fn earn(&mut self) {
        let earned = self.since.elapsed().as_nanos() / EVERY.as_nanos();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX).min(AT_ONCE_MAX - self.left);
        self.since += EVERY * earned;
        self.left += earned;
    }
}

/// What ServerConfigs are to be made of: the usual ciphers, whose keys are counted in TLS 1.3. In 1.2 there are new ones by a new
/// handshake only, which rustls refuses.
pub(crate) fn provider() -> CryptoProvider {
    let provider = default_provider();
    let counted = |suite: &SupportedCipherSuite| {
        let found = SUITES.iter().find(|counted| counted.common.suite == suite.suite());
        found.map_or(*suite, SupportedCipherSuite::Tls13)
    };
    CryptoProvider { cipher_suites: provider.cipher_suites.iter().map(counted).collect(), ..provider }
}

/// While it is there, this thread reads a connection whose keys are counted. Afterwards it does what it did before, whatever
/// the end.
struct Watch(Option<u32>);

impl Watch {
    fn begin(left: u32) -> Self {
        Self(LEFT.replace(Some(left)))
    }

    fn left(&self) -> u32 {
        LEFT.get().unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        LEFT.set(self.0);
    }
}

/// A cipher that counts the keys by which something is to be read.
struct Counted(&'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for Counted {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        self.0.encrypter(key, iv)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        match LEFT.get() {
            Some(0) => return Box::new(Refused),
            Some(left) => LEFT.set(Some(left - 1)),
            None => {}
        }
        self.0.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

/// What reads by a key that was one too many: nothing.
struct Refused;

impl MessageDecrypter for Refused {
    fn decrypt<'a>(
        &mut self,
        _message: InboundOpaqueMessage<'a>,
        _number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        Err(PeerMisbehaved::TooManyKeyUpdateRequests.into())
    }
}

thread_local! {
    /// How many keys the connection that is being read on this thread may still have; `None`: nobody counts. The keys are made
    /// within the reading, by something that every connection shares and that is not told for whom.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

static CIPHERS: LazyLock<Vec<(&'static Tls13CipherSuite, Counted)>> = LazyLock::new(|| {
    let suites = default_provider().cipher_suites.into_iter();
    suites.filter_map(|suite| suite.tls13().map(|suite| (suite, Counted(suite.aead_alg)))).collect()
});

static SUITES: LazyLock<Vec<Tls13CipherSuite>> = LazyLock::new(|| {
    let suites = CIPHERS.iter().map(|(suite, cipher)| Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: suite.common.suite,
            hash_provider: suite.common.hash_provider,
            confidentiality_limit: suite.common.confidentiality_limit,
        },
        hkdf_provider: suite.hkdf_provider,
        aead_alg: cipher,
        quic: None,
    });
    suites.collect()
});

/// How many keys of a client a handshake makes: for the rest of the handshake, and for what is said after it.
const OF_HANDSHAKE: u32 = 2;

/// How many new keys a client may have in one go. Those that have some by themselves, because much was said by the old ones, have
/// them after gigabytes.
const AT_ONCE_MAX: u32 = 32;

/// After how long there is one more.
const EVERY: Duration = Duration::from_secs(1);
