//! Policies as JSON

use engine::{CheckedPolicy, PolicyView};
use model::durability::Durability;
use model::name::{ExchangeName, PolicyName, VhostName};
use model::policy::{AppliesTo, Policy, PolicyDefinition};
use model::queue::Overflow;
use model::stream;
use serde_json::{Value, json};

use super::arguments::{Fields, checked};

/// As a request, or an item of definitions, says it.
///
/// # Errors
///
/// What cannot be, and what could.
pub(crate) fn read(name: &str, body: &Value) -> Result<CheckedPolicy, String> {
    checked("the name of the policy", name)?;
    if name.is_empty() {
        return Err("a policy has a name".to_owned());
    }
    let mut fields = Fields::of("policy", Some(body))?;
    let pattern =
        fields.text("pattern")?.ok_or("policy.pattern is missing: a regular expression is wanted")?;
    let mut said = Fields::of("policy.definition", fields.take("definition").as_ref())?;
    let policy = Policy {
        name: PolicyName::new(name),
        pattern: pattern.into(),
        applies_to: match fields.text("apply-to")? {
            None => AppliesTo::All,
            Some(word) => AppliesTo::named(&word)
                .ok_or_else(|| format!("policy.apply-to is {word:?}: {} is wanted", AppliesTo::EXPECTED))?,
        },
        priority: fields.integer("priority")?.unwrap_or(0),
        definition: definition(&mut said)?,
    };
    said.end(WORDS)?;
    // What is shown of one may be said again.
    fields.pass_over(&["name", "vhost", "configured", "queues", "exchanges"]);
    fields.end(&["pattern", "definition", "apply-to", "priority"])?;
    CheckedPolicy::new(policy)
}

fn definition(said: &mut Fields) -> Result<PolicyDefinition, String> {
    let delivery_limit = said.number("delivery-limit", 0..=u32::MAX.into())?;
    let word = |name: &str, word: &str, wanted: &str| {
        Err(format!("policy.definition.{name} is {word:?}: {wanted} is wanted"))
    };
    Ok(PolicyDefinition {
        ready_max: said.number("max-length", 0..=u64::MAX)?,
        ready_bytes_max: said.number("max-length-bytes", 0..=u64::MAX)?,
        age_max_ms: match said.text("max-age")? {
            None => None,
            Some(text) => match stream::parse_age(&text) {
                Some(ms) => Some(ms),
                None => return word("max-age", &text, stream::AGE_EXPECTED),
            },
        },
        overflow: match said.text("overflow")? {
            None => None,
            Some(text) => match Overflow::named(&text) {
                Some(overflow) => Some(overflow),
                None => {
                    let wanted = "drop-head, reject-publish, reject-publish-dlx or drop-new";
                    return word("overflow", &text, wanted);
                }
            },
        },
        message_ttl_ms: said.number("message-ttl", 0..=MS_MAX)?,
        expires_ms: said.number("expires", 1..=MS_MAX)?,
        dead_letter_exchange: said.name("dead-letter-exchange")?.map(|name| ExchangeName::new(&name)),
        dead_letter_key: said.name("dead-letter-routing-key")?.map(Into::into),
        delivery_limit: delivery_limit.and_then(|limit| u32::try_from(limit).ok()),
        durability: match said.text("durability")? {
            None => None,
            Some(text) => match Durability::named(&text) {
                Some(level) => Some(level),
                None => return word("durability", &text, Durability::EXPECTED),
            },
        },
        alternate: said.name("alternate-exchange")?.map(|name| ExchangeName::new(&name)),
    })
}

/// The policy as RabbitMQ has it.
pub(crate) fn write(view: &PolicyView, vhost: &VhostName) -> Value {
    json!({
        "vhost": vhost.as_str(),
        "name": view.name,
        "pattern": view.pattern,
        "apply-to": view.applies_to,
        "priority": view.priority,
        "definition": view.definition,
    })
}

/// What a policy can say.
const WORDS: &[&str] = &[
    "max-length",
    "max-length-bytes",
    "max-age",
    "overflow",
    "message-ttl",
    "expires",
    "dead-letter-exchange",
    "dead-letter-routing-key",
    "delivery-limit",
    "durability",
    "alternate-exchange",
];

/// The longest time, in milliseconds: RabbitMQ's.
const MS_MAX: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_and_the_rest_is_usual() {
        let plain = read("p", &json!({"pattern": "^q", "definition": {"max-length": 5}})).unwrap();
        let plain = plain.policy();
        assert_eq!((&*plain.pattern, plain.applies_to, plain.priority), ("^q", AppliesTo::All, 0));
        let body = json!({
            "vhost": "/", "name": "p", "pattern": ".*", "apply-to": "queues", "priority": -7, "definition": {
                "max-length": 10, "max-length-bytes": 1000, "overflow": "reject-publish-dlx", "message-ttl": 60000,
                "expires": 5, "dead-letter-exchange": "dlx", "dead-letter-routing-key": "a.b", "delivery-limit": 3,
                "durability": "os", "max-age": "7D",
            }
        });
        let full = read("p", &body).unwrap();
        let Policy { priority, definition, .. } = full.policy();
        assert_eq!((*priority, definition.ready_bytes_max), (-7, Some(1000)));
        assert_eq!((definition.expires_ms, definition.durability), (Some(5), Some(Durability::Os)));
        assert_eq!(definition.dead_letter_key.as_deref(), Some("a.b"));
        assert_eq!(definition.age_max_ms, Some(7 * 86_400_000));
        let alternate =
            json!({"pattern": "x", "apply-to": "exchanges", "definition": {"alternate-exchange": "lost"}});
        let alternate = read("p", &alternate).unwrap();
        assert_eq!(alternate.policy().definition.alternate, Some(ExchangeName::new("lost")));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let limit = json!({"max-length": 1});
        for (body, word) in [
            (json!({"definition": limit}), "policy.pattern"),
            (json!({"pattern": "^q"}), "says nothing"),
            (json!({"pattern": "(", "definition": limit}), "regular expression"),
            (json!({"pattern": "q", "definition": {"ha-mode": "all"}}), "ha-mode"),
            (json!({"pattern": "q", "definition": {"max-length": -1}}), "max-length"),
            (json!({"pattern": "q", "definition": {"overflow": "explode"}}), "drop-head"),
            (json!({"pattern": "q", "definition": {"durability": "tape"}}), "disk, os or memory"),
            (json!({"pattern": "q", "definition": {"expires": 0}}), "expires"),
            (
                json!({"pattern": "q", "definition": {"max-age": "week"}}),
                "max-age is \"week\": a whole number with Y",
            ),
            (json!({"pattern": "q", "definition": {"max-age": 7}}), "max-age"),
            (json!({"pattern": "q", "definition": limit, "apply-to": "topics"}), "queues, exchanges or all"),
            (json!({"pattern": "q", "definition": limit, "apply-to": "exchanges"}), "max-length"),
            (json!({"pattern": "q", "definition": limit, "priority": 1.5}), "policy.priority"),
            (json!({"pattern": "q", "definition": limit, "priority": 3_000_000_000_u64}), "policy.priority"),
            (json!({"pattern": "q", "definition": limit, "prio": 1}), "prio"),
        ] {
            let error = read("p", &body).unwrap_err();
            assert!(error.contains(word), "{body}: {error}");
        }
        assert!(read("", &json!({"pattern": "q", "definition": limit})).is_err());
    }
}
