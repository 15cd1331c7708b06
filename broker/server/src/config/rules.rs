//! Rules: what a configuration allows and denies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use auth::{Place, Rule, Rules, Vhosts, Whom};
use model::key::KeyPattern;
use model::name::{ClientId, ExchangeName, UserName, VhostName};
use model::rights::{Action, Actions, RuleName};
use mqtt::reason::{Place as Packet, Reason};

use crate::config::acl;
use crate::config::origin::{ConfigError, Origin};
use crate::config::settings::Section;

/// The exchange behind plain MQTT topics.
pub(crate) fn plain(settings: &Section) -> ExchangeName {
    ExchangeName::new(settings.section("routing").word("mqtt_exchange"))
}

/// All rules that `settings` have: those of the file as well.
///
/// # Errors
///
/// A filter that is none, a code that cannot be given, and all that is wrong with the file.
pub(crate) fn rules(settings: &Section) -> Result<Rules, Vec<ConfigError>> {
    let plain = plain(settings);
    let mut rules = Vec::new();
    let mut errors = Vec::new();
    for section in settings.section("access").sections("deny") {
        match denied(section, &plain) {
            Ok(rule) => rules.push(rule),
            Err((key, text)) => errors.push(ConfigError::new(&section.given(key).origin, text)),
        }
    }
    let acl = settings.section("acl");
    let file = acl.text("file");
    let listed = file.map(|file| acl::read(Path::new(file), &plain)).transpose();
    let listed = listed.unwrap_or_else(|more| {
        errors.extend(more);
        None
    });
    let is_ruled = file.is_some() || settings.section("auth").section("jwt").text("acl_claim").is_some();
    let default_allows = acl.text("default").map_or(!is_ruled, |word| word == "allow");
    let tells_of_itself = settings.section("node").truth("dev");
    if errors.is_empty() {
        Ok(Rules {
            denied: rules.into(),
            listed: listed.unwrap_or_default(),
            default_allows,
            tells_of_itself,
            doors: doors(settings).into(),
        })
    } else {
        Err(errors)
    }
}

/// Vhosts that have a list of their users.
fn doors(settings: &Section) -> BTreeMap<VhostName, BTreeSet<UserName>> {
    let says = |vhost: &&Section| vhost.given("users").origin != Origin::Default;
    let listed = |vhost: &Section| {
        let users = vhost.texts("users").iter().map(|user| UserName::new(user)).collect();
        (VhostName::new(vhost.word("name")), users)
    };
    settings.sections("vhost").iter().filter(says).map(listed).collect()
}

fn denied(section: &Section, plain: &ExchangeName) -> Result<Rule, (&'static str, String)> {
    let filter = section.word("filter");
    let cannot = |why| ("filter", format!("access.deny.filter {filter:?}: {why}"));
    let place = Place::parse(filter, plain).map_err(cannot)?;
    let denies = |action: &str| section.texts("actions").iter().any(|one| one == action);
    let (publish, subscribe) = (denies("publish"), denies("subscribe"));
    let code = u8::try_from(section.number("code")).unwrap_or(u8::MAX);
    for (is_denied, packet, name) in
        [(publish, Packet::Puback, "PUBACK"), (subscribe, Packet::Suback, "SUBACK")]
    {
        if is_denied && Reason::read(code, packet).is_none() {
            return Err((
                "code",
                format!("access.deny.code is {code:#04x}, which {name} does not have (MQTT 5.0, 2.4)"),
            ));
        }
    }
    let published = publish.then_some(Action::Publish).into_iter();
    let received = subscribe.then_some([Action::Subscribe, Action::Consume]).into_iter().flatten();
    Ok(Rule {
        allows: false,
        actions: published.chain(received).collect::<Actions>(),
        places: vec![place],
        whom: Whom {
            users: section.text("user").map(|user| [UserName::new(user)].into()),
            anonymous: None,
            clients: section.text("client").map(|client| [ClientId::new(client)].into()),
            vhosts: match section.text("vhost") {
                None => Vhosts::Unsaid,
                Some(name) => Vhosts::read([name]).map_err(|name| {
                    ("vhost", format!("access.deny.vhost {name:?}: a vhost has {}", VhostName::EXPECTED))
                })?,
            },
        },
        name: RuleName::Denied(filter.into()),
        code,
    })
}

/// The same places that an MQTT client names so, `plain` being the exchange of its plain topics.
pub(crate) fn place(filter: &str, plain: &ExchangeName) -> Result<(ExchangeName, KeyPattern), String> {
    let place = Place::parse(filter, plain)?;
    if !place.is_the_same_for_all() {
        return Err("%u and %c are for rules".to_owned());
    }
    Ok((place.exchange().clone(), place.pattern()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_what_it_names_to_a_client() {
        let check = |filter: &str, expected: &str| {
            let found = place(filter, &ExchangeName::TOPIC)
                .map(|(exchange, pattern)| format!("{exchange} {pattern}"));
            assert_eq!(found.unwrap_or_else(|why| why), expected, "{filter}");
        };
        check("a/+/#", "amq.topic a/+/#");
        check("$SYS/#", "amq.topic $SYS/#");
        check("$exchange/x/a/#", "x a/#");
        check("$queue/jobs/a", " jobs/a");
        check("$user/+/queue/x", "$user +/queue/x");
        check("$user/a%2fb/#", "$user a%2Fb/#");
        check("$session/#", "$session #");
        for wrong in [
            "",
            "a/#/b",
            "a+",
            "$queue/",
            "$queue",
            "$exchange",
            "$exchange/+/a",
            "$share/g/a",
            "$user",
            "$user//x",
        ] {
            assert!(place(wrong, &ExchangeName::TOPIC).is_err(), "{wrong}");
        }
    }
}
