//! Key: what signatures are checked with, each for one algorithm.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use crate::file::{FileError, read};
use crate::jwt::secret::Secret;

/// A key that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtKey {
    /// Only for tokens whose `kid` is this; `None`: for all of its algorithm.
    pub id: Option<String>,
    /// The one algorithm that it is for.
    pub algorithm: Algorithm,
    /// Where it is.
    pub source: KeySource,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A shared secret, and how it is written down.
    Secret(Secret, Encoding),
    /// The same in a file.
    SecretFile(PathBuf, Encoding),
    /// A public key as PEM.
    Public(String),
    /// The same in a file.
    PublicFile(PathBuf),
}

/// How a secret is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Text,
    /// RFC 4648, in either alphabet, padded or not.
    Base64,
    /// Two digits a byte.
    Hex,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A secret that can be guessed is none.
    #[error("the secret has {bytes} bytes; {algorithm:?} needs at least {bytes_min} (RFC 7518, 3.2)")]
    Short {
        /// For which it is.
        algorithm: Algorithm,
        /// How many it has.
        bytes: usize,
        /// How many it should have.
        bytes_min: usize,
    },
    /// It is not what `encoding` says.
    #[error("the secret is not {0}")]
    NotEncoded(&'static str),
    /// It is another key, or none.
    #[error("no public key for {algorithm:?}: {why}")]
    NotPublic {
        /// For which it should be.
        algorithm: Algorithm,
        /// What it is instead.
        why: &'static str,
    },
    /// A list of keys that cannot be read.
    #[error("{what}: {why}")]
    List {
        /// Which list.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A key, ready to be used.
pub(crate) struct Key {
    pub(crate) id: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
}

impl Key {
    /// Reads it from where it is.
    ///
    /// # Errors
    ///
    /// It cannot be read, or not be trusted, or is for another algorithm.
    pub(crate) fn load(named: &JwtKey) -> Result<Self, KeyError> {
        let algorithm = named.algorithm;
        let decoding = match &named.source {
            KeySource::Secret(secret, encoding) => shared(secret.reveal(), *encoding, algorithm)?,
            KeySource::SecretFile(path, encoding) => {
                let text = read(path, true, KEY_BYTES_MAX)?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                shared(text.strip_suffix('\r').unwrap_or(text), *encoding, algorithm)?
            }
            KeySource::Public(pem) => public(pem, algorithm)?,
            KeySource::PublicFile(path) => public(&read(path, false, KEY_BYTES_MAX)?, algorithm)?,
        };
        Ok(Self { id: named.id.clone(), algorithm, decoding })
    }
}

impl KeySource {
    /// The file, if it is in one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::SecretFile(path, _) | Self::PublicFile(path) => Some(path),
            Self::Secret(..) | Self::Public(_) => None,
        }
    }
}

fn shared(text: &str, encoding: Encoding, algorithm: Algorithm) -> Result<DecodingKey, KeyError> {
    let bytes = match encoding {
        Encoding::Text => text.as_bytes().to_vec(),
        Encoding::Base64 => [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
            .iter()
            .find_map(|engine| engine.decode(text).ok())
            .ok_or(KeyError::NotEncoded("Base64"))?,
        Encoding::Hex => unhex(text).ok_or(KeyError::NotEncoded("pairs of hexadecimal digits"))?,
    };
    let bytes_min = hash_bytes(algorithm);
    if bytes.len() < bytes_min {
        return Err(KeyError::Short { algorithm, bytes: bytes.len(), bytes_min });
    }
    Ok(DecodingKey::from_secret(&bytes))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

fn public(pem: &str, algorithm: Algorithm) -> Result<DecodingKey, KeyError> {
    let not = |why| KeyError::NotPublic { algorithm, why };
    if pem.contains("PRIVATE KEY-----") {
        return Err(not("it is a private key, which belongs to whoever signs; export its public half"));
    }
    if pem.contains("CERTIFICATE-----") {
        return Err(not("it is a certificate; export its public key (openssl x509 -pubkey -noout)"));
    }
    let decoding = match algorithm.family() {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem.as_bytes()),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem.as_bytes()),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem.as_bytes()),
        AlgorithmFamily::Hmac => return Err(not("its keys are shared secrets")),
    };
    let decoding = decoding.map_err(|_| not("it is not a key of that kind, as PEM"))?;
    check_size(&decoding, algorithm).map_err(not)?;
    Ok(decoding)
}

/// Whether a public key has the size that the algorithm asks for; RSA's are judged when they are used.
///
/// # Errors
///
/// What it is instead.
pub(crate) fn check_size(decoding: &DecodingKey, algorithm: Algorithm) -> Result<(), &'static str> {
    let bytes = decoding.try_get_as_bytes().map(<[u8]>::len);
    match (algorithm.family(), algorithm, bytes) {
        (AlgorithmFamily::Ec, Algorithm::ES256, Ok(bytes)) if bytes != P256_BYTES => {
            Err("it is not a point of P-256")
        }
        (AlgorithmFamily::Ec, Algorithm::ES384, Ok(bytes)) if bytes != P384_BYTES => {
            Err("it is not a point of P-384")
        }
        (AlgorithmFamily::Ed, _, Ok(bytes)) if bytes != ED25519_BYTES => Err("it is not a key of Ed25519"),
        _ => Ok(()),
    }
}

/// The bytes of its hash: an HMAC key is not shorter (RFC 7518, 3.2).
fn hash_bytes(algorithm: Algorithm) -> usize {
    if algorithm == Algorithm::HS512 {
        64
    } else if algorithm == Algorithm::HS384 {
        48
    } else {
        32
    }
}

/// No key is longer.
const KEY_BYTES_MAX: u64 = 64 << 10;

/// Uncompressed points, and a key, in bytes.
const P256_BYTES: usize = 65;
const P384_BYTES: usize = 97;
const ED25519_BYTES: usize = 32;
