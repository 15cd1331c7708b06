//! Whether a queue that exists is what somebody asks for.

use std::fmt::Display;

use model::durability::Durability;
use model::queue::{Named, Overflow, QueueArguments, QueueOptions};

/// How much of a queue must be as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// What was asked for in so many words: a client, who cannot know what somebody else declared.
    Named(Named),
    /// All but limits that were left out, which are the broker's own: a configuration, which is to be true.
    Whole,
}

/// The first option that is not as it was asked for, in RabbitMQ's words; `None`: there is none.
pub(crate) fn difference(there: &QueueOptions, asked: &QueueOptions, demand: Demand) -> Option<String> {
    let named = match demand {
        Demand::Named(named) => named,
        Demand::Whole => {
            Named { durable: true, exclusive: true, auto_delete: true, single_active: true, stream: true }
        }
    };
    let kind = |options: &QueueOptions| if options.is_stream() { "stream" } else { "classic" };
    let asked_kind = Some(kind(asked)).filter(|_| named.stream);
    if let Some(difference) = said("x-queue-type", Some(kind(there)), asked_kind) {
        return Some(difference);
    }
    let single_active =
        |options: &QueueOptions| options.arguments.as_ref().is_some_and(|arguments| arguments.single_active);
    let flags = [
        ("durable", named.durable, there.durable, asked.durable),
        ("exclusive", named.exclusive, there.exclusive, asked.exclusive),
        ("auto-delete", named.auto_delete, there.auto_delete, asked.auto_delete),
        ("x-single-active-consumer", named.single_active, single_active(there), single_active(asked)),
    ];
    let flag = flags
        .into_iter()
        .find_map(|(name, named, there, asked)| said(name, Some(there), Some(asked).filter(|_| named)));
    flag.or_else(|| said("x-max-length", there.ready_max, asked.ready_max))
        .or_else(|| said("x-max-length-bytes", there.ready_bytes_max, asked.ready_bytes_max))
        .or_else(|| {
            let none = QueueArguments::default();
            let there = there.arguments.as_deref().unwrap_or(&none);
            in_arguments(there, asked.arguments.as_deref().unwrap_or(&none), demand == Demand::Whole)
        })
}

fn in_arguments(there: &QueueArguments, asked: &QueueArguments, whole: bool) -> Option<String> {
    // What a queue without the argument does.
    let overflow = Some(there.overflow.unwrap_or(Overflow::RejectPublish).as_str());
    let exchange =
        |arguments: &QueueArguments| arguments.dead_letter.as_ref().map(|letter| letter.exchange.to_string());
    let key = |arguments: &QueueArguments| {
        arguments.dead_letter.as_ref().and_then(|letter| letter.key.as_ref().map(ToString::to_string))
    };
    let age = |arguments: &QueueArguments| arguments.age_max_ms.map(model::stream::age_text);
    let level = |arguments: &QueueArguments| arguments.durability.map(Durability::as_str);
    said("x-overflow", overflow, asked.overflow.map(Overflow::as_str))
        .or_else(|| same(whole, "x-message-ttl", there.message_ttl_ms, asked.message_ttl_ms))
        .or_else(|| same(whole, "x-expires", there.expires_ms, asked.expires_ms))
        .or_else(|| same(whole, "x-dead-letter-exchange", exchange(there), exchange(asked)))
        .or_else(|| same(whole, "x-dead-letter-routing-key", key(there), key(asked)))
        .or_else(|| same(whole, "x-max-priority", there.priority_max, asked.priority_max))
        .or_else(|| same(whole, "x-delivery-limit", there.delivery_limit, asked.delivery_limit))
        .or_else(|| same(whole, "x-durability", level(there), level(asked)))
        .or_else(|| same(whole, "x-max-age", age(there), age(asked)))
}

/// What was not said may be anything.
fn said<T: PartialEq + Display>(name: &str, there: Option<T>, asked: Option<T>) -> Option<String> {
    same(false, name, there, asked)
}

fn same<T: PartialEq + Display>(
    whole: bool,
    name: &str,
    there: Option<T>,
    asked: Option<T>,
) -> Option<String> {
    if there == asked || (asked.is_none() && !whole) {
        return None;
    }
    let show = |value: Option<T>| value.map_or_else(|| "none".to_owned(), |value| format!("'{value}'"));
    Some(format!("inequivalent arg '{name}': received {} but current is {}", show(asked), show(there)))
}
