//! Where a message would go, as somebody writes it who asks who would hear it.

use model::key::RoutingKey;
use model::name::{ExchangeName, QueueName};
use model::personal;
use model::queue::ExchangeKind;
use routing::Router;

use crate::client::Listening;

/// Where a message would go.
pub(crate) enum Place {
    /// To that exchange, if there is one, with that key.
    Key(ExchangeName, Option<ExchangeKind>, RoutingKey),
    /// To that queue.
    Queue(QueueName),
    /// Nowhere.
    Nowhere,
}

impl Place {
    /// The same places that an MQTT client publishes to.
    pub(crate) fn read(text: &str, router: &Router) -> Self {
        if let Some(name) = text.strip_prefix("$queue/") {
            return Self::Queue(QueueName::new(name));
        }
        let (exchange, key) = if let Some(rest) = text.strip_prefix("$exchange/") {
            let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
            (ExchangeName::new(name), RoutingKey::from(key))
        } else if let Some(rest) = text.strip_prefix("$user/") {
            let (name, words) = personal::split(rest);
            let Some(level) = personal::read_level(name) else { return Self::Nowhere };
            (ExchangeName::USER, RoutingKey::from(format!("{level}/{words}").as_str()))
        } else if let Some(rest) = text.strip_prefix("$session/") {
            (ExchangeName::SESSION, RoutingKey::from(rest))
        } else {
            (ExchangeName::TOPIC, RoutingKey::from(text))
        };
        let kind = router.exchange(&exchange).map(|options| options.kind);
        Self::Key(exchange, kind, key)
    }

    /// Whether what is bound or consumed so gets what goes there. Of a headers exchange all may.
    pub(crate) fn is_heard_by(&self, bound: &Listening) -> bool {
        match (self, &bound.source) {
            (Self::Queue(name), _) => bound.queue.as_ref() == Some(name),
            (Self::Key(exchange, kind, key), Some((from, pattern))) => {
                let matches = match kind {
                    Some(ExchangeKind::Topic) => pattern.matches(key),
                    Some(ExchangeKind::Direct) => pattern.to_string() == key.as_str(),
                    Some(ExchangeKind::Fanout | ExchangeKind::Headers) => true,
                    None => false,
                };
                exchange == from && matches
            }
            (Self::Key(..), None) | (Self::Nowhere, _) => false,
        }
    }
}
