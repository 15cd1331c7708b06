//! Destinations: what STOMP's prefixes stand for.

use model::name::{ExchangeName, QueueName};
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
    let stomp = settings.section("stomp");
    for (key, kind) in [("user_prefix", PrefixKind::User), ("session_prefix", PrefixKind::Session)] {
        let (text, origin) = (stomp.word(key), &stomp.given(key).origin);
        let is_taken =
            ALWAYS_THERE.contains(&text) || prefixes.iter().any(|prefix: &Prefix| prefix.text() == text);
        match Prefix::new(text, kind, '/', false) {
            Ok(_) if is_taken || text == "/topic/" => errors.push(ConfigError::new(
                origin,
                format!("stomp.{key} is {text:?}, which has another meaning already; choose another"),
            )),
            Ok(prefix) => prefixes.push(prefix),
            Err(error) => errors.push(ConfigError::new(origin, error.to_string())),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    // More than a platform can count is no limit.
    let key_bytes_max =
        usize::try_from(settings.section("limits").number("topic_bytes")).unwrap_or(usize::MAX);
    Ok(Destinations::new(prefixes).with_key_bytes_max(key_bytes_max))
}

fn prefix(text: &str, section: &Section) -> Result<Prefix, String> {
    let named = |key: &str| {
        let missing =
            || format!("the prefix {text:?} is of kind {:?} and needs {key} = \"…\"", section.word("kind"));
        section.text(key).ok_or_else(missing)
    };
    let kind = match section.word("kind") {
        "exchange" => PrefixKind::Exchange(ExchangeName::new(named("exchange")?)),
        "queue" => PrefixKind::Queue,
        "application" => PrefixKind::Application(QueueName::new(named("queue")?)),
        _ => PrefixKind::TOPIC,
    };
    if ALWAYS_THERE.contains(&text) {
        return Err(format!(
            "the prefix {text:?} is always there and means what it means in RabbitMQ; choose another"
        ));
    }
    let separator = section.word("separator").chars().next().unwrap_or('/');
    // A queue's name is the name and nothing else.
    let keep = matches!(kind, PrefixKind::Exchange(_)) && section.truth("keep");
    Prefix::new(text, kind, separator, keep).map_err(|error| error.to_string())
}

const ALWAYS_THERE: [&str; 5] = ["/queue/", "/amq/queue/", "/exchange/", "/temp-queue/", "/reply-queue/"];
