//! Policies as they are seen: plain values, for programs and people that read them

use model::durability::Durability;
use model::name::ExchangeName;
use model::policy::{Policy, PolicyDefinition};
use model::queue::Overflow;
use model::stream::age_text;
use routing::Terms;
use serde::Serialize;

use crate::policies::Held;

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyView {
    /// The name.
    pub name: String,
    /// The regular expression that finds something in the names it is for.
    pub pattern: String,
    /// `queues`, `exchanges` or `all`.
    #[serde(rename = "apply-to")]
    pub applies_to: &'static str,
    /// The highest one holds.
    pub priority: i32,
    /// What it says.
    pub definition: TermsView,
    /// Whether it stands in the configuration.
    pub configured: bool,
    /// For how many queues it holds.
    pub queues: usize,
    /// For how many exchanges it holds.
    pub exchanges: usize,
}

/// What a policy says, or what holds for a queue, in RabbitMQ's words. What is not said is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TermsView {
    /// The most messages that may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// The most bytes that may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length_bytes: Option<u64>,
    /// How long an entry of a stream stays, as RabbitMQ writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    /// `drop-head`, `reject-publish`, `reject-publish-dlx`, `drop-new`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow: Option<&'static str>,
    /// How long a message may wait, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_ttl: Option<u64>,
    /// How long a queue stays that nobody uses, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// Where what a queue gives up goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_exchange: Option<String>,
    /// With which key, as RabbitMQ writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_routing_key: Option<String>,
    /// How often a message may come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_limit: Option<u32>,
    /// `disk`, `os` or `memory`: what messages outlive, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<&'static str>,
    /// Where a message goes that no binding of an exchange wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternate_exchange: Option<String>,
}

impl PolicyView {
    pub(crate) fn new(held: &Held, queues: usize, exchanges: usize) -> Self {
        let Policy { name, pattern, applies_to, priority, definition } = held.policy.policy();
        Self {
            name: name.to_string(),
            pattern: pattern.to_string(),
            applies_to: applies_to.as_str(),
            priority: *priority,
            definition: TermsView::said(definition),
            configured: held.is_configured,
            queues,
            exchanges,
        }
    }
}

impl TermsView {
    fn said(definition: &PolicyDefinition) -> Self {
        let PolicyDefinition {
            ready_max,
            ready_bytes_max,
            age_max_ms,
            overflow,
            message_ttl_ms,
            expires_ms,
            dead_letter_exchange,
            dead_letter_key,
            delivery_limit,
            durability,
            alternate,
        } = definition;
        Self {
            max_length: *ready_max,
            max_length_bytes: *ready_bytes_max,
            max_age: age_max_ms.map(age_text),
            overflow: overflow.map(Overflow::as_str),
            message_ttl: *message_ttl_ms,
            expires: *expires_ms,
            dead_letter_exchange: dead_letter_exchange.as_ref().map(ToString::to_string),
            dead_letter_routing_key: dead_letter_key.as_ref().map(ToString::to_string),
            delivery_limit: *delivery_limit,
            durability: durability.map(Durability::as_str),
            alternate_exchange: alternate.as_ref().map(ToString::to_string),
        }
    }

    /// What holds for a queue.
    pub(crate) fn of(terms: &Terms) -> Self {
        let letters = terms.dead_letters.as_ref().map(|letters| &letters.to);
        let key = letters.and_then(|to| Some((to.key.as_ref()?, to.exchange == ExchangeName::DEFAULT)));
        Self {
            max_length: terms.ready_max,
            max_length_bytes: terms.ready_bytes_max,
            max_age: terms.age_max_ms.map(age_text),
            overflow: Some(terms.overflow.as_str()),
            message_ttl: terms.message_ttl_ms,
            expires: terms.expires_ms,
            dead_letter_exchange: letters.map(|to| to.exchange.to_string()),
            dead_letter_routing_key: key
                .map(|(key, is_name)| if is_name { key.to_string() } else { key.dotted().to_string() }),
            delivery_limit: terms.delivery_limit,
            durability: terms.durability.map(Durability::as_str),
            alternate_exchange: None,
        }
    }
}
