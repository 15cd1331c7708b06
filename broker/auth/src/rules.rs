//! Rules: what is allowed and denied to whom, and in which order that is asked

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use model::key::{KeyPattern, Level};
use model::name::{ClientId, ExchangeName, UserName};
use model::principal::Permissions;
use model::rights::{Action, Actions, Area, Right, Rights, RuleName};

use crate::place::Place;

/// One thing that is allowed or denied, to everybody or to some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whether it allows, or denies.
    pub allows: bool,
    /// To do what.
    pub actions: Actions,
    /// Where, in any of these; empty: everywhere.
    pub places: Vec<Place>,
    /// To whom.
    pub whom: Whom,
    /// As whom whoever is refused finds it.
    pub name: RuleName,
    /// The reason code that a client of MQTT 5.0 is refused with, where it may stand there.
    pub code: u8,
}

/// Whom a rule is for. What is not said does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whom {
    /// One of these users; `None`: all of them, and those without a name.
    pub users: Option<BTreeSet<UserName>>,
    /// Only those who have no user name, or only those who have.
    pub anonymous: Option<bool>,
    /// One of these clients.
    pub clients: Option<BTreeSet<ClientId>>,
}

impl Whom {
    fn is_for(&self, user: Option<&UserName>, client: Option<&ClientId>) -> bool {
        self.users.as_ref().is_none_or(|users| user.is_some_and(|user| users.contains(user)))
            && self.anonymous.is_none_or(|anonymous| anonymous == user.is_none())
            && self
                .clients
                .as_ref()
                .is_none_or(|clients| client.is_some_and(|client| clients.contains(client)))
    }
}

/// How somebody came in, by which he is known again when something has changed.
#[derive(Debug)]
pub(crate) enum How {
    /// By a password of the file.
    Password,
    /// By a token, with these rules.
    Token(Arc<[Rule]>),
    /// As whoever the configuration lets in without one: nobody by name, or `guest`.
    OfThisMachine,
}

/// All rules that there are: what the configuration denies comes first, then the rules of the file in their order, then those
/// of the token that a client showed; and what none of them speaks of is as the default says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// What the configuration denies.
    pub denied: Arc<[Rule]>,
    /// Those of the file.
    pub listed: Arc<[Rule]>,
    /// Whether what no rule speaks of is allowed.
    pub default_allows: bool,
    /// Whether what the broker says of itself, and of what happens to clients, is told to whoever may subscribe to all else, too.
    pub tells_of_itself: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { denied: Arc::default(), listed: Arc::default(), default_allows: true, tells_of_itself: false }
    }
}

impl Rules {
    /// What this user may do on that client, who brought along these `shown` rules.
    pub fn permissions(
        &self,
        user: Option<&UserName>,
        client: Option<&ClientId>,
        shown: &[Rule],
    ) -> Permissions {
        if self.default_allows && self.denied.is_empty() && self.listed.is_empty() && shown.is_empty() {
            // Where there are no rules, all clients share what is left.
            return if self.tells_of_itself { Permissions::everything() } else { UNRULED.clone() };
        }
        Permissions::by(self.rights(user, client, shown))
    }

    /// What the rules leave to this user on that client who brought along others, which nobody knows any more: all that these
    /// do not deny.
    pub fn unless_denied(&self, user: Option<&UserName>, client: Option<&ClientId>) -> Permissions {
        Self { default_allows: true, ..self.clone() }.permissions(user, client, &[])
    }

    /// The same, for whoever asks which rule it is that decides.
    pub fn rights(&self, user: Option<&UserName>, client: Option<&ClientId>, shown: &[Rule]) -> Rights {
        let mut rights = Vec::new();
        let all = self.denied.iter().chain(self.listed.iter()).chain(shown);
        for rule in all.filter(|rule| rule.whom.is_for(user, client)) {
            let right = |area| Right {
                allows: rule.allows,
                actions: rule.actions,
                area,
                name: rule.name.clone(),
                code: rule.code,
            };
            if rule.places.is_empty() {
                rights.push(right(None));
            }
            let areas = rule.places.iter().filter_map(|place| place.for_whom(user, client, rule.allows));
            rights.extend(areas.map(|area| right(Some(area))));
        }
        if self.default_allows && !self.tells_of_itself {
            rights.extend(OWN.map(untold));
        }
        let last = Right {
            allows: self.default_allows,
            actions: Actions::all(),
            area: None,
            name: RuleName::At("acl.default".into()),
            code: NOT_AUTHORIZED,
        };
        Rights::new(rights, last)
    }
}

/// How the broker is, who comes, who leaves and who listens to what is nobody's business, unless a rule says so.
fn untold(tree: &str) -> Right {
    Right {
        allows: false,
        actions: Actions::default().with(Action::Subscribe),
        area: Some(Area {
            exchange: ExchangeName::TOPIC,
            pattern: KeyPattern::new(vec![Level::Literal(tree.into()), Level::Many]),
        }),
        name: RuleName::At(
            format!("{tree} is for those whom a rule of acl.file allows to subscribe to it").into(),
        ),
        code: NOT_AUTHORIZED,
    }
}

/// What everybody may do where there is no rule.
static UNRULED: LazyLock<Permissions> =
    LazyLock::new(|| Permissions::by(Rules::default().rights(None, None, &[])));

