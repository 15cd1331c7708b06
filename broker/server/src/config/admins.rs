//! Admins: who may look after the broker over HTTP, as a configuration says

use std::collections::HashMap;

use admin::Tag;

use crate::config::origin::ConfigError;
use crate::config::settings::Section;

/// Every user with a tag.
///
/// # Errors
///
/// A name that nobody can have, or that is there twice.
pub(crate) fn users(settings: &Section) -> Result<HashMap<String, Tag>, Vec<ConfigError>> {
    let mut users = HashMap::new();
    let mut errors = Vec::new();
    for section in settings.section("admin").sections("user") {
        let name = section.word("name");
        let text = match auth::prepared(name) {
            None => Some(format!("{name:?} cannot be a user name")),
            Some(other) if other != name => {
                Some(format!("the normal form of {name:?} is {other:?}; write that"))
            }
            Some(_) => None,
        };
        let twice = Tag::named(section.word("tag"))
            .and_then(|tag| users.insert(name.to_owned(), tag))
            .map(|_| format!("the user {name:?} is there twice"));
        let error = text.or(twice);
        errors.extend(
            error.map(|text| {
                ConfigError::new(&section.given("name").origin, format!("admin.user.name: {text}"))
            }),
        );
    }
    if errors.is_empty() { Ok(users) } else { Err(errors) }
}
