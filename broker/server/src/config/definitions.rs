//! Definitions: the exchanges, queues and bindings that a configuration declares.

use std::collections::{BTreeMap, BTreeSet};

use bytestring::ByteString;
use engine::Definitions;
use model::durability::Durability;
use model::grant::Grant;
use model::key::{KeyPattern, RoutingKey};
use model::name::{ExchangeName, QueueName, VhostName};
use model::queue::{
    Binding, DeadLetter, Destination, ExchangeBinding, ExchangeKind, ExchangeOptions, HeaderMatch, MatchMode,
    Overflow, QueueArguments, QueueOptions,
};

use crate::config::origin::{ConfigError, Origin};
use crate::config::settings::Section;

/// What `settings` declare, by the vhost that it is in.
///
/// # Errors
///
/// What contradicts itself. What contradicts the store is found when it is declared.
pub(crate) fn definitions(settings: &Section) -> Result<BTreeMap<VhostName, Definitions>, Vec<ConfigError>> {
    let tables = ["exchange", "queue", "binding"].map(|table| settings.sections(table));
    let vhosts: BTreeSet<&str> =
        tables.iter().copied().flatten().map(|section| section.word("vhost")).collect();
    let (mut all, mut errors) = (BTreeMap::new(), Vec::new());
    for vhost in vhosts {
        let [exchanges, queues, bindings] = tables.map(|sections| -> Vec<&Section> {
            sections.iter().filter(|section| section.word("vhost") == vhost).collect()
        });
        let definitions = within([&exchanges, &queues, &bindings], &mut errors);
        all.insert(VhostName::new(vhost), definitions);
    }
    if errors.is_empty() { Ok(all) } else { Err(errors) }
}

/// What is declared in one vhost: exchanges, queues and bindings.
fn within(sections: [&[&Section]; 3], errors: &mut Vec<ConfigError>) -> Definitions {
    let [of_exchanges, of_queues, of_bindings] = sections;
    for (table, sections) in [("exchange", of_exchanges), ("queue", of_queues)] {
        find_doubles(table, sections, errors);
    }
    let exchanges: Vec<ExchangeOptions> = of_exchanges.iter().map(|section| exchange(section)).collect();
    for (section, exchange) in of_exchanges.iter().zip(&exchanges) {
        if exchange.name.as_str().starts_with("amq.") {
            let text = format!(
                "exchange.name is {:?}; names that start with amq. are the broker's own",
                exchange.name
            );
            errors.push(ConfigError::new(origin(section, "name"), text));
        }
    }
    let mut queues = Vec::new();
    for section in of_queues {
        match queue(section) {
            Ok(queue) => queues.push(queue),
            Err(error) => errors.push(error),
        }
    }
    let mut bindings = Vec::new();
    let mut exchange_bindings = Vec::new();
    for section in of_bindings {
        match (source(section, &exchanges), destination(section)) {
            (Ok((exchange, pattern, arguments)), Ok(Destination::Queue(queue))) => {
                let (share, grant) = (None, Grant::default());
                bindings.push(Binding { exchange, pattern, arguments, queue, share, grant });
            }
            (Ok((exchange, pattern, arguments)), Ok(Destination::Exchange(to))) => {
                exchange_bindings.push(ExchangeBinding { exchange, pattern, arguments, to });
            }
            (source, to) => errors.extend([source.err(), to.err()].into_iter().flatten()),
        }
    }
    // Policies are no part of it: they hold as long as they stand there.
    Definitions { exchanges, queues, bindings, exchange_bindings, policies: Vec::new() }
}

/// Of tables with names, those whose name was there before.
fn find_doubles(table: &str, sections: &[&Section], errors: &mut Vec<ConfigError>) {
    for (index, section) in sections.iter().enumerate() {
        let name = section.word("name");
        if let Some(first) = sections.iter().take(index).find(|other| other.word("name") == name) {
            let text = format!("the {table} {name:?} is declared twice, first at {}", origin(first, "name"));
            errors.push(ConfigError::new(origin(section, "name"), text));
        }
    }
}

fn exchange(section: &Section) -> ExchangeOptions {
    ExchangeOptions {
        name: ExchangeName::new(section.word("name")),
        // Another word than these four did not come through the check of the keys.
        kind: ExchangeKind::named(section.word("type")).unwrap_or(ExchangeKind::Direct),
        durable: section.truth("durable"),
        auto_delete: section.truth("auto_delete"),
        internal: section.truth("internal"),
        alternate: section.text("alternate").map(ExchangeName::new),
    }
}

