//! The client's end of TLS, for those who call a broker.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::http_client::trust::roots;
use crate::stream::Stream;
use crate::tls::pem::{certificates, private_key};

/// Whom a client believes, and what it shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// A file of the authorities that are believed, as PEM; `None`: those that the operating system knows.
    pub authorities: Option<PathBuf>,
    /// The files of a certificate and its key, as PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Trust {
    /// Shakes hands with `host`, which must be the name, or the address, in its certificate. `wanted`: what is to be spoken
    /// (ALPN). May wait for the disk.
    ///
    /// # Errors
    ///
    /// Why there is no connection, for people.
    pub async fn shake(&self, stream: TcpStream, host: &str, wanted: &[&str]) -> Result<Stream, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("{host:?} is no name that a certificate can have"))?;
        let mut config = self.config()?;
        config.alpn_protocols = wanted.iter().map(|name| name.as_bytes().to_vec()).collect();
        let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let stream = shaken.map_err(|error| format!("no TLS with {host}: {error}"))?;
        Ok(Stream::Called(Box::new(stream)))
    }

    fn config(&self) -> Result<ClientConfig, String> {
        let roots = roots(self.authorities.as_deref()).map_err(|error| error.to_string())?;
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let Some((certificate, key)) = &self.identity else { return Ok(config.with_no_client_auth()) };
        let chain = certificates(certificate).map_err(|error| error.to_string())?;
        let secret = private_key(key).map_err(|error| error.to_string())?;
        config.with_client_auth_cert(chain, secret).map_err(|error| {
            let show = |path: &Path| path.display().to_string();
            format!("{} and {} cannot be used together: {error}", show(certificate), show(key))
        })
    }
}
