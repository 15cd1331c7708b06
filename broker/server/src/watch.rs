//! Watch: files of users, keys and rules, read again when they change

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth::{Guard, Rule};
use engine::Broker;
use model::name::ExchangeName;
use tokio::task::spawn_blocking;
use transport::files::Stamp;

use crate::config::{Config, ConfigError, acl};

/// Looks at the files that may change while the broker runs. One that cannot be used changes nothing.
pub(crate) struct Watch {
    guard: Arc<Guard>,
    rules: Option<RulesFile>,
}

/// The file of rules.
#[derive(Clone)]
struct RulesFile {
    path: PathBuf,
    plain: ExchangeName,
    stamp: Option<Stamp>,
}

/// What reading the rules again came to; `None`: they are the same.
type Reread = Option<Result<Arc<[Rule]>, Vec<ConfigError>>>;

impl Watch {
    /// Those that `config` names.
    pub(crate) fn new(config: &Config, guard: Arc<Guard>) -> Self {
        let rules = config.acl().map(|path| {
            // Whatever happened since they were read is seen at the first look.
            RulesFile { path, plain: config.plain(), stamp: None }
        });
        Self { guard, rules }
    }

    /// Looks again and again; whoever is in is held against what has changed.
    pub(crate) async fn keep(mut self, broker: Broker) {
        loop {
            tokio::time::sleep(EVERY).await;
            let (guard, rules) = (Arc::clone(&self.guard), self.rules.take());
            let read = spawn_blocking(move || {
                let (rules, reread) = rules.map(RulesFile::reread).unzip();
                (guard.refresh(), guard.refresh_keys(), rules, reread.flatten())
            });
            match read.await {
                Ok((users, keys, rules, reread)) => {
                    self.rules = rules;
                    let mut is_other = false;
                    match users {
                        None => {}
                        Some(Ok(())) => {
                            tracing::info!("users.read");
                            is_other = true;
                        }
                        Some(Err(error)) => tracing::error!(%error, "users.not_read: those of before hold"),
                    }
                    match keys {
                        None => {}
                        Some(Ok(())) => tracing::info!("keys.read"),
                        Some(Err(error)) => tracing::error!(%error, "keys.not_read: those of before hold"),
                    }
                    if self.take(reread) || is_other {
                        broker.revise();
                    }
                }
                Err(panic) => tracing::error!(%panic, "files.not_read: what was read before holds"),
            }
        }
    }

    /// Whether there are other rules now.
    fn take(&self, reread: Reread) -> bool {
        match reread {
            None => false,
            Some(Ok(rules)) => {
                tracing::info!(rules = rules.len(), "rules.read");
                self.guard.set_rules(rules);
                true
            }
            Some(Err(errors)) => {
                for error in errors {
                    tracing::error!(%error, "rules.not_read: those of before hold");
                }
                false
            }
        }
    }
}

impl RulesFile {
    fn reread(mut self) -> (Self, Reread) {
        let stamp = Stamp::of(&self.path);
        if stamp == self.stamp && stamp.is_some() {
            return (self, None);
        }
        if stamp.is_none() && self.stamp.is_none() {
            return (self, None);
        }
        // Also when it cannot be used: it is complained about once.
        self.stamp = stamp;
        let read = acl::read(&self.path, &self.plain);
        (self, Some(read))
    }
}

/// How often they are looked at.
const EVERY: Duration = Duration::from_secs(1);
