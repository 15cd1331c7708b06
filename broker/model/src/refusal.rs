//! Why the broker says no.

use crate::ban::Subject;
use crate::name::{ExchangeName, QueueName, VhostName};
use crate::principal::Permissions;
use crate::rights::{Right, RuleName};
use crate::time::WallMs;

/// A refusal, in words that either protocol can pass on. The MQTT door turns it into a reason code, the STOMP door into
/// an ERROR frame; both show its text, which names what was refused, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Who are you? Wrong user or password, or none where one is needed.
    #[error("access refused: {0}")]
    BadCredentials(&'static str),
    /// An exchange did not show who the client is.
    #[error("authentication failed: {0}")]
    NotProven(&'static str),
    /// A signed token does not show who the client is.
    #[error("the token is refused: {0}")]
    BadToken(&'static str),
    /// What the client showed was good until then.
    #[error("the token has expired at {at}; a newer one is needed")]
    Expired {
        /// When it ended, by itself.
        at: WallMs,
    },
    /// There is no such way of showing who one is.
    #[error("authentication method {method:?} is not supported; supported: {supported}")]
    NoMethod {
        /// What was asked for.
        method: String,
        /// What may be asked for.
        supported: &'static str,
    },
    /// Not allowed to do this here.
    #[error("not allowed to {action} {target}")]
    Denied {
        /// The verb: publish, subscribe, …
        action: &'static str,
        /// What it was to be done to.
        target: String,
    },
    /// A rule keeps this client from it.
    #[error("not allowed to {action} {target} ({rule})")]
    Forbidden {
        /// The verb: publish, subscribe, …
        action: &'static str,
        /// What it was to be done to.
        target: String,
        /// Which rule.
        rule: RuleName,
        /// The reason code that it names for clients of MQTT 5.0.
        code: u8,
    },
    /// A hook says no, in its own words.
    #[error("{text}")]
    Vetoed {
        /// Why, for the client: one line.
        text: Box<str>,
        /// The reason code that it names for clients of MQTT 5.0.
        code: u8,
    },
    /// No exchange of that name.
    #[error(
        "no exchange {0:?}; declare it: duetmq declare exchange {0:?}, or [[exchange]] in the configuration"
    )]
    NoExchange(ExchangeName),
    /// The exchange takes nothing from clients.
    #[error(
        "exchange {0:?} is internal: it takes messages from other exchanges only; publish to one that leads there"
    )]
    Internal(ExchangeName),
    /// No queue of that name, and none may be made by this request.
    #[error(
        "queue {0:?} does not exist; declare it (duetmq declare queue {0:?}, or [[queue]] in the configuration), or in STOMP use /queue/{0}, which makes it; /amq/queue never does"
    )]
    NoQueue(QueueName),
    /// No binding like that.
    #[error("no binding of {0}")]
    NoBinding(String),
    /// It was to be deleted only if nobody uses it, or if nothing is in it.
    #[error("{what} is in use: {why}")]
    InUse {
        /// `queue "x"`, `exchange "y"`.
        what: String,
        /// Who uses it, or what is in it.
        why: String,
    },
    /// The queue is another connection's own.
    #[error("queue {0:?} is exclusive to another connection")]
    Exclusive(QueueName),
    /// Something of that name exists and is different.
    #[error("{what} exists with other options: {difference}")]
    Inequivalent {
        /// `queue "x"`, `exchange "y"`.
        what: String,
        /// Which option, what it is, what was asked for.
        difference: String,
    },
    /// Something was asked of a queue that such a queue does not have.
    #[error("queue {queue:?} cannot have {argument}: {why}")]
    AtOdds {
        /// The queue.
        queue: QueueName,
        /// What was asked for, as RabbitMQ calls it.
        argument: &'static str,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// A stream was to be read that is none.
    #[error(
        "queue {0:?} is no stream, and only streams are read from an offset; leave out x-stream-offset, or declare it with x-queue-type:stream"
    )]
    NoStream(QueueName),
    /// A limit of the broker is reached.
    #[error("limit reached: {0}")]
    LimitReached(&'static str),
    /// There is too much to do just now.
    #[error("the broker is busy: {0}")]
    Busy(&'static str),
    /// Whoever is called that, or comes from there, stays out.
    #[error("{subject} is banned{}{}", until_text(*.until), reason_text(.reason))]
    Banned {
        /// Who.
        subject: Box<Subject>,
        /// Until when; `None`: until somebody takes it back.
        until: Option<WallMs>,
        /// Why; may be empty.
        reason: Box<str>,
    },
    /// The namespace that was asked for does not exist.
    #[error("virtual host {0:?} does not exist")]
    NoVhost(String),
    /// The client asked for something that makes no sense here.
    #[error("{0}")]
    Invalid(&'static str),
    /// The broker is stopping.
    #[error("the broker is shutting down")]
    ShuttingDown,
}

fn until_text(until: Option<WallMs>) -> String {
    until.map(|until| format!(" until {until}")).unwrap_or_default()
}

fn reason_text(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

impl Refusal {
    /// Whether the time of `permissions` is not over. `now`, by the clock on the wall, is asked for only where there is an end.
    ///
    /// # Errors
    ///
    /// [`Self::Expired`].
    pub fn unless_over(permissions: &Permissions, now: impl FnOnce() -> WallMs) -> Result<(), Self> {
        // Few have an end, and the others need no clock.
        match permissions.term().and_then(|_| permissions.over(now())) {
            Some(term) => Err(Self::Expired { at: term.expires_at }),
            None => Ok(()),
        }
    }

    /// Whether `permissions` are good in that vhost, as far as whoever has them may be in some alone.
    ///
    /// # Errors
    ///
    /// [`Self::Denied`], which names those.
    pub fn unless_elsewhere(permissions: &Permissions, vhost: &VhostName) -> Result<(), Self> {
        match permissions.vhosts() {
            Some(those) if !those.contains(vhost) => {
                let those: Vec<String> = those.iter().map(|one| format!("{one:?}")).collect();
                let target = format!("virtual host {vhost:?}: the token is for {}", those.join(", "));
                Err(Self::Denied { action: "enter", target })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Because of that rule.
    pub fn forbidden(action: &'static str, target: impl ToString, by: &Right) -> Self {
        Self::Forbidden { action, target: target.to_string(), rule: by.name.clone(), code: by.code }
    }
}
