//! Acl: the file of rules, which says who may do what

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use auth::{Place, Rule, Vhosts, Whom, prepared};
use model::name::{ClientId, ExchangeName, UserName, VhostName};
use model::rights::{Action, Actions, RuleName};
use mqtt::reason::{Place as Packet, Reason};

use crate::config::check::check;
use crate::config::keys::acl::FILE;
use crate::config::origin::{ConfigError, Origin};
use crate::config::settings::Section;
use crate::config::tree;

/// The rules of a file, in their order; `plain` is the exchange of plain topics.
///
/// # Errors
///
/// Everything that is wrong with it, each with its line: half a file allows and denies other things than the whole.
pub(crate) fn read(path: &Path, plain: &ExchangeName) -> Result<Arc<[Rule]>, Vec<ConfigError>> {
    let text = text(path).map_err(|text| {
        vec![ConfigError { origin: Origin::Default, text: format!("acl.file: {}: {text}", path.display()) }]
    })?;
    parse(&path.display().to_string(), &text, plain)
}

fn text(path: &Path) -> Result<String, String> {
    let found = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if found.mode() & 0o002 != 0 {
        return Err(format!("everybody may write it; chmod o-w {}", path.display()));
    }
    if found.len() > FILE_BYTES_MAX {
        return Err(format!("larger than {FILE_BYTES_MAX} bytes; that is another file than is meant"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn parse(file: &str, text: &str, plain: &ExchangeName) -> Result<Arc<[Rule]>, Vec<ConfigError>> {
    let section = check(&tree::read(file, text, &|_| None)?, FILE)?;
    let mut errors = Vec::new();
    let groups = groups(&section, &mut errors);
    let mut rules = Vec::new();
    for section in section.sections("rule") {
        match rule(section, &groups, plain) {
            Ok(rule) => rules.push(rule),
            Err((key, text)) => errors.push(ConfigError::new(&section.given(key).origin, text)),
        }
    }
    if errors.is_empty() { Ok(rules.into()) } else { Err(errors) }
}

type Groups = BTreeMap<String, BTreeSet<UserName>>;

fn groups(section: &Section, errors: &mut Vec<ConfigError>) -> Groups {
    let mut groups = Groups::new();
    for group in section.sections("group") {
        let members = group.texts("users").iter().map(|name| user(name)).collect();
        match members {
            Ok(members) => {
                if groups.insert(group.word("name").to_owned(), members).is_some() {
                    let text = format!("the group {:?} is there twice", group.word("name"));
                    errors.push(ConfigError::new(&group.given("name").origin, text));
                }
            }
            Err(text) => errors.push(ConfigError::new(&group.given("users").origin, text)),
        }
    }
    groups
}

/// A user as everybody else knows him.
fn user(name: &str) -> Result<UserName, String> {
    match prepared(name) {
        None => Err(format!("{name:?} cannot be a user name")),
        Some(other) if other != name => {
            Err(format!("the normal form of {name:?} is {other:?}; write that (SASLprep, RFC 4013)"))
        }
        Some(name) => Ok(UserName::new(&name)),
    }
}

fn rule(section: &Section, groups: &Groups, plain: &ExchangeName) -> Result<Rule, (&'static str, String)> {
    let (key, allows) = match (section.texts("allow"), section.texts("deny")) {
        ([_, ..], []) => ("allow", true),
        ([], [_, ..]) => ("deny", false),
        ([], []) => {
            return Err(("allow", "a rule allows or denies something: allow = [\"publish\"]".to_owned()));
        }
        ([_, ..], [_, ..]) => {
            return Err((
                "deny",
                "a rule allows or denies; write two of them, the stronger one first".to_owned(),
            ));
        }
    };
    let actions: Actions = section.texts(key).iter().filter_map(|word| Action::parse(word)).collect();
    let places = section.texts("topics").iter().map(|filter| {
        Place::parse(filter, plain).map_err(|why| ("topics", format!("rule.topics {filter:?}: {why}")))
    });
    let places = places.collect::<Result<Vec<_>, _>>()?;
    if section.given("topics").origin != Origin::Default && places.is_empty() {
        return Err((
            "topics",
            "rule.topics is empty; leave it out where a rule is about everything".to_owned(),
        ));
    }
    meet(actions, &places)?;
    let code = u8::try_from(section.number("code")).unwrap_or(u8::MAX);
    for (action, packet, name) in
        [(Action::Publish, Packet::Puback, "PUBACK"), (Action::Subscribe, Packet::Suback, "SUBACK")]
    {
        if !allows && actions.has(action) && Reason::read(code, packet).is_none() {
            return Err((
                "code",
                format!("rule.code is {code:#04x}, which {name} does not have (MQTT 5.0, 2.4)"),
            ));
        }
    }
    Ok(Rule { allows, actions, places, whom: whom(section, groups)?, name: name(section, key), code })
}

/// Whether each action is about one of these places, and each place about one of these actions: else somebody means
/// something else than it says.
fn meet(actions: Actions, places: &[Place]) -> Result<(), (&'static str, String)> {
    if places.is_empty() {
        return Ok(());
    }
    let wrong = |text: &str| Err(("topics", text.to_owned()));
    let is_queue = |place: &&Place| *place.exchange() == ExchangeName::DEFAULT;
    let queues = places.iter().filter(is_queue).count();
    let [publish, retain, subscribe, consume, configure] =
        [Action::Publish, Action::Retain, Action::Subscribe, Action::Consume, Action::Configure]
            .map(|action| actions.has(action));
    if actions.has(Action::Connect) {
        return wrong("one connects to no topic: write a rule of its own for connect, without topics");
    }
    if (consume || configure) && queues == 0 {
        return wrong("consume and configure are about queues: $queue/NAME, or $queue/# for all");
    }
    if (subscribe || retain) && queues == places.len() {
        return wrong("queues are consumed, not subscribed to, and retain nothing: write consume");
    }
    if !publish && !subscribe && !retain && queues < places.len() {
        return wrong("consume and configure are about queues, which are written $queue/NAME");
    }
    Ok(())
}

fn whom(section: &Section, groups: &Groups) -> Result<Whom, (&'static str, String)> {
    let mut users = BTreeSet::new();
    for name in section.texts("users") {
        users.insert(user(name).map_err(|text| ("users", format!("rule.users: {text}")))?);
    }
    for name in section.texts("groups") {
        let members = groups.get(name).ok_or_else(|| {
            ("groups", format!("rule.groups: there is no [[group]] with name = {name:?} in this file"))
        })?;
        users.extend(members.iter().cloned());
    }
    let says = |key: &str| section.given(key).origin != Origin::Default;
    let clients = section.texts("clients").iter().map(|client| ClientId::new(client)).collect();
    Ok(Whom {
        users: (says("users") || says("groups")).then_some(users),
        anonymous: says("anonymous").then(|| section.truth("anonymous")),
        clients: says("clients").then_some(clients),
        vhosts: if says("vhosts") {
            let names = section.texts("vhosts").iter().map(String::as_str);
            let wrong =
                |name| ("vhosts", format!("rule.vhosts {name:?}: a vhost has {}", VhostName::EXPECTED));
            Vhosts::read(names).map_err(wrong)?
        } else {
            Vhosts::Unsaid
        },
    })
}

/// `acl.toml:7`: clients are told, so the way to the file is left out.
fn name(section: &Section, key: &str) -> RuleName {
    let Origin::File { file, line } = &section.given(key).origin else {
        return RuleName::At("acl.file".into());
    };
    let file = Path::new(&**file)
        .file_name()
        .map_or_else(|| file.to_string(), |name| name.to_string_lossy().into_owned());
    RuleName::At(format!("{file}:{line}").into())
}

/// Tens of thousands of rules.
const FILE_BYTES_MAX: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_knows_its_line_and_for_whom_it_is() {
        let rules = parse(
            "/etc/duetmq/acl.toml",
            "[[group]]\nname = \"staff\"\nusers = [\"bob\"]\n\n[[rule]]\nallow = [\"publish\"]\ntopics = [\"a/%u/#\"]\n\
             users = [\"alice\"]\ngroups = [\"staff\"]\n\n[[rule]]\ndeny = [\"connect\"]\nanonymous = true\n",
            &ExchangeName::TOPIC,
        )
        .unwrap();
        let [first, second] = &*rules else { panic!("{rules:?}") };
        assert_eq!(first.name, RuleName::At("acl.toml:6".into()));
        assert_eq!(first.whom.users, Some([UserName::new("alice"), UserName::new("bob")].into()));
        assert!(first.allows && !second.allows && second.places.is_empty());
        assert_eq!((second.whom.anonymous, &second.whom.users), (Some(true), &None));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (rule, line, why) in [
            ("allow = [\"read\"]", 2, "\"publish\""),
            ("allow = [\"publish\"]\ndeny = [\"publish\"]", 3, "two of them"),
            ("topics = [\"a\"]", 0, "a rule allows or denies something"),
            ("allow = [\"publish\"]\ntopics = [\"a/#/b\"]", 3, "`#` stands last"),
            ("allow = [\"publish\"]\ntopics = [\"dev-%u/x\"]", 3, "a level to themselves"),
            ("allow = [\"publish\"]\ntopics = []", 3, "is empty"),
            ("allow = [\"connect\"]\ntopics = [\"a\"]", 3, "a rule of its own for connect"),
            ("allow = [\"consume\"]\ntopics = [\"a\"]", 3, "$queue/NAME"),
            ("allow = [\"subscribe\"]\ntopics = [\"$queue/a\"]", 3, "write consume"),
            ("allow = [\"publish\"]\ngroups = [\"nobody\"]", 3, "there is no [[group]]"),
            ("allow = [\"publish\"]\nusers = [\"\"]", 3, "cannot be a user name"),
            ("deny = [\"publish\"]\ncode = 0x8F", 3, "PUBACK does not have"),
            ("allow = [\"publish\"]\nvhosts = [\"\"]", 3, "1 to 64 bytes"),
            ("allow = [\"publish\"]\ntopic = [\"a\"]", 3, "topics"),
            ("allow = [", 2, ""),
        ] {
            let errors = parse("acl.toml", &format!("[[rule]]\n{rule}\n"), &ExchangeName::TOPIC).unwrap_err();
            let told = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            assert!(told.contains(why), "{rule}: {told}");
            assert!(line == 0 || told.contains(&format!("acl.toml:{line}")), "{rule}: {told}");
        }
    }
}
