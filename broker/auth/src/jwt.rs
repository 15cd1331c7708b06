//! Signed tokens (JWT, RFC 7519): whoever shows one that somebody we trust has signed is whom it names.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use model::refusal::Refusal;
use model::time::WallMs;
use serde_json::{Map, Value};
use transport::files::Stamp;

use crate::clock::wall_now;
use crate::file::read;
use crate::jwt::claims::{ClaimRules, Shown};
use crate::jwt::key::{JwtKey, Key, KeyError};
use crate::jwt::remote::Remote;

pub(crate) mod claims;
mod jwks;
pub(crate) mod key;
mod remote;
pub(crate) mod secret;

/// Which tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtOptions {
    /// Keys one by one.
    pub keys: Vec<JwtKey>,
    /// Lists of them.
    pub lists: Vec<JwksList>,
    /// What tokens must say.
    pub claims: ClaimRules,
    /// The cookie that may have one.
    pub cookie: Option<String>,
}

/// A list of public keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksList {
    /// Where it is.
    pub source: JwksSource,
    /// For which algorithms its keys may be.
    pub algorithms: Vec<Algorithm>,
}

/// Where a list of keys is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// In a file.
    File(PathBuf),
    /// On another server.
    Url {
        /// At which address.
        url: String,
        /// The certificates by which the server is known; `None`: those of the operating system.
        authorities: Option<PathBuf>,
        /// How often it is fetched.
        every: Duration,
    },
}

/// Checks tokens.
pub(crate) struct Tokens {
    options: JwtOptions,
    keys: RwLock<Arc<[Key]>>,
    remotes: Vec<Remote>,
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
        let keys = RwLock::new(keys(&options)?.into());
        let remotes = remotes(&options)?;
        Ok(Self { options, keys, remotes, stamps: Mutex::new(stamps) })
    }

    /// Reads the files again if they are others by now, or if somebody asked for it; `None`: they are not, or there are none. May
    /// wait for the disk.
    ///
    /// # Errors
    ///
    /// As [`Self::new`]. Until they can be used, the keys of before hold.
    pub(crate) fn refresh(&self, is_asked: bool) -> Option<Result<(), (String, KeyError)>> {
        let found = stamps(&self.options);
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if *stamps == found && (!is_asked || found.is_empty()) {
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

    /// Fetches lists of keys that have not been for as long as they say, and tells it to the log.
    pub(crate) async fn fetch(&self) {
        for remote in &self.remotes {
            remote.keep().await;
        }
    }

    /// Who shows that token. A list that may have got the key meanwhile is fetched first, now and then.
    ///
    /// # Errors
    ///
    /// As [`Self::check`]; and [`Refusal::Busy`], if a list could never be fetched.
    pub(crate) async fn judge(&self, token: &str) -> Result<Shown, Refusal> {
        let header = Header::read(token)?;
        let knows = || self.remotes.iter().any(|remote| header.is_named_in(&remote.keys()));
        if !self.remotes.is_empty() && !header.is_named_in(&self.keys()) && !knows() {
            for remote in &self.remotes {
                remote.renew().await;
            }
        }
        match self.check(token, wall_now()) {
            Err(_) if !header.is_named_in(&self.keys()) && self.remotes.iter().any(Remote::is_empty) => {
                Err(NO_LIST)
            }
            judged => judged,
        }
    }

    /// Who shows that token, by the keys that are here.
    ///
    /// # Errors
    ///
    /// It is none, or nobody's whom we trust, or for somebody else, or for another time.
    pub(crate) fn check(&self, token: &str, now: WallMs) -> Result<Shown, Refusal> {
        let header = Header::read(token)?;
        let lists = std::iter::once(self.keys()).chain(self.remotes.iter().map(Remote::keys));
        let lists: Vec<Arc<[Key]>> = lists.collect();
        let keys = lists.iter().flat_map(|keys| keys.iter()).filter(|key| header.is_for(key));
        let mut tried = keys.map(|key| claims(token, key)).peekable();
        if tried.peek().is_none() {
            return Err(NO_KEY);
        }
        let claims = tried.find_map(Result::transpose).unwrap_or(Err(SIGNATURE))?;
        self.options.claims.check(&claims, now)
    }

    fn keys(&self) -> Arc<[Key]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Who would be let in now by that token, for whoever asks without a broker. Lists of keys on other servers are not fetched.
///
/// # Errors
///
/// A key cannot be used, or why the token is refused.
pub fn shown(options: &JwtOptions, token: &str) -> Result<Shown, String> {
    let tokens = Tokens::new(options.clone()).map_err(|(place, error)| format!("{place}: {error}"))?;
    tokens.check(token.trim(), wall_now()).map_err(|refusal| refusal.to_string())
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

    /// Whether one of `keys` is what it asks for: by its name; of a token that names none, by its algorithm.
    fn is_named_in(&self, keys: &[Key]) -> bool {
        keys.iter().any(|key| self.is_for(key) && (self.key.is_none() || key.id == self.key))
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
        let JwksSource::File(path) = &list.source else { continue };
        let text =
            read(path, false, jwks::BYTES_MAX as u64).map_err(|error| (list_place(number), error.into()))?;
        let found = jwks::parse(&text, &list.algorithms)
            .map_err(|why| (list_place(number), KeyError::List { what: path.display().to_string(), why }))?;
        keys.extend(found);
    }
    Ok(keys)
}

fn remotes(options: &JwtOptions) -> Result<Vec<Remote>, (String, KeyError)> {
    let mut remotes = Vec::new();
    for (number, list) in options.lists.iter().enumerate() {
        let JwksSource::Url { url, authorities, every } = &list.source else { continue };
        let remote = Remote::new(url, authorities.as_deref(), list.algorithms.clone(), *every);
        remotes.push(remote.map_err(|why| (list_place(number), KeyError::List { what: url.clone(), why }))?);
    }
    Ok(remotes)
}

fn list_place(number: usize) -> String {
    format!("auth.jwt.jwks.{number}")
}

fn stamps(options: &JwtOptions) -> Vec<Option<Stamp>> {
    let keys = options.keys.iter().filter_map(|key| key.source.file());
    let lists = options.lists.iter().filter_map(|list| match &list.source {
        JwksSource::File(path) => Some(&**path),
        JwksSource::Url { .. } => None,
    });
    keys.chain(lists).map(Stamp::of).collect()
}

/// Whether whoever can check a signature with such a key could make one, too.
pub const fn is_shared(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

const NO_TOKEN: Refusal = Refusal::BadToken("it is no signed token of an algorithm that is known");
const LONG: Refusal = Refusal::BadToken("it is longer than 16 KiB");
const CRITICAL: Refusal = Refusal::BadToken("its header says crit: extensions are not supported");
const NO_KEY: Refusal = Refusal::BadToken("no key of auth.jwt is for its kid and alg");
const CLAIMS: Refusal = Refusal::BadToken("what it says is no JSON object of claims");
const NO_LIST: Refusal = Refusal::Busy("the keys for tokens could not be fetched yet");
const SIGNATURE: Refusal = Refusal::BadToken("its signature is wrong");
