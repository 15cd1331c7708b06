//! Paths: that each path of a listener for browsers leads to one thing

use crate::config::origin::{ConfigError, Origin};
use crate::config::settings::Section;

/// What may be served at a path of its own, by its key below `listener.paths`.
const KEYS: [&str; 4] = ["ws", "mqtt", "sockjs", "sockjs_mqtt"];

/// Checks all listeners: of two that are served at one path the second would never be reached.
///
/// # Errors
///
/// Each path that is written twice.
pub(crate) fn paths(settings: &Section) -> Result<(), Vec<ConfigError>> {
    let serves = |listener: &&Section| matches!(listener.word("protocol"), "web" | "auto");
    let errors: Vec<ConfigError> =
        settings.sections("listener").iter().filter(serves).flat_map(twice).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn twice(listener: &Section) -> Vec<ConfigError> {
    let section = listener.section("paths");
    let mut taken: Vec<(&str, &str)> = Vec::new();
    let mut errors = Vec::new();
    for key in KEYS {
        let is_list = key.starts_with("sockjs");
        let paths = if is_list {
            section.texts(key).iter().map(String::as_str).collect()
        } else {
            vec![section.word(key)]
        };
        for path in paths {
            match taken.iter().find(|(one, _)| *one == path) {
                Some((_, first)) => {
                    // What nobody wrote has no line.
                    let origins = [key, first].map(|key| &section.given(key).origin);
                    let origin =
                        origins.into_iter().find(|origin| **origin != Origin::Default).unwrap_or(origins[0]);
                    let text = format!(
                        "listener.paths.{key} is {path:?}, which is listener.paths.{first} as well; each needs a path of its own"
                    );
                    errors.push(ConfigError::new(origin, text));
                }
                None => taken.push((path, key)),
            }
        }
    }
    errors
}
