//! Certificates and keys in files (PEM, RFC 7468): read with care

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::files::{FileError, read};

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It cannot be read, or not be trusted.
    #[error(transparent)]
    File(#[from] FileError),
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

/// All certificates of a file, at least one.
///
/// # Errors
///
/// Why there is none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let text = read(path, false, FILE_BYTES_MAX)?;
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
    let text = read(path, true, FILE_BYTES_MAX)?;
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

/// A bundle of all authorities that browsers know has 250 KB.
const FILE_BYTES_MAX: u64 = 4 << 20;

const ENCRYPTED: &[u8] = b"ENCRYPTED";
