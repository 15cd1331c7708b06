//! Signed tokens (JWT, RFC 7519): whoever shows one that somebody we trust has signed is whom it names.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use model::refusal::Refusal;
use model::time::WallMs;
use serde_json::{Map, Value};

use crate::file::{Stamp, read};
use crate::jwt::claims::{ClaimRules, Shown};
use crate::jwt::key::{JwtKey, Key, KeyError};

pub(crate) mod claims;
mod jwks;
pub(crate) mod key;
pub(crate) mod secret;

/// Which tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtOptions {
    /// Keys one by one.
    pub keys: Vec<JwtKey>,
    /// Lists of them.
    pub lists: Vec<JwksFile>,
    /// What tokens must say.
    pub claims: ClaimRules,
    /// The cookie that may have one.
    pub cookie: Option<String>,
}

/// A list of public keys in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksFile {
    /// Where it is.
    pub path: PathBuf,
    /// For which algorithms its keys may be.
    pub algorithms: Vec<Algorithm>,
}

/// Checks tokens.
pub(crate) struct Tokens {
    options: JwtOptions,
    keys: RwLock<Arc<[Key]>>,
    /// Of all files, when they were read last.
    stamps: Mutex<Vec<Option<Stamp>>>,
}

impl Tokens {
    /// By these options.
    ///
    /// # Errors
    ///
    /// A key that cannot be used, and where it is named.
    pub(crate) fn new(options: JwtOptions) -> Result<Self, (String, KeyError)> {
        let stamps = stamps(&options);
        let keys = keys(&options)?;
        Ok(Self { options, keys: RwLock::new(keys.into()), stamps: Mutex::new(stamps) })
    }

    /// Reads the files again if they are others by now; `None`: they are not. May wait for the disk.
    ///
    /// # Errors
    ///
    /// As [`Self::new`]. Until they can be used, the keys of before hold.
    pub(crate) fn refresh(&self) -> Option<Result<(), (String, KeyError)>> {
        let found = stamps(&self.options);
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if *stamps == found {
            return None;
        }
        *stamps = found;
        Some(keys(&self.options).map(|keys| {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
        }))
    }

    /// The cookie that may have a token.
    pub(crate) fn cookie(&self) -> Option<&str> {
        self.options.cookie.as_deref()
    }

    /// Who shows that token.
    ///
    /// # Errors
    ///
    /// It is none, or nobody's whom we trust, or for somebody else, or for another time.
    pub(crate) fn check(&self, token: &str, now: WallMs) -> Result<Shown, Refusal> {
        let header = Header::read(token)?;
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let mut tried = keys.iter().filter(|key| header.is_for(key)).map(|key| claims(token, key)).peekable();
        if tried.peek().is_none() {
            return Err(NO_KEY);
        }
        let claims = tried.find_map(Result::transpose).unwrap_or(Err(SIGNATURE))?;
        self.options.claims.check(&claims, now)
    }
}

/// What a token says of its signature. Nothing is believed: it only chooses among keys that are each for one algorithm.
struct Header {
    algorithm: Algorithm,
    key: Option<String>,
}

impl Header {
    fn read(token: &str) -> Result<Self, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(LONG);
        }
        if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Err(NO_TOKEN);
        }
        // An algorithm that is not known, `none` too, is no header either.
        let header = decode_header(token).map_err(|_| NO_TOKEN)?;
        // What must be understood is not (RFC 7515, 4.1.11).
        if header.crit.is_some() {
            return Err(CRITICAL);
        }
        Ok(Self { algorithm: header.alg, key: header.kid })
    }

    fn is_for(&self, key: &Key) -> bool {
        let is_named = match (&self.key, &key.id) {
            (Some(named), Some(id)) => named == id,
            (Some(_), None) | (None, _) => true,
        };
        is_named && key.algorithm == self.algorithm
    }
}

/// What is said in a token, if this key has signed it; its time and the rest is looked at later.
fn claims(token: &str, key: &Key) -> Result<Option<Map<String, Value>>, Refusal> {
    let mut validation = Validation::new(key.algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    match decode(token, &key.decoding, &validation) {
        Ok(token) => Ok(Some(token.claims)),
        // The header was read before, so these are the claims.
        Err(error) if matches!(error.kind(), ErrorKind::Json(_)) => Err(CLAIMS),
        Err(_) => Ok(None),
    }
}

/// Whether a password is a signed token: three parts in the alphabet of Base64, the first of which is JSON.
pub(crate) fn is_token(password: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    password.starts_with(b"eyJ")
        && password.iter().all(is_plain)
        && password.iter().filter(|byte| **byte == b'.').count() == 2
}

fn keys(options: &JwtOptions) -> Result<Vec<Key>, (String, KeyError)> {
    let mut keys = Vec::new();
    for (number, key) in options.keys.iter().enumerate() {
        keys.push(Key::load(key).map_err(|error| (format!("auth.jwt.key.{number}"), error))?);
    }
    for (number, list) in options.lists.iter().enumerate() {
        let place = || format!("auth.jwt.jwks.{number}");
        let text = read(&list.path, false, LIST_BYTES_MAX).map_err(|error| (place(), error.into()))?;
        let found = jwks::parse(&text, &list.algorithms)
            .map_err(|why| (place(), KeyError::List { what: list.path.display().to_string(), why }))?;
        keys.extend(found);
    }
    Ok(keys)
}

fn stamps(options: &JwtOptions) -> Vec<Option<Stamp>> {
    let files = options.keys.iter().filter_map(|key| key.source.file());
    files.chain(options.lists.iter().map(|list| &*list.path)).map(Stamp::of).collect()
}

/// Whether whoever can check a signature with such a key could make one, too.
pub const fn is_shared(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// The longest list of keys, in bytes.
const LIST_BYTES_MAX: u64 = 1 << 20;

const NO_TOKEN: Refusal = Refusal::BadToken("it is no signed token of an algorithm that is known");
const LONG: Refusal = Refusal::BadToken("it is longer than 16 KiB");
const CRITICAL: Refusal = Refusal::BadToken("its header says crit: extensions are not supported");
const NO_KEY: Refusal = Refusal::BadToken("no key of auth.jwt is for its kid and alg");
const CLAIMS: Refusal = Refusal::BadToken("what it says is no JSON object of claims");
const SIGNATURE: Refusal = Refusal::BadToken("its signature is wrong");
