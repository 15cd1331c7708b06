//! Destinations: what STOMP's prefixes stand for.

use stomp::destination::{Destinations, Prefix, PrefixKind};

use crate::config::origin::ConfigError;
use crate::config::settings::Section;

/// What `settings` say about prefixes.
///
/// # Errors
///
/// A prefix that is none, or is there twice.
pub(crate) fn destinations(settings: &Section) -> Result<Destinations, Vec<ConfigError>> {
    let sections = settings.section("stomp").sections("prefix");
    let mut prefixes = Vec::new();
    let mut errors = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let (text, origin) = (section.word("prefix"), &section.given("prefix").origin);
        if let Some(first) = sections.iter().take(index).find(|other| other.word("prefix") == text) {
            let first = &first.given("prefix").origin;
            errors.push(ConfigError::new(
                origin,
                format!("the prefix {text:?} is there twice, first at {first}"),
            ));
            continue;
        }
        match prefix(text, section) {
            Ok(prefix) => prefixes.push(prefix),
            Err(text) => errors.push(ConfigError::new(origin, text)),
        }
    }
    if errors.is_empty() { Ok(Destinations::new(prefixes)) } else { Err(errors) }
}

fn prefix(text: &str, section: &Section) -> Result<Prefix, String> {
    let kind = if section.word("kind") == "queue" { PrefixKind::Queue } else { PrefixKind::Topic };
    if ALWAYS_THERE.contains(&text) {
        return Err(format!(
            "the prefix {text:?} is always there and means what it means in RabbitMQ; choose another"
        ));
    }
    let separator = section.word("separator").chars().next().unwrap_or('/');
    // A queue's name is the name and nothing else.
    let keep = kind == PrefixKind::Topic && section.truth("keep");
    Prefix::new(text, kind, separator, keep).map_err(|error| error.to_string())
}

const ALWAYS_THERE: [&str; 3] = ["/queue/", "/amq/queue/", "/exchange/"];
