//! Certificates: what listeners show by TLS, read before anything is opened

use std::collections::HashMap;
use std::sync::Arc;

use gateway::tls::Tls;

use crate::config::Config;
use crate::config::settings::Section;
use crate::failure::{Code, Failure};

/// All certificates of a configuration, by their names.
#[derive(Debug, Default)]
pub(crate) struct Certificates(HashMap<String, Arc<Tls>>);

impl Certificates {
    /// Reads their files.
    ///
    /// # Errors
    ///
    /// One cannot be used: a listener without it would not be the one that is meant.
    pub(crate) fn read(config: &Config) -> Result<Self, Failure> {
        let read = config.tls().iter().map(|options| {
            let name = options.name.clone();
            let tls = Tls::load(options.clone());
            let tls = tls.map_err(|error| Failure::new(Code::Usage, format!("tls.{name}: {error}")))?;
            Ok((name, Arc::new(tls)))
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// The one that a listener shows, if it shows one.
    pub(crate) fn of(&self, listener: &Section) -> Option<Arc<Tls>> {
        self.0.get(listener.text("tls")?).map(Arc::clone)
    }
}
