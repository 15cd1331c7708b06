//! Certificates and keys in files (PEM, RFC 7468): read with care

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The operating system says no.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// Others than its owner may read or write a key.
    #[error(
        "{path}: others than its owner may read or write this key (mode {mode:04o}); chmod 600 {path}",
        path = path.display()
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Nobody has so many certificates.
    #[error("{path}: larger than {bytes_max} bytes; that is another file than is meant", path = path.display())]
    Large {
        /// Which file.
        path: PathBuf,
        /// The most that is read.
        bytes_max: u64,
    },
    /// It holds something else.
    #[error("{path}: {what} is expected here, as PEM: {why}", path = path.display())]
    Odd {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// By which it is seen that a file is another one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// `None`: there is no such file, or it may not be looked at.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { inode: found.ino(), bytes: found.len(), modified: found.modified().ok() })
    }
}

/// All certificates of a file, at least one.
///
/// # Errors
///
/// Why there is none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let text = read(path, false)?;
    let odd = |why: String| PemError::Odd { path: path.to_owned(), what: "a certificate", why };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| odd(error.to_string()))?;
    if found.is_empty() { Err(odd("there is none in it".to_owned())) } else { Ok(found) }
}

/// The first private key of a file, which belongs to its reader alone.
///
/// # Errors
///
/// Why there is none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    let text = read(path, true)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let encrypted = text.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED);
        let why = match (matches!(error, pem::Error::NoItemsFound), encrypted) {
            (true, true) => {
                "it is encrypted; write it without a passphrase: openssl pkey -in … -out …".to_owned()
            }
            (true, false) => "there is none in it".to_owned(),
            (false, _) => error.to_string(),
        };
        PemError::Odd { path: path.to_owned(), what: "a private key", why }
    })
}

fn read(path: &Path, is_secret: bool) -> Result<Vec<u8>, PemError> {
    let other = |error| PemError::Io { path: path.to_owned(), error };
    let file = File::open(path).map_err(other)?;
    // Of what was opened: the name may lead elsewhere by now.
    let found = file.metadata().map_err(other)?;
    let mode = found.mode() & 0o7777;
    if is_secret && mode & 0o077 != 0 {
        return Err(PemError::Open { path: path.to_owned(), mode });
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(other)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(PemError::Large { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    Ok(text)
}

/// A bundle of all authorities that browsers know has 250 KB.
const FILE_BYTES_MAX: u64 = 4 << 20;

const ENCRYPTED: &[u8] = b"ENCRYPTED";