fn queue(section: &Section) -> Result<QueueOptions, ConfigError> {
    // What goes without saying is said only where it would not: then a policy may say something else. Of streams there is one way.
    let is_limited =
        ["max_length", "max_length_bytes"].iter().any(|key| section.number_if_set(key).is_some());
    let stream = section.word("type") == "stream";
    let overflow = section.text("overflow").and_then(Overflow::named);
    let usual = (is_limited && !stream).then_some(Overflow::RejectPublish);
    let arguments = QueueArguments {
        message_ttl_ms: section.number_if_set("message_ttl"),
        expires_ms: section.number_if_set("expires"),
        overflow: overflow.or(usual),
        dead_letter: dead_letter(section)?,
        priority_max: section.number_if_set("max_priority").and_then(|max| max.try_into().ok()),
        delivery_limit: section.number_if_set("delivery_limit").and_then(|limit| limit.try_into().ok()),
        single_active: section.truth("single_active_consumer"),
        durability: section.text("durability").and_then(Durability::named),
        stream,
        age_max_ms: section.number_if_set("max_age"),
    };
    Ok(QueueOptions {
        name: QueueName::new(section.word("name")),
        durable: section.truth("durable"),
        exclusive: false,
        auto_delete: section.truth("auto_delete"),
        ready_max: section.number_if_set("max_length"),
        ready_bytes_max: section.number_if_set("max_length_bytes"),
        arguments: Some(Box::new(arguments)),
    })
}

fn dead_letter(section: &Section) -> Result<Option<DeadLetter>, ConfigError> {
    let key = section.text("dead_letter_key").map(RoutingKey::from);
    let Some(exchange) = section.text("dead_letter_exchange") else {
        return key.map_or(Ok(None), |_| {
            let text = "queue.dead_letter_key means nothing without dead_letter_exchange";
            Err(ConfigError::new(origin(section, "dead_letter_key"), text.to_owned()))
        });
    };
    let exchange = ExchangeName::new(exchange);
    // The keys of the default exchange are names of queues, whose dots are plain dots.
    let key = key.map(|key| if exchange == ExchangeName::DEFAULT { key } else { key.dotted() });
    Ok(Some(DeadLetter { exchange, key }))
}

/// What a binding begins with: its exchange, and which messages it is for.
fn source(
    section: &Section,
    exchanges: &[ExchangeOptions],
) -> Result<(ExchangeName, KeyPattern, HeaderMatch), ConfigError> {
    let exchange = ExchangeName::new(section.word("exchange"));
    let declared = exchanges.iter().find(|one| one.name == exchange).map(|one| one.kind);
    // The exchange may also be one that the store has; then it is not known here what it is.
    let is_headers = declared.is_none_or(|kind| kind == ExchangeKind::Headers)
        && ![ExchangeName::TOPIC, ExchangeName::DIRECT, ExchangeName::FANOUT].contains(&exchange);
    let first = section.names("arguments").first().map(|(_, first)| &first.origin);
    let present = (!section.texts("present").is_empty()).then(|| origin(section, "present"));
    if let (Some(origin), false) = (first.or(present), is_headers) {
        let text = format!("binding.arguments mean nothing on {exchange:?}, which is no headers exchange");
        return Err(ConfigError::new(origin, text));
    }
    Ok((exchange, KeyPattern::from_words(section.word("key")), arguments(section)?))
}

fn destination(section: &Section) -> Result<Destination, ConfigError> {
    match (section.text("queue"), section.text("to_exchange")) {
        (Some(queue), None) => Ok(Destination::Queue(QueueName::new(queue))),
        (None, Some(exchange)) => Ok(Destination::Exchange(ExchangeName::new(exchange))),
        (given, _) => {
            let key = if given.is_some() { "to_exchange" } else { "queue" };
            let text = "a binding leads to one place: give either binding.queue or binding.to_exchange";
            Err(ConfigError::new(origin(section, key), text.to_owned()))
        }
    }
}

fn arguments(section: &Section) -> Result<HeaderMatch, ConfigError> {
    let mut arguments = HeaderMatch::default();
    for (name, given) in section.names("arguments") {
        let value = given.text();
        if name != "x-match" {
            arguments.wanted.push((ByteString::from(name.as_str()), Some(ByteString::from(value))));
            continue;
        }
        arguments.mode = MatchMode::named(Some(value)).ok_or_else(|| {
            let text = format!("x-match is {value:?}; expected all, any, all-with-x or any-with-x");
            ConfigError::new(&given.origin, text)
        })?;
    }
    arguments
        .wanted
        .extend(section.texts("present").iter().map(|name| (ByteString::from(name.as_str()), None)));
    // In one order, as the admin API has them: or the same binding were two.
    arguments.wanted.sort_unstable();
    Ok(arguments)
}

fn origin<'a>(section: &'a Section, key: &str) -> &'a Origin {
    &section.given(key).origin
}
