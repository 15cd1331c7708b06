//! A list of keys on another server: fetched now and then, and when a key is asked for that is not in it.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use tokio::sync::Mutex;
use transport::http_client::HttpClient;
use transport::http_client::url::Url;

use crate::jwt::jwks;
use crate::jwt::key::Key;

/// Such a list. What was fetched last holds until something better is: a server that is away, or that has nothing for us to
/// give, changes nothing.
pub(crate) struct Remote {
    client: HttpClient,
    algorithms: Vec<Algorithm>,
    every: Duration,
    keys: RwLock<Arc<[Key]>>,
    /// Held while it is fetched: whoever wants the same waits for it.
    last: Mutex<Option<Attempt>>,
}

/// When it was fetched last, or should have been.
#[derive(Clone, Copy)]
struct Attempt {
    at: Instant,
    succeeded: bool,
}

impl Remote {
    /// Of the server at `url`, which is known by the certificates of the operating system, or of `authorities`. Fetches nothing
    /// yet.
    ///
    /// # Errors
    ///
    /// Why nobody can be asked there, or believed.
    pub(crate) fn new(
        url: &str,
        authorities: Option<&Path>,
        algorithms: Vec<Algorithm>,
        every: Duration,
    ) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        if !url.is_safe() {
            return Err(UNSAFE.to_owned());
        }
        // One at a time: `last` is held meanwhile.
        let client =
            HttpClient::new(url, authorities, 1, jwks::BYTES_MAX).map_err(|error| error.to_string())?;
        let keys = RwLock::new(Arc::from([]));
        Ok(Self { client, algorithms, every, keys, last: Mutex::default() })
    }

    /// What is known of it.
    pub(crate) fn keys(&self) -> Arc<[Key]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it could never be fetched: there is no good list without a key.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys().is_empty()
    }

    /// Fetches it if it is time, or soon again where that failed.
    pub(crate) async fn keep(&self) {
        let mut last = self.last.lock().await;
        let wait = |last: &Attempt| if last.succeeded { self.every } else { RETRY.min(self.every) };
        if last.as_ref().is_none_or(|last| last.at.elapsed() >= wait(last)) {
            *last = Some(self.fetch().await);
        }
    }

    /// Fetches it for a token whose key is not in it; but for all those tokens together not more often than every few
    /// seconds, for anybody can make one up.
    pub(crate) async fn renew(&self) {
        let mut last = self.last.lock().await;
        if last.as_ref().is_none_or(|last| last.at.elapsed() >= PAUSE) {
            *last = Some(self.fetch().await);
        }
    }

    async fn fetch(&self) -> Attempt {
        let source = self.client.url();
        let fetched = self.client.get("application/json", PATIENCE).await.map_err(|error| error.to_string());
        let parsed = fetched.and_then(|answer| {
            if answer.status != 200 {
                return Err(format!("the answer has status {}, not 200", answer.status));
            }
            let text = std::str::from_utf8(&answer.body).map_err(|_| "not UTF-8".to_owned())?;
            jwks::parse(text, &self.algorithms)
        });
        let succeeded = match parsed {
            Ok(keys) => {
                tracing::debug!(?source, keys = keys.len(), "keys.fetched");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
                true
            }
            Err(error) => {
                tracing::warn!(?source, error, "keys.not_fetched: those of before hold");
                false
            }
        };
        // When it is over: whoever waited for it has what he waited for.
        Attempt { at: Instant::now(), succeeded }
    }
}

/// Whoever is between could answer, and sign.
const UNSAFE: &str = "http:// is for this machine alone (127.0.0.1, ::1, localhost); use https://";

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon a list is fetched again for another unknown key.
const PAUSE: Duration = Duration::from_secs(5);

/// How soon after a failure, by itself.
const RETRY: Duration = Duration::from_secs(10);
