//! By whose word a server is who it says: the certificates of the operating system, or those of a file.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// Whoever is certified by one of [`roots`].
pub(super) fn connector(authorities: Option<&Path>) -> Result<TlsConnector, TrustError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::Authorities("TLS".to_owned(), error.to_string()))?
        .with_root_certificates(roots(authorities)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The `authorities` of a file of certificates as PEM; without it, those whom the operating system knows. May wait for the disk.
pub(crate) fn roots(authorities: Option<&Path>) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(path) => {
            let unusable = |why: String| TrustError::Authorities(path.display().to_string(), why);
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unusable("there is no certificate in it".to_owned()));
            }
        }
        // Some of a system's may be odd; those that are not are enough for those they are for.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

/// Why nobody can be known by that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Nothing would be checked with them.
    #[error("certificates are of no use with http://")]
    NoUse,
    /// The certificates cannot be used.
    #[error("{0}: {1}")]
    Authorities(String, String),
}
