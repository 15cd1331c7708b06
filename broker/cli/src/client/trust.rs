//! Whom a command believes that he is the broker, and what it shows him, as a command line says it

use std::path::PathBuf;

use clap::Args;
use transport::tls_client::Trust;

use crate::failure::Failure;

/// Files for TLS.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct TrustArgs {
    /// By TLS: the certificates of those who are believed when they say who the broker is (PEM) [default: those of this machine].
    #[arg(long, env = "DUETMQ_CAFILE", value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// By TLS: our own certificate (PEM); needs --tls-key.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// By TLS: the key of our certificate (PEM), which nobody but its owner may read; needs --tls-cert.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl TrustArgs {
    /// What they say.
    ///
    /// # Errors
    ///
    /// They say something about a connection that is not by TLS.
    pub(crate) fn trust(self, is_secure: bool) -> Result<Trust, Failure> {
        // A variable is for whatever it fits.
        if !is_secure && self.tls_cert.is_some() {
            return Err(Failure::usage(
                "--tls-cert and --tls-key are for TLS; begin the address with mqtts://, stomps://, wss:// or https://",
            ));
        }
        let authorities = self.cafile.filter(|path| !path.as_os_str().is_empty());
        Ok(Trust { authorities, identity: self.tls_cert.zip(self.tls_key) })
    }
}
