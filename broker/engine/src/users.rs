//! A user and all of its sessions: whose destinations a client may ask for, and where messages to them go

use bytestring::ByteString;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ExchangeName, UserName};
use model::personal;
use model::properties::ReplyTo;
use model::refusal::Refusal;
use model::request::{Publish, Source, Target};

use crate::client::Listening;
use crate::numbers::SessionName;

/// Who a link speaks for, as the first level of what is his. Bindings made with it belong to a queue of the session, and go
/// with that; messages are routed like all others.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    /// The session.
    session: SessionName,
    /// The user; `None`: nobody in particular, so what is the user's is the session's.
    user: Option<UserName>,
}

impl Own {
    pub(crate) const fn new(session: SessionName, user: Option<UserName>) -> Self {
        Self { session, user }
    }

    /// What the session is called.
    pub(crate) const fn session(&self) -> SessionName {
        self.session
    }

    /// What the keys of that exchange begin with that are his; `None`: it is not parted that way.
    fn level(&self, exchange: &ExchangeName) -> Option<Box<str>> {
        let session = || self.session.to_string().into();
        if *exchange == ExchangeName::SESSION {
            return Some(session());
        }
        let user = |user: &UserName| personal::user_level(user.as_str()).into();
        (*exchange == ExchangeName::USER).then(|| self.user.as_ref().map_or_else(session, user))
    }

    /// The pattern that is bound where `pattern` is asked for: his own, and never anybody else's.
    pub(crate) fn pattern(&self, exchange: &ExchangeName, pattern: KeyPattern) -> KeyPattern {
        let Some(level) = self.level(exchange) else { return pattern };
        let first = Level::Literal(level);
        KeyPattern::new(std::iter::once(first).chain(pattern.levels().iter().cloned()).collect())
    }

    /// What is bound where `source` is asked for.
    ///
    /// # Errors
    ///
    /// It names somebody, or the queue would outlive the session, or others could take from it.
    pub(crate) fn source(&self, source: Source, queue: &Target) -> Result<Source, Refusal> {
        if !personal::is_personal(&source.exchange) {
            return Ok(source);
        }
        if names_somebody(&source.pattern) {
            let target = format!(
                "{}/{}: what is for a user or a session is heard by that one alone; leave the name out, and it is your own",
                source.exchange, source.pattern
            );
            return Err(Refusal::Denied { action: "subscribe to", target });
        }
        match queue {
            Target::Session | Target::Private | Target::Replies(_) => {
                Ok(Source { pattern: self.pattern(&source.exchange, source.pattern), ..source })
            }
            Target::Declare(_) | Target::Existing(_) => Err(Refusal::Invalid(
                "a subscription to what is for a user or a session has a queue of its own, which goes with it: leave \
                 out durable and x-queue-name",
            )),
        }
    }

    /// Completes what is published to a session without saying to which: to the publisher's own.
    ///
    /// # Errors
    ///
    /// It would stay behind when the session is gone.
    pub(crate) fn admit(&self, publish: &mut Publish) -> Result<(), Refusal> {
        self.complete(&publish.exchange, &mut publish.key);
        check(publish)?;
        if let Some(properties) = &mut publish.properties
            && let Some(ReplyTo::Address { exchange, key }) = &mut properties.reply_to
        {
            self.complete(exchange, key);
        }
        Ok(())
    }

    fn complete(&self, exchange: &ExchangeName, key: &mut RoutingKey) {
        if *exchange == ExchangeName::SESSION && !personal::is_session(personal::split(key.as_str()).0) {
            *key = RoutingKey::new(ByteString::from(format!("{}/{key}", self.session)));
        }
    }
}

/// What is bound, as it was asked for: without whose it is.
pub(crate) fn as_asked(bound: &Listening) -> Listening {
    let mut asked = bound.clone();
    if let Some((exchange, pattern)) = &mut asked.source
        && personal::is_personal(exchange)
    {
        *pattern = KeyPattern::new(pattern.levels().get(1..).unwrap_or_default().to_vec());
    }
    asked
}

/// Whether a subscription is written as if the name of a user or a session stood first, as it does when one publishes:
/// nothing would ever come, so it is better told.
fn names_somebody(pattern: &KeyPattern) -> bool {
    let is_kind =
        |level: &Level| matches!(level, Level::Literal(text) if matches!(&**text, "queue" | "topic"));
    match pattern.levels() {
        [Level::Literal(first), ..] if personal::is_session(first) => true,
        [first @ Level::Literal(_), second, ..] => !is_kind(first) && is_kind(second),
        _ => false,
    }
}

/// Whether anybody may publish there.
///
/// # Errors
///
/// It names no session, or would stay behind when the session is gone.
pub(crate) fn check(publish: &Publish) -> Result<(), Refusal> {
    if !personal::is_personal(&publish.exchange) {
        return Ok(());
    }
    let is_session = personal::is_session(personal::split(publish.key.as_str()).0);
    if publish.exchange == ExchangeName::SESSION && !is_session {
        return Err(Refusal::Invalid(
            "a will for a session must name it: $session/NAME/…, as the broker calls it",
        ));
    }
    if publish.retain && is_session {
        return Err(Refusal::Invalid("a message to a session cannot be retained: it would outlive it"));
    }
    Ok(())
}
