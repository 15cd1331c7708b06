//! Policies: what a configuration says that holds by name

use engine::{CheckedPolicy, ConfiguredPolicy};
use model::durability::Durability;
use model::name::{ExchangeName, PolicyName, VhostName};
use model::policy::{AppliesTo, Policy, PolicyDefinition};
use model::queue::Overflow;

use crate::config::origin::ConfigError;
use crate::config::settings::Section;

/// What `settings` say.
///
/// # Errors
///
/// A policy that cannot be, and one that is there twice.
pub(crate) fn policies(settings: &Section) -> Result<Vec<ConfiguredPolicy>, Vec<ConfigError>> {
    let sections = settings.sections("policy");
    let mut errors = Vec::new();
    find_doubles(sections, &mut errors);
    let mut policies = Vec::new();
    for section in sections {
        match CheckedPolicy::new(policy(section)) {
            Ok(policy) => {
                let vhost = section.text("vhost").map(VhostName::new);
                policies.push(ConfiguredPolicy { vhost, policy });
            }
            Err(why) => {
                let text = format!("policy {:?}: {why}", section.word("name"));
                errors.push(ConfigError::new(&section.given("name").origin, text));
            }
        }
    }
    if errors.is_empty() { Ok(policies) } else { Err(errors) }
}

/// Those whose name was there before for the same vhost.
fn find_doubles(sections: &[Section], errors: &mut Vec<ConfigError>) {
    for (index, section) in sections.iter().enumerate() {
        let (name, vhost) = (section.word("name"), section.text("vhost"));
        let meets = |other: &&Section| {
            let both = vhost.zip(other.text("vhost"));
            other.word("name") == name && both.is_none_or(|(one, other)| one == other)
        };
        if let Some(first) = sections.iter().take(index).find(meets) {
            let vhost = vhost.or(first.text("vhost"));
            let place = vhost.map_or_else(String::new, |vhost| format!(" for the virtual host {vhost:?}"));
            let first = &first.given("name").origin;
            let text = format!("the policy {name:?} is declared twice{place}, first at {first}");
            errors.push(ConfigError::new(&section.given("name").origin, text));
        }
    }
}

fn policy(section: &Section) -> Policy {
    let said = section.section("definition");
    let definition = PolicyDefinition {
        ready_max: said.number_if_set("max_length"),
        ready_bytes_max: said.number_if_set("max_length_bytes"),
        age_max_ms: said.number_if_set("max_age"),
        overflow: said.text("overflow").and_then(Overflow::named),
        message_ttl_ms: said.number_if_set("message_ttl"),
        expires_ms: said.number_if_set("expires"),
        dead_letter_exchange: said.text("dead_letter_exchange").map(ExchangeName::new),
        dead_letter_key: said.text("dead_letter_routing_key").map(Into::into),
        delivery_limit: said.number_if_set("delivery_limit").and_then(|limit| limit.try_into().ok()),
        durability: said.text("durability").and_then(Durability::named),
        alternate: said.text("alternate_exchange").map(ExchangeName::new),
    };
    Policy {
        name: PolicyName::new(section.word("name")),
        pattern: section.word("pattern").into(),
        applies_to: AppliesTo::named(section.word("apply_to")).unwrap_or_default(),
        priority: i32::try_from(section.number("priority")).unwrap_or(i32::MAX),
        definition,
    }
}
