//! Reload: what is read again when somebody asks for it, and what of a new configuration holds without a restart

use std::sync::Arc;

use admin::Admins;
use auth::Guard;
use engine::Broker;
use telemetry::logging::Dial;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::arguments::ServeArgs;
use crate::config::difference::difference;
use crate::config::{Config, Surroundings};
use crate::options;
use crate::watch::Asked;

/// What a process was started with, and what it goes by now.
pub(crate) struct Reload {
    arguments: ServeArgs,
    around: Surroundings,
    /// As it was at start.
    first: Config,
    /// As it was read last.
    last: Config,
    guard: Arc<Guard>,
    broker: Broker,
    admins: Admins,
    dial: Dial,
    /// Tells those who look at files to read them, whether they changed or not.
    asked: watch::Sender<Asked>,
}

impl Reload {
    /// Of a process that was started so. `dial` is its log's, `admins` are those of its listeners.
    pub(crate) fn new(
        started: (ServeArgs, Surroundings),
        config: Config,
        guard: Arc<Guard>,
        broker: Broker,
        admins: Admins,
        dial: Dial,
    ) -> Self {
        let (arguments, around) = started;
        let (asked, _) = watch::channel(Asked { rules: config.acl() });
        Self { arguments, around, first: config.clone(), last: config, guard, broker, admins, dial, asked }
    }

    /// By which it is heard that files are to be read.
    pub(crate) fn watched(&self) -> watch::Receiver<Asked> {
        self.asked.subscribe()
    }

    /// Reads everything again. What cannot be used changes nothing, and the log says what is wrong with it.
    pub(crate) async fn now(&mut self) {
        tracing::info!(signal = "SIGHUP", "reload.begin");
        let (arguments, around) = (self.arguments.clone(), self.around.clone());
        match spawn_blocking(move || Config::load(&arguments, &around)).await {
            Ok(Ok(config)) => self.take(config),
            Ok(Err(errors)) => {
                for error in errors {
                    tracing::error!(%error, "config.not_read: the one of before holds");
                }
            }
            Err(panic) => tracing::error!(%panic, "config.not_read: the one of before holds"),
        }
        // Also where nobody listens: then there is no file to be read.
        let _ = self.asked.send(Asked { rules: self.last.acl() });
    }

    fn take(&mut self, config: Config) {
        let mut changed = difference(self.last.settings(), config.settings());
        changed.retain(|key| is_live(key));
        let mut rest = difference(self.first.settings(), config.settings());
        rest.retain(|key| !is_live(key));
        let has = |what: &str| changed.iter().any(|key| key.starts_with(what));
        if has("acl.") || has("access.") {
            self.guard.replace_rules(config.rules().clone());
            self.broker.revise();
        }
        if has("admin.") {
            self.admins.set(config.admins().clone());
        }
        if has("log.") {
            self.dial.turn(options::logging(&config).0);
        }
        let (changed, restart) = (changed.join(", "), rest.join(", "));
        if restart.is_empty() {
            tracing::info!(changed, "config.read");
        } else {
            tracing::warn!(
                changed,
                restart,
                "config.read: what is named by restart holds from the next start on"
            );
        }
        self.last = config;
    }
}

/// Whether another value of that key holds at once.
fn is_live(key: &str) -> bool {
    LIVE.iter().any(|live| key == *live || (live.ends_with('.') && key.starts_with(live)))
}

/// All keys of tables that end with a dot.
const LIVE: &[&str] = &["acl.", "access.", "admin.user", "log.level"];
