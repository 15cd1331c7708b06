//! Rules: what is allowed and denied to whom, and in which order that is asked

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use model::key::{KeyPattern, Level};
use model::name::{ClientId, ExchangeName, UserName, VhostName};
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
    /// In which vhosts.
    pub vhosts: Vhosts,
}

/// In which vhosts a rule holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Vhosts {
    /// It does not say: what it allows, it allows in the default one, and what it denies, it denies in all. So a rule that was
    /// written before there were others opens none of them.
    #[default]
    Unsaid,
    /// In all of them.
    All,
    /// In these.
    These(BTreeSet<VhostName>),
}

impl Vhosts {
    /// As a list says it, in which `*` stands for all.
    ///
    /// # Errors
    ///
    /// The text that cannot be the name of one.
    pub fn read<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let mut these = BTreeSet::new();
        let mut all = false;
        for name in names {
            if name == "*" {
                all = true;
            } else {
                these.insert(VhostName::parse(name).ok_or(name)?);
            }
        }
        Ok(if all { Self::All } else { Self::These(these) })
    }

    fn has(&self, vhost: &VhostName, allows: bool) -> bool {
        match self {
            Self::Unsaid => !allows || vhost.is_default(),
            Self::All => true,
            Self::These(these) => these.contains(vhost),
        }
    }
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
    /// Vhosts into which only these users come.
    pub doors: Arc<BTreeMap<VhostName, BTreeSet<UserName>>>,
}

/// The rules as they are in one vhost.
#[derive(Debug, Clone)]
pub(crate) struct Scoped {
    rules: Arc<Rules>,
    vhost: VhostName,
}

impl Scoped {
    pub(crate) fn new(rules: Arc<Rules>, vhost: VhostName) -> Self {
        Self { rules, vhost }
    }

    /// See [`Rules::permissions`].
    pub(crate) fn permissions(
        &self,
        user: Option<&UserName>,
        client: Option<&ClientId>,
        shown: &[Rule],
    ) -> Permissions {
        self.rules.permissions(&self.vhost, user, client, shown)
    }

    /// See [`Rules::unless_denied`].
    pub(crate) fn unless_denied(&self, user: Option<&UserName>, client: Option<&ClientId>) -> Permissions {
        self.rules.unless_denied(&self.vhost, user, client)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            denied: Arc::default(),
            listed: Arc::default(),
            default_allows: true,
            tells_of_itself: false,
            doors: Arc::default(),
        }
    }
}

impl Rules {
    /// What this user may do in that vhost on that client, who brought along these `shown` rules.
    pub fn permissions(
        &self,
        vhost: &VhostName,
        user: Option<&UserName>,
        client: Option<&ClientId>,
        shown: &[Rule],
    ) -> Permissions {
        let is_free =
            self.default_allows && self.denied.is_empty() && self.listed.is_empty() && shown.is_empty();
        if is_free && self.doors.is_empty() {
            // Where there are no rules, all clients share what is left.
            return if self.tells_of_itself { Permissions::everything() } else { UNRULED.clone() };
        }
        Permissions::by(self.rights(vhost, user, client, shown))
    }

    /// What the rules leave to this user on that client who brought along others, which nobody knows any more: all that these
    /// do not deny.
    pub fn unless_denied(
        &self,
        vhost: &VhostName,
        user: Option<&UserName>,
        client: Option<&ClientId>,
    ) -> Permissions {
        Self { default_allows: true, ..self.clone() }.permissions(vhost, user, client, &[])
    }

