//! Webhooks: hooks that are asked, and told, over HTTP

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::hook::{Asked, Attributes, Caller, Hook, News};
use model::key::{KeyPattern, RoutingKey};
use model::name::ExchangeName;
use model::principal::Handshake;
use model::request::{Publish, Subscription};
use tokio::sync::mpsc;
use transport::http_client::trust::TrustError;

use crate::webhook::endpoint::Endpoint;
use crate::webhook::options::HookOptions;
use crate::webhook::question::{Subject, queue_name};

mod answer;
mod breaker;
mod endpoint;
pub(crate) mod options;
mod place;
mod question;

/// Hooks, in the order in which they are asked: each is asked about what the one before made of it, and the first no stands.
pub(crate) struct Webhooks {
    hooks: Vec<(Arc<Endpoint>, Lanes)>,
}

impl Webhooks {
    /// To be called within a tokio runtime, if there are any.
    ///
    /// # Errors
    ///
    /// Certificates that cannot be used, and where they are named.
    pub(crate) fn new(hooks: Vec<HookOptions>) -> Result<Self, (String, TrustError)> {
        let life = RandomState::new().hash_one(Instant::now());
        let hooks = hooks.into_iter().enumerate().map(|(number, options)| {
            let endpoint =
                Endpoint::new(options, life).map_err(|error| (format!("hook.{number}.ca_file"), error))?;
            let endpoint = Arc::new(endpoint);
            let lanes = Lanes::new(&endpoint);
            Ok((endpoint, lanes))
        });
        Ok(Self { hooks: hooks.collect::<Result<_, _>>()? })
    }

    fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.hooks.iter().map(|(endpoint, _)| &**endpoint)
    }
}

impl Hook for Webhooks {
    fn connect<'a>(&'a self, caller: &'a Caller, handshake: Option<&'a Handshake>) -> Asked<'a, Attributes> {
        Box::pin(async move {
            let mut caller = caller.clone();
            for hook in self.endpoints() {
                if hook.options.events.connect && hook.options.is_about(&caller) {
                    let known = caller.attributes.clone();
                    caller.attributes = hook.connect(&caller, handshake, known).await?;
                }
            }
            Ok(caller.attributes)
        })
    }

    fn wants_publish(&self, caller: &Caller, exchange: &ExchangeName, key: &RoutingKey) -> bool {
        self.endpoints().any(|hook| wants_publish(hook, caller, exchange, key))
    }

    fn publish<'a>(&'a self, caller: &'a Caller, mut publish: Publish) -> Asked<'a, Publish> {
        Box::pin(async move {
            for hook in self.endpoints() {
                if wants_publish(hook, caller, &publish.exchange, &publish.key) {
                    publish = hook.publish(caller, publish).await?;
                }
            }
            Ok(publish)
        })
    }

    fn wants_subscribe(&self, caller: &Caller, subscription: &Subscription) -> bool {
        self.endpoints().any(|hook| wants_subscribe(hook, caller, subscription))
    }

    fn subscribe<'a>(
        &'a self,
        caller: &'a Caller,
        mut subscription: Subscription,
    ) -> Asked<'a, Subscription> {
        Box::pin(async move {
            for hook in self.endpoints() {
                if wants_subscribe(hook, caller, &subscription) {
                    subscription = hook.subscribe(caller, subscription).await?;
                }
            }
            Ok(subscription)
        })
    }

    fn wants_unsubscribe(&self, caller: &Caller) -> bool {
        self.endpoints().any(|hook| hook.options.events.unsubscribe && hook.options.is_about(caller))
    }

    fn tell(&self, caller: &Arc<Caller>, news: News) {
        let news = Arc::new(news);
        for (hook, lanes) in &self.hooks {
            let is_wanted = match &*news {
                News::Unsubscribed { exchange, pattern } => {
                    hook.options.events.unsubscribe && hook.options.takes_pattern(exchange, pattern)
                }
                News::Left { .. } => hook.options.events.disconnect,
            };
            if is_wanted && hook.options.is_about(caller) {
                lanes.put(&hook.options.name, caller, &news);
            }
        }
    }
}

fn wants_publish(hook: &Endpoint, caller: &Caller, exchange: &ExchangeName, key: &RoutingKey) -> bool {
    let options = &hook.options;
    options.events.publish && options.is_about(caller) && options.takes_key(exchange, key)
}

fn wants_subscribe(hook: &Endpoint, caller: &Caller, subscription: &Subscription) -> bool {
    let options = &hook.options;
    let takes = || match (&subscription.source, &subscription.queue) {
        (Some(source), _) => options.takes_pattern(&source.exchange, &source.pattern),
        (None, queue) => {
            let pattern = KeyPattern::exact(&RoutingKey::from(queue_name(queue)));
            options.takes_pattern(&ExchangeName::DEFAULT, &pattern)
        }
    };
    options.events.subscribe && options.is_about(caller) && takes()
}

/// What a hook is to be told, in lists: all of one client in one of them, so that it comes in order.
struct Lanes {
    lanes: Vec<mpsc::Sender<Told>>,
    hasher: RandomState,
    complained_at: Mutex<Option<Instant>>,
}

type Told = (Arc<Caller>, Arc<News>);

impl Lanes {
    fn new(endpoint: &Arc<Endpoint>) -> Self {
        let events = endpoint.options.events;
        let count = if events.unsubscribe || events.disconnect { LANES } else { 0 };
        let lanes = (0..count).map(|_| {
            let (lane, mut told) = mpsc::channel::<Told>(LANE_MAX);
            let endpoint = Arc::clone(endpoint);
            tokio::spawn(async move {
                while let Some((caller, news)) = told.recv().await {
                    let (event, subject) = Subject::news(&news);
                    endpoint.tell(event, &caller, subject).await;
                }
            });
            lane
        });
        Self { lanes: lanes.collect(), hasher: RandomState::new(), complained_at: Mutex::default() }
    }

    /// If too much waits already, it is lost: nobody waits for a hook that is only told.
    fn put(&self, hook: &str, caller: &Arc<Caller>, news: &Arc<News>) {
        let number =
            usize::try_from(self.hasher.hash_one(&caller.connection) % LANES as u64).unwrap_or_default();
        let Some(lane) = self.lanes.get(number) else { return };
        if lane.try_send((Arc::clone(caller), Arc::clone(news))).is_err() {
            let mut complained_at = self.complained_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if complained_at.is_none_or(|at| now - at >= COMPLAINTS_EVERY) {
                *complained_at = Some(now);
                tracing::warn!(hook, waiting = LANE_MAX * LANES, "hook.not_told: it is too slow");
            }
        }
    }
}

/// How many pieces of news a hook is told at a time, and how many may wait for each.
const LANES: usize = 4;
const LANE_MAX: usize = 1024;

const COMPLAINTS_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use transport::http_client::url::Url;

    use super::options::tests::options;
    use super::*;

    #[tokio::test]
    async fn certificates_that_cannot_be_used_are_an_error_that_names_them() {
        for (url, expected) in [
            ("http://127.0.0.1:1/", "hook.1.ca_file: certificates are of no use with http://"),
            ("https://localhost:1/", "hook.1.ca_file: /nowhere/ca.pem: "),
        ] {
            let authorities = Some(PathBuf::from("/nowhere/ca.pem"));
            let bad = HookOptions { url: Url::parse(url).unwrap(), authorities, ..options(&[]) };
            let hooks = Webhooks::new(vec![options(&[]), bad]);
            let error = hooks.err().map(|(place, error)| format!("{place}: {error}")).unwrap_or_default();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
