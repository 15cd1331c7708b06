//! One hook: asks, within its time, and judges what comes.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use model::hook::{Attributes, Caller};
use model::principal::Handshake;
use model::refusal::Refusal;
use model::request::{Publish, Subscription};
use sha2::Sha256;
use transport::http_client::failure::AskError;
use transport::http_client::trust::TrustError;
use transport::http_client::{HttpClient, Question as Asked};

use super::answer::{Answer, AnswerError, Changes};
use super::breaker::Breaker;
use super::options::{HookOptions, OnError};
use super::question::{Question, Subject};
use crate::clock::wall_now;
use crate::jwt::secret::Secret;

/// A hook, and what is known of its health.
pub(super) struct Endpoint {
    pub(super) options: HookOptions,
    client: HttpClient,
    breaker: Mutex<Breaker>,
    complaints: Mutex<Complaints>,
    /// What its questions are called: the first part is another one at each start.
    life: u64,
    questions: AtomicU64,
}

/// Failures, in the log.
#[derive(Default)]
struct Complaints {
    next_at: Option<Instant>,
    withheld: u64,
}

/// Why a hook gave no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it has not answered of late, and is left alone for a while")]
    Paused,
    #[error(transparent)]
    Unanswered(#[from] AskError),
    #[error("it answered with status {0} instead of 200 or 204")]
    Status(u16),
    #[error("its answer cannot be used: {0}")]
    Unusable(#[from] AnswerError),
}

impl Failure {
    /// Whether it would be the same with another question, and cost as much time.
    const fn is_of_its_health(&self) -> bool {
        match self {
            Self::Unanswered(
                AskError::Unreachable(_) | AskError::Tls(_) | AskError::TimedOut | AskError::Broken(_),
            )
            | Self::Status(500..) => true,
            Self::Unanswered(AskError::TooLarge(_) | AskError::Unsayable)
            | Self::Paused
            | Self::Status(_)
            | Self::Unusable(_) => false,
        }
    }
}

impl Endpoint {
    pub(super) fn new(options: HookOptions, life: u64) -> Result<Self, TrustError> {
        let authorities = options.authorities.as_deref();
        let client =
            HttpClient::new(options.url.clone(), authorities, options.connections, ANSWER_BYTES_MAX)?;
        Ok(Self {
            options,
            client,
            breaker: Mutex::default(),
            complaints: Mutex::default(),
            life,
            questions: AtomicU64::new(1),
        })
    }

    /// Asks whether a client may come in, of which `known` is known.
    pub(super) async fn connect(
        &self,
        caller: &Caller,
        handshake: Option<&Handshake>,
        known: Attributes,
    ) -> Result<Attributes, Refusal> {
        let subject = || Subject::handshake(handshake, &self.options);
        let answer = self.ask("connect", caller, subject).await;
        self.conclude(answer, known, |changes, known| {
            *known = changes.into_attributes(known)?;
            Ok(())
        })
    }

    /// Asks about a message.
    pub(super) async fn publish(&self, caller: &Caller, publish: Publish) -> Result<Publish, Refusal> {
        let subject = || Subject::message(&publish, self.options.payload);
        let answer = self.ask("publish", caller, subject).await;
        self.conclude(answer, publish, |changes, publish| changes.apply_to_message(publish))
    }

    /// Asks about a subscription.
    pub(super) async fn subscribe(
        &self,
        caller: &Caller,
        subscription: Subscription,
    ) -> Result<Subscription, Refusal> {
        let subject = || Subject::subscription(&subscription);
        let answer = self.ask("subscribe", caller, subject).await;
        self.conclude(answer, subscription, |changes, subscription| {
            changes.apply_to_subscription(subscription)
        })
    }

    /// Tells it something. Whatever it answers changes nothing.
    pub(super) async fn tell(&self, event: &'static str, caller: &Caller, subject: Subject<'_>) {
        if let Err(failure) = self.post(event, caller, || subject).await {
            self.complain(&failure);
        }
    }

    /// What its answer makes of `subject`. One that cannot be used changes nothing of it.
    fn conclude<T>(
        &self,
        answer: Result<Answer, Failure>,
        mut subject: T,
        apply: impl FnOnce(Changes, &mut T) -> Result<(), AnswerError>,
    ) -> Result<T, Refusal> {
        let failure = match answer {
            Ok(Answer::Deny(refusal)) => return Err(refusal),
            Ok(Answer::Allow(changes)) => match apply(*changes, &mut subject) {
                Ok(()) => return Ok(subject),
                Err(error) => Failure::Unusable(error),
            },
            Err(failure) => failure,
        };
        self.complain(&failure);
        match self.options.on_error {
            OnError::Allow => Ok(subject),
            OnError::Deny => Err(UNANSWERED),
        }
    }

    async fn ask<'a>(
        &self,
        event: &'static str,
        caller: &'a Caller,
        subject: impl FnOnce() -> Subject<'a> + Send,
    ) -> Result<Answer, Failure> {
        match self.post(event, caller, subject).await? {
            None => Ok(Answer::Allow(Box::default())),
            Some(body) => Ok(Answer::read(&body)?),
        }
    }

    /// Its answer; `None` if that is 204.
    async fn post<'a>(
        &self,
        event: &'static str,
        caller: &'a Caller,
        subject: impl FnOnce() -> Subject<'a> + Send,
    ) -> Result<Option<Bytes>, Failure> {
        let within = self.options.timeout;
        if !self.breaker().may_ask(Instant::now(), within) {
            return Err(Failure::Paused);
        }
        let answer = self.client.post(|| self.question(event, caller, subject()), within).await;
        let answer = match answer {
            Ok(answer) if answer.status == 200 => Ok(Some(answer.body)),
            Ok(answer) if answer.status == 204 => Ok(None),
            Ok(answer) => Err(Failure::Status(answer.status)),
            Err(error) => Err(error.into()),
        };
        self.note_health(answer.as_ref().is_err_and(Failure::is_of_its_health));
        answer
    }

    fn question(&self, event: &'static str, caller: &Caller, subject: Subject<'_>) -> Asked {
        let number = self.questions.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:016x}-{number}", self.life);
        let now = wall_now();
        let question = Question::new(&id, event, now.0, caller, subject);
        // There is nothing in it that JSON could not say.
        let body = serde_json::to_vec(&question).unwrap_or_default();
        let mut headers = vec![("duetmq-event", event.to_owned())];
        if let Some(secret) = &self.options.secret {
            let seconds = (now.0 / 1000).to_string();
            headers.push(("duetmq-signature", signature(secret, &seconds, &body)));
            headers.push(("duetmq-timestamp", seconds));
        }
        Asked { content_type: "application/json", headers, body: body.into() }
    }

    fn note_health(&self, has_failed: bool) {
        let hook = &self.options.name;
        if !has_failed {
            if self.breaker().answered() {
                tracing::info!(hook, "hook.answers_again");
            }
        } else if let Some(pause) = self.breaker().failed(Instant::now()) {
            tracing::warn!(hook, url = ?self.options.url, seconds = pause.as_secs(), "hook.left_alone");
        }
    }

    fn complain(&self, failure: &Failure) {
        let withheld = {
            let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if complaints.next_at.is_some_and(|at| now < at) {
                complaints.withheld += 1;
                return;
            }
            complaints.next_at = Some(now + COMPLAINTS_EVERY);
            std::mem::take(&mut complaints.withheld)
        };
        tracing::warn!(hook = self.options.name, reason = %failure, withheld, "hook.failed");
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By which the receiver knows that a question is ours, and new: `sha256=` and, in hexadecimal, the HMAC of the timestamp, a dot
/// and the body.
fn signature(secret: &Secret, timestamp: &str, body: &[u8]) -> String {
    let mut text = String::from("sha256=");
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else { return text };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    for byte in mac.finalize().into_bytes() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The client may try again: it is not that it may not.
const UNANSWERED: Refusal =
    Refusal::Busy("a hook gave no answer that can be used (hook.on_error is \"deny\")");

/// Room for a payload of 1 MiB as Base64, and for what is around it.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// How often failures of one hook are in the log; in between they are counted.
const COMPLAINTS_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_others_make_of_the_same() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let secret = Secret::new("0123456789abcdef");
        assert_eq!(signature(&secret, "1700000000", br#"{"a":1}"#), format!("sha256={EXPECTED}"));
    }

    const EXPECTED: &str = "9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23";
}
