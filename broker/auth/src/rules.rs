//! Rules: what is denied to whom.

use model::name::{ClientId, UserName};
use model::principal::{Deny, Permissions};

/// One thing that is denied, to everybody or to some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What.
    pub deny: Deny,
    /// To this user; `None`: to every user, and to those without a name.
    pub user: Option<UserName>,
    /// To clients that call themselves so; `None`: to all.
    pub client: Option<ClientId>,
}

impl Rule {
    fn is_for(&self, user: Option<&UserName>, client: Option<&ClientId>) -> bool {
        self.user.as_ref().is_none_or(|only| user == Some(only))
            && self.client.as_ref().is_none_or(|only| client == Some(only))
    }
}

/// What is left to this user on that client.
pub(crate) fn permissions(rules: &[Rule], user: Option<&UserName>, client: Option<&ClientId>) -> Permissions {
    let denied = rules.iter().filter(|rule| rule.is_for(user, client)).map(|rule| rule.deny.clone());
    Permissions::all_but(denied.collect())
}

#[cfg(test)]
mod tests {
    use model::key::{KeyPattern, RoutingKey};
    use model::name::ExchangeName;

    use super::*;

    #[test]
    fn a_rule_is_for_those_it_names() {
        let rule = |key: &str, user: Option<&str>, client: Option<&str>| Rule {
            deny: Deny {
                name: key.into(),
                exchange: ExchangeName::TOPIC,
                pattern: KeyPattern::exact(&RoutingKey::from(key)),
                publish: true,
                subscribe: false,
                code: 0x87,
            },
            user: user.map(UserName::new),
            client: client.map(ClientId::new),
        };
        let rules = [
            rule("all", None, None),
            rule("alice", Some("alice"), None),
            rule("c", None, Some("c")),
            rule("alice c", Some("alice"), Some("c")),
        ];
        let denied = |user: Option<&str>, client: Option<&str>| {
            let permissions =
                permissions(&rules, user.map(UserName::new).as_ref(), client.map(ClientId::new).as_ref());
            let is = |key: &&str| {
                permissions.keeps_from_publishing(&ExchangeName::TOPIC, &RoutingKey::from(*key)).is_some()
            };
            ["all", "alice", "c", "alice c"].into_iter().filter(is).collect::<Vec<_>>()
        };
        assert_eq!(denied(None, None), ["all"]);
        assert_eq!(denied(Some("bob"), Some("d")), ["all"]);
        assert_eq!(denied(Some("alice"), None), ["all", "alice"]);
        assert_eq!(denied(None, Some("c")), ["all", "c"]);
        assert_eq!(denied(Some("alice"), Some("c")), ["all", "alice", "c", "alice c"]);
    }
}
