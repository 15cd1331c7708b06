//! What a hook is told that it is for, and where it is.

use std::path::PathBuf;
use std::time::Duration;

use model::hook::Caller;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ExchangeName, UserName};
use transport::http_client::url::Url;

use crate::jwt::secret::Secret;

/// A hook: an HTTP server that is asked, or told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookOptions {
    /// What it is called in the log.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// The certificates by which it is known, where it is asked by TLS; `None`: those of the operating system.
    pub authorities: Option<PathBuf>,
    /// What it hears of.
    pub events: Events,
    /// Messages and subscriptions of these places alone; empty: of all.
    pub places: Vec<(ExchangeName, KeyPattern)>,
    /// What these users do alone; empty: what all clients do.
    pub users: Vec<UserName>,
    /// How long an answer may take, waiting for a connection included.
    pub timeout: Duration,
    /// What holds where there is no answer.
    pub on_error: OnError,
    /// How it gets what messages contain.
    pub payload: Payload,
    /// Which headers of the handshake of a web client it is shown, in lower case.
    pub headers: Vec<String>,
    /// Whether it is shown the query of that.
    pub query: bool,
    /// By which it knows that a question is ours.
    pub secret: Option<Secret>,
    /// How many questions may be under way.
    pub connections: usize,
}

/// What a hook hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Events {
    /// Asked who may come in.
    pub connect: bool,
    /// Asked what may be subscribed to.
    pub subscribe: bool,
    /// Asked what may be published.
    pub publish: bool,
    /// Told which subscriptions end.
    pub unsubscribe: bool,
    /// Told who is gone.
    pub disconnect: bool,
}

/// What holds where a hook gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// No.
    Deny,
    /// Yes.
    Allow,
}

/// How a hook gets what messages contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// As Base64.
    Base64,
    /// As text; what is no UTF-8, as Base64.
    Text,
    /// Not at all: only how long it is.
    None,
}

impl HookOptions {
    /// Whether it hears of what that client does.
    pub(super) fn is_about(&self, caller: &Caller) -> bool {
        self.users.is_empty() || caller.user.as_ref().is_some_and(|user| self.users.contains(user))
    }

    /// Whether it hears of messages for that place.
    pub(super) fn takes_key(&self, exchange: &ExchangeName, key: &RoutingKey) -> bool {
        // Where the first levels differ, the rest need not be looked at: most messages are for other places.
        let may_match = |pattern: &KeyPattern| match pattern.levels().first() {
            Some(Level::Literal(first)) => key.levels().next() == Some(&**first),
            Some(Level::One | Level::Many) | None => true,
        };
        let matches = |(place, pattern): &(ExchangeName, KeyPattern)| {
            place == exchange && may_match(pattern) && pattern.matches(key)
        };
        self.places.is_empty() || self.places.iter().any(matches)
    }

    /// Whether it hears of subscriptions to that: some of it has to be of its places.
    pub(super) fn takes_pattern(&self, exchange: &ExchangeName, pattern: &KeyPattern) -> bool {
        let is_personal = *exchange == ExchangeName::USER || *exchange == ExchangeName::SESSION;
        let overlaps = |(place, ours): &(ExchangeName, KeyPattern)| {
            // What is personal is subscribed to without saying whose it is.
            let own = if is_personal { own(ours) } else { ours.clone() };
            place == exchange && own.overlaps(pattern)
        };
        self.places.is_empty() || self.places.iter().any(overlaps)
    }
}

/// What a place of a user is to himself.
fn own(pattern: &KeyPattern) -> KeyPattern {
    match pattern.levels() {
        [Level::Literal(_) | Level::One, rest @ ..] => KeyPattern::new(rest.to_vec()),
        all => KeyPattern::new(all.to_vec()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::place::{read_key, read_pattern};
    use super::*;

    #[test]
    fn a_hook_hears_of_its_places() {
        let options = options(&["chat/#", "$queue/jobs", "$user/+/queue/x"]);
        let takes = |text: &str| {
            let (exchange, key) = read_key(text).unwrap();
            options.takes_key(&exchange, &key)
        };
        assert!(takes("chat/1") && takes("chat") && takes("$queue/jobs") && takes("$user/ann/queue/x"));
        assert!(
            !takes("chats") && !takes("$queue/chat") && !takes("$exchange/x/chat/1") && !takes("$user/ann/x")
        );
        let takes = |text: &str| {
            let (exchange, pattern) = read_pattern(text).unwrap();
            options.takes_pattern(&exchange, &pattern)
        };
        assert!(
            takes("#") && takes("chat/1") && takes("+/1") && takes("$queue/jobs") && takes("$user/queue/x")
        );
        assert!(!takes("news/#") && !takes("$queue/others") && !takes("$user/queue/y"));
        let all = self::options(&[]);
        let (exchange, key) = read_key("$exchange/x/k").unwrap();
        assert!(all.takes_key(&exchange, &key));
    }

    pub(in super::super) fn options(places: &[&str]) -> HookOptions {
        HookOptions {
            name: "test".to_owned(),
            url: Url::parse("http://127.0.0.1:1/").unwrap(),
            authorities: None,
            events: Events {
                connect: true,
                subscribe: true,
                publish: true,
                unsubscribe: true,
                disconnect: true,
            },
            places: places.iter().map(|text| read_pattern(text).unwrap()).collect(),
            users: Vec::new(),
            timeout: Duration::from_secs(20),
            on_error: OnError::Deny,
            payload: Payload::Base64,
            headers: Vec::new(),
            query: false,
            secret: None,
            connections: 16,
        }
    }
}
