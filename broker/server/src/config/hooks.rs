//! Hooks: who is asked, and about what, as a configuration says.

use std::path::PathBuf;
use std::time::Duration;

use auth::{Events, HookOptions, HookUrl, OnError, Payload, Secret};
use model::name::{ExchangeName, UserName};

use crate::config::origin::ConfigError;
use crate::config::rules::{self, place};
use crate::config::settings::Section;

/// The hooks of `settings`, in their order.
///
/// # Errors
///
/// An address that cannot be asked, a filter that is none, a secret that is too short.
pub(crate) fn hooks(settings: &Section) -> Result<Vec<HookOptions>, Vec<ConfigError>> {
    let plain = rules::plain(settings);
    let mut hooks = Vec::new();
    let mut errors = Vec::new();
    for section in settings.sections("hook") {
        match hook(section, &plain) {
            Ok(hook) => hooks.push(hook),
            Err((key, text)) => errors.push(ConfigError::new(&section.given(key).origin, text)),
        }
    }
    if errors.is_empty() { Ok(hooks) } else { Err(errors) }
}

fn hook(section: &Section, plain: &ExchangeName) -> Result<HookOptions, (&'static str, String)> {
    let text = section.word("url");
    let url =
        HookUrl::parse(text).map_err(|error| ("url", format!("hook.url {:?}: {error}", shown(text))))?;
    let authorities = section.text("ca_file").map(PathBuf::from);
    let events = |event: &str| section.texts("events").iter().any(|one| one == event);
    if section.texts("events").is_empty() {
        return Err(("events", "hook.events is empty; a hook that hears of nothing is none".to_owned()));
    }
    let places = section.texts("destinations").iter().map(|filter| {
        place(filter, plain).map_err(|why| ("destinations", format!("hook.destinations {filter:?}: {why}")))
    });
    let secret = section.text("secret");
    if secret.is_some_and(|secret| secret.len() < SECRET_BYTES_MIN) {
        return Err(("secret", format!("hook.secret is shorter than {SECRET_BYTES_MIN} bytes")));
    }
    Ok(HookOptions {
        name: section.text("name").map_or_else(|| shown(text).to_owned(), str::to_owned),
        url,
        authorities,
        events: Events {
            connect: events("connect"),
            subscribe: events("subscribe"),
            publish: events("publish"),
            unsubscribe: events("unsubscribe"),
            disconnect: events("disconnect"),
        },
        places: places.collect::<Result<_, _>>()?,
        users: section.texts("users").iter().map(|user| UserName::new(user)).collect(),
        timeout: Duration::from_millis(section.number("timeout")),
        on_error: if section.word("on_error") == "allow" { OnError::Allow } else { OnError::Deny },
        payload: match section.word("payload") {
            "text" => Payload::Text,
            "none" => Payload::None,
            _ => Payload::Base64,
        },
        headers: section.texts("headers").iter().map(|name| name.to_ascii_lowercase()).collect(),
        query: section.truth("query"),
        secret: secret.map(Secret::new),
        connections: usize::try_from(section.number("connections")).unwrap_or(usize::MAX),
    })
}

/// Without the query, in which a secret may be.
fn shown(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// Shorter ones can be guessed.
const SECRET_BYTES_MIN: usize = 16;