/// Where the broker says something of itself.
const OWN: [&str; 2] = ["$SYS", "$events"];

/// MQTT 5.0, 2.4: Not authorized.
pub const NOT_AUTHORIZED: u8 = 0x87;

#[cfg(test)]
mod tests {
    use model::key::RoutingKey;

    use super::*;

    #[test]
    fn a_rule_is_for_those_it_names() {
        let rules = Rules {
            denied: [
                rule("all", None, None),
                rule("alice", Some("alice"), None),
                rule("c", None, Some("c")),
                rule("alice c", Some("alice"), Some("c")),
            ]
            .into(),
            ..Rules::default()
        };
        let denied = |user: Option<&str>, client: Option<&str>| {
            let permissions =
                rules.permissions(user.map(UserName::new).as_ref(), client.map(ClientId::new).as_ref(), &[]);
            let is = |key: &&str| {
                permissions
                    .keep_from(Action::Publish, &ExchangeName::TOPIC, &RoutingKey::from(*key))
                    .is_some()
            };
            ["all", "alice", "c", "alice c"].into_iter().filter(is).collect::<Vec<_>>()
        };
        assert_eq!(denied(None, None), ["all"]);
        assert_eq!(denied(Some("bob"), Some("d")), ["all"]);
        assert_eq!(denied(Some("alice"), None), ["all", "alice"]);
        assert_eq!(denied(None, Some("c")), ["all", "c"]);
        assert_eq!(denied(Some("alice"), Some("c")), ["all", "alice", "c", "alice c"]);
    }

    #[test]
    fn a_name_never_widens_a_rule() {
        let may = |filter: &str, allows: bool, name: &str, key: &str| {
            let place = Place::parse(filter, &ExchangeName::TOPIC).unwrap();
            let rule = Rule { allows, places: vec![place], ..rule("x", None, None) };
            let rules = Rules { listed: [rule].into(), default_allows: !allows, ..Rules::default() };
            let permissions = rules.permissions(Some(&UserName::new(name)), Some(&ClientId::new(name)), &[]);
            permissions.keep_from(Action::Publish, &ExchangeName::TOPIC, &RoutingKey::from(key)).is_none()
        };
        for filter in ["a/%u/#", "a/%c/#"] {
            assert!(may(filter, true, "kim", "a/kim/x"), "{filter}");
            assert!(!may(filter, true, "kim", "a/lee/x"), "{filter}");
            for name in ["+", "#", "kim/lee", "lee/#", "*", "", "a\u{7}", "$SYS"] {
                for key in ["a/kim/x", "a/lee/x", "a/+/x", "a/#/x", "a/kim/lee", "a//x", "a/*/x"] {
                    assert!(!may(filter, true, name, key), "{filter} {name:?} {key}");
                    assert!(!may(filter, false, name, key), "{filter} {name:?} {key}");
                }
            }
            assert!(may(filter, false, "kim", "a/lee/x") && !may(filter, false, "kim", "a/kim/x"));
        }
        // `$SYS` as a name must not open what is the broker's own.
        assert!(!may("%u/#", true, "$SYS", "$SYS/x"));
        // No such name: a rule about it says nothing.
        let place = Place::parse("a/%u", &ExchangeName::TOPIC).unwrap();
        assert_eq!(place.for_whom(None, None, false), None);
    }

    #[test]
    fn what_the_broker_says_of_itself_is_for_those_whom_a_rule_allows_it() {
        let topics = ["$SYS/broker/uptime", "$events/client/connected", "$SYS", "a"];
        let may = |rules: &Rules| {
            let permissions = rules.permissions(None, None, &[]);
            topics.map(|topic| {
                let key = RoutingKey::from(topic);
                permissions.keep_from(Action::Subscribe, &ExchangeName::TOPIC, &key).is_none()
            })
        };
        assert_eq!(may(&Rules::default()), [false, false, false, true]);
        assert_eq!(may(&Rules { tells_of_itself: true, ..Rules::default() }), [true; 4]);
        // The same where there are rules, about something else or about that.
        let other = Rules { denied: [rule("x", None, None)].into(), ..Rules::default() };
        assert_eq!(may(&other), [false, false, false, true]);
        let allowed = |filter: &str| {
            let place = Place::parse(filter, &ExchangeName::TOPIC).unwrap();
            let actions = Actions::default().with(Action::Subscribe);
            let allow = Rule { allows: true, actions, places: vec![place], ..rule("x", None, None) };
            may(&Rules { listed: [allow].into(), ..Rules::default() })
        };
        assert_eq!(allowed("$SYS/#"), [true, false, true, true]);
        assert_eq!(allowed("#"), [false, false, false, true]);
    }

    fn rule(key: &str, user: Option<&str>, client: Option<&str>) -> Rule {
        Rule {
            allows: false,
            actions: Actions::default().with(Action::Publish),
            places: vec![Place::parse(key, &ExchangeName::TOPIC).unwrap()],
            whom: Whom {
                users: user.map(|user| [UserName::new(user)].into()),
                anonymous: None,
                clients: client.map(|client| [ClientId::new(client)].into()),
            },
            name: RuleName::Denied(key.into()),
            code: NOT_AUTHORIZED,
        }
    }
}
