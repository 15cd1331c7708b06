//! Rules that a token brings along, in one of its claims

use model::name::ExchangeName;
use model::rights::{Action, RuleName};
use serde::Deserialize;
use serde_json::Value;

use crate::place::Place;
use crate::rules::{NOT_AUTHORIZED, Rule, Vhosts, Whom};

/// A rule as a token writes it: the same words as in the file, but that it is for whoever shows it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default)]
    topics: Vec<String>,
    vhosts: Option<Vec<String>>,
}

/// The rules of a claim, which are none where there is none; `None`: it cannot be understood, and half of it must not count.
pub(crate) fn read(claim: &str, value: Option<&Value>, plain: &ExchangeName) -> Option<Vec<Rule>> {
    let Some(value) = value else { return Some(Vec::new()) };
    let written = Vec::<Written>::deserialize(value).ok().filter(|list| list.len() <= RULES_MAX)?;
    let rules = written.into_iter().zip(1..).map(|(one, number)| {
        let (allows, words) = match (one.allow.is_empty(), one.deny.is_empty()) {
            (false, true) => (true, one.allow),
            (true, false) => (false, one.deny),
            (true, true) | (false, false) => return None,
        };
        let places = one.topics.iter().map(|filter| Place::parse(filter, plain).ok());
        Some(Rule {
            allows,
            actions: words.iter().map(|word| Action::parse(word)).collect::<Option<_>>()?,
            places: places.collect::<Option<_>>()?,
            whom: Whom {
                vhosts: match &one.vhosts {
                    Some(names) => Vhosts::read(names.iter().map(String::as_str)).ok()?,
                    None => Vhosts::Unsaid,
                },
                ..Whom::default()
            },
            name: RuleName::At(format!("rule {number} of the token's {claim}").into()),
            code: NOT_AUTHORIZED,
        })
    });
    rules.collect()
}

/// The most rules in a token.
const RULES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_understood_as_a_whole_or_not_at_all() {
        let read = |text: &str| {
            let value: Value = serde_json::from_str(text).unwrap();
            read("acl", Some(&value), &ExchangeName::TOPIC).map(|rules| rules.len())
        };
        assert_eq!(read("[]"), Some(0));
        assert_eq!(
            read(r#"[{"allow": ["publish", "retain"], "topics": ["a/%u/#", "$queue/jobs"]}]"#),
            Some(1)
        );
        assert_eq!(read(r#"[{"allow": ["connect"], "vhosts": ["shop", "/"]}]"#), Some(1));
        assert_eq!(read(r#"[{"deny": ["connect"]}, {"allow": ["connect"]}]"#), Some(2));
        for wrong in [
            r#"{"allow": ["publish"]}"#,
            r#"["publish"]"#,
            r#"[{"topics": ["a"]}]"#,
            r#"[{"allow": ["publish"], "deny": ["publish"]}]"#,
            r#"[{"allow": ["read"]}]"#,
            r#"[{"allow": ["publish"], "topics": ["a/#/b"]}]"#,
            r#"[{"allow": ["publish"], "topic": ["a"]}]"#,
            r#"[{"allow": "publish"}]"#,
            r#"[{"allow": ["publish"], "vhosts": [""]}]"#,
            "null",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(super::read("acl", None, &ExchangeName::TOPIC).map(|rules| rules.len()), Some(0));
    }
}
