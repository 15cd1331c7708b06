//! Watch: files of users, keys and rules, read again when they change

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth::{Guard, Rule};
use engine::Broker;
use model::name::ExchangeName;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use transport::files::Stamp;

use crate::config::{Config, ConfigError, acl};

/// Looks at the files that may change while the broker runs. One that cannot be used changes nothing.
pub(crate) struct Watch {
    guard: Arc<Guard>,
    plain: ExchangeName,
    rules: Option<RulesFile>,
    asked: watch::Receiver<Asked>,
}

/// The file of rules.
#[derive(Clone)]
struct RulesFile {
    path: PathBuf,
    plain: ExchangeName,
    stamp: Option<Stamp>,
}

/// Somebody wants all files read again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// The file of rules, which may be another one by now.
    pub(crate) rules: Option<PathBuf>,
}

/// What reading the rules again came to; `None`: they are the same.
type Reread = Option<Result<Arc<[Rule]>, Vec<ConfigError>>>;

impl Watch {
    /// Those that `config` names; at once whenever somebody has `asked`.
    pub(crate) fn new(config: &Config, guard: Arc<Guard>, asked: watch::Receiver<Asked>) -> Self {
        let plain = config.plain();
        // Whatever happened since they were read is seen at the first look.
        let rules = config.acl().map(|path| RulesFile { path, plain: plain.clone(), stamp: None });
        Self { guard, plain, rules, asked }
    }

    /// Waits until it is time to look; whether somebody asked for it. Then everything is read, whether it changed or not.
    async fn time(&mut self) -> bool {
        let is_asked = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            // Once nobody can ask any more, the broker ends.
            asked = self.asked.changed() => asked.is_ok(),
        };
        if is_asked {
            let path = self.asked.borrow_and_update().rules.clone();
            self.rules = path.map(|path| RulesFile { path, plain: self.plain.clone(), stamp: None });
        }
        is_asked
    }

    /// Looks again and again; whoever is in is held against what has changed.
    pub(crate) async fn keep(mut self, broker: Broker) {
        loop {
            let is_asked = self.time().await;
            let (guard, rules) = (Arc::clone(&self.guard), self.rules.take());
            let read = spawn_blocking(move || {
                let (rules, reread) = rules.map(RulesFile::reread).unzip();
                let (users, keys) = if is_asked {
                    (guard.reread(), guard.reread_keys())
                } else {
                    (guard.refresh(), guard.refresh_keys())
                };
                (users, keys, rules, reread.flatten())
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