    /// The same, for whoever asks which rule it is that decides.
    pub fn rights(
        &self,
        vhost: &VhostName,
        user: Option<&UserName>,
        client: Option<&ClientId>,
        shown: &[Rule],
    ) -> Rights {
        let mut rights = Vec::from_iter(self.keep_out(vhost, user));
        let all = self.denied.iter().chain(self.listed.iter()).chain(shown);
        let is_for =
            |rule: &&Rule| rule.whom.is_for(user, client) && rule.whom.vhosts.has(vhost, rule.allows);
        for rule in all.filter(is_for) {
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

impl Rules {
    /// That a vhost has a list of its users, and this one is not on it.
    fn keep_out(&self, vhost: &VhostName, user: Option<&UserName>) -> Option<Right> {
        let users = self.doors.get(vhost)?;
        (!user.is_some_and(|user| users.contains(user))).then(|| Right {
            allows: false,
            actions: Actions::default().with(Action::Connect),
            area: None,
            name: RuleName::At(format!("vhost.users of {vhost:?}").into()),
            code: NOT_AUTHORIZED,
        })
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
    LazyLock::new(|| Permissions::by(Rules::default().rights(&VhostName::DEFAULT, None, None, &[])));

/// Where the broker says something of itself.
const OWN: [&str; 2] = ["$SYS", "$events"];

/// MQTT 5.0, 2.4: Not authorized.
pub const NOT_AUTHORIZED: u8 = 0x87;

#[cfg(test)]
mod tests {
    use model::key::RoutingKey;

    use super::*;

    const HOME: VhostName = VhostName::DEFAULT;

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
            let permissions = rules.permissions(
                &HOME,
                user.map(UserName::new).as_ref(),
                client.map(ClientId::new).as_ref(),
                &[],
            );
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
    fn what_a_rule_allows_it_allows_where_it_says_and_what_it_denies_everywhere_if_it_says_nothing() {
        let key = RoutingKey::from("x");
        let may = |rule: Rule, default_allows: bool, vhost: &str| {
            let rules = Rules { listed: [rule].into(), default_allows, ..Rules::default() };
            let vhost = VhostName::parse(vhost).unwrap();
            let permissions = rules.permissions(&vhost, None, None, &[]);
            permissions.keep_from(Action::Publish, &ExchangeName::TOPIC, &key).is_none()
        };
        let in_vhosts = |vhosts: &[&str], allows: bool| {
            let plain = rule("x", None, None);
            let vhosts = if vhosts.is_empty() {
                Vhosts::Unsaid
            } else {
                Vhosts::read(vhosts.iter().copied()).unwrap()
            };
            Rule { allows, whom: Whom { vhosts, ..Whom::default() }, ..plain }
        };
        for (vhosts, allowed, denied) in [
            (&[][..], [true, false], [false, false]),
            (&["*"], [true, true], [false, false]),
            (&["shop"], [false, true], [true, false]),
            (&["/"], [true, false], [false, true]),
        ] {
            assert_eq!(
                ["/", "shop"].map(|vhost| may(in_vhosts(vhosts, true), false, vhost)),
                allowed,
                "{vhosts:?}"
            );
            assert_eq!(
                ["/", "shop"].map(|vhost| may(in_vhosts(vhosts, false), true, vhost)),
                denied,
                "{vhosts:?}"
            );
        }
        assert_eq!(Vhosts::read(["a", ""]), Err(""));
    }

    #[test]
    fn a_vhost_with_a_list_of_its_users_lets_nobody_else_in() {
        let shop = VhostName::new("shop");
        let doors = BTreeMap::from([(shop.clone(), BTreeSet::from([UserName::new("ann")]))]);
        let rules = Rules { doors: Arc::new(doors), ..Rules::default() };
        let is_kept_out = |vhost: &VhostName, user: Option<&str>| {
            let permissions = rules.permissions(vhost, user.map(UserName::new).as_ref(), None, &[]);
            permissions.keep_from_all(Action::Connect).is_some()
        };
        assert!(
            !is_kept_out(&shop, Some("ann")) && is_kept_out(&shop, Some("bob")) && is_kept_out(&shop, None)
        );
        assert!(!is_kept_out(&HOME, Some("bob")) && !is_kept_out(&HOME, None));
    }

    #[test]
    fn a_name_never_widens_a_rule() {
        let may = |filter: &str, allows: bool, name: &str, key: &str| {
            let place = Place::parse(filter, &ExchangeName::TOPIC).unwrap();
            let rule = Rule { allows, places: vec![place], ..rule("x", None, None) };
            let rules = Rules { listed: [rule].into(), default_allows: !allows, ..Rules::default() };
            let permissions =
                rules.permissions(&HOME, Some(&UserName::new(name)), Some(&ClientId::new(name)), &[]);
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
            let permissions = rules.permissions(&HOME, None, None, &[]);
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
                vhosts: Vhosts::Unsaid,
            },
            name: RuleName::Denied(key.into()),
            code: NOT_AUTHORIZED,
        }
    }
}
