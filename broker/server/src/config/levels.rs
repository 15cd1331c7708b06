//! Levels: what a configuration says that messages outlive

use engine::{LevelRule, Levels};
use model::durability::Durability;

use crate::config::origin::ConfigError;
use crate::config::rules;
use crate::config::settings::Section;

/// What `settings` say.
///
/// # Errors
///
/// A pattern that is none, or that is there twice.
pub(crate) fn levels(settings: &Section) -> Result<Levels, Vec<ConfigError>> {
    let section = settings.section("durability");
    let plain = rules::plain(settings);
    let mut errors = Vec::new();
    let mut all: Vec<LevelRule> = Vec::new();
    for section in section.sections("rule") {
        let (text, origin) = (section.word("pattern"), &section.given("pattern").origin);
        match rules::place(text, &plain) {
            Ok((exchange, pattern))
                if all.iter().any(|rule| rule.exchange == exchange && rule.pattern == pattern) =>
            {
                let text = format!("durability.rule.pattern {text:?} is there twice");
                errors.push(ConfigError::new(origin, text));
            }
            Ok((exchange, pattern)) => all.push(LevelRule { exchange, pattern, level: level(section) }),
            Err(why) => {
                errors.push(ConfigError::new(origin, format!("durability.rule.pattern {text:?}: {why}")));
            }
        }
    }
    if errors.is_empty() { Ok(Levels::new(level(section), all)) } else { Err(errors) }
}

fn level(section: &Section) -> Durability {
    // Another word than these three did not come through the check of the keys.
    Durability::named(section.word("level")).unwrap_or_default()
}
