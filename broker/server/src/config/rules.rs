//! Rules: what a configuration denies.

use auth::Rule;
use model::key::{KeyPattern, Level, RoutingKey};
use model::name::{ClientId, ExchangeName, UserName};
use model::personal;
use model::principal::Deny;
use mqtt::reason::{Place, Reason};
use mqtt::topic::TopicFilter;

use crate::config::origin::ConfigError;
use crate::config::settings::Section;

/// The exchange behind plain MQTT topics.
pub(crate) fn plain(settings: &Section) -> ExchangeName {
    ExchangeName::new(settings.section("routing").word("mqtt_exchange"))
}

/// What `settings` deny.
///
/// # Errors
///
/// A filter that is none, or a code that cannot be given.
pub(crate) fn rules(settings: &Section) -> Result<Vec<Rule>, Vec<ConfigError>> {
    let plain = plain(settings);
    let mut rules = Vec::new();
    let mut errors = Vec::new();
    for section in settings.section("access").sections("deny") {
        match rule(section, &plain) {
            Ok(rule) => rules.push(rule),
            Err((key, text)) => errors.push(ConfigError::new(&section.given(key).origin, text)),
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

fn rule(section: &Section, plain: &ExchangeName) -> Result<Rule, (&'static str, String)> {
    let filter = section.word("filter");
    let (exchange, pattern) =
        place(filter, plain).map_err(|why| ("filter", format!("access.deny.filter {filter:?}: {why}")))?;
    let denies = |action: &str| section.texts("actions").iter().any(|one| one == action);
    let (publish, subscribe) = (denies("publish"), denies("subscribe"));
    let code = u8::try_from(section.number("code")).unwrap_or(u8::MAX);
    for (is_denied, place, packet) in
        [(publish, Place::Puback, "PUBACK"), (subscribe, Place::Suback, "SUBACK")]
    {
        if is_denied && Reason::read(code, place).is_none() {
            return Err((
                "code",
                format!("access.deny.code is {code:#04x}, which {packet} does not have (MQTT 5.0, 2.4)"),
            ));
        }
    }
    let deny = Deny { name: filter.into(), exchange, pattern, publish, subscribe, code };
    let (user, client) = (section.text("user").map(UserName::new), section.text("client").map(ClientId::new));
    Ok(Rule { deny, user, client })
}

/// The same places that an MQTT client names so, `plain` being the exchange of its plain topics.
pub(crate) fn place(filter: &str, plain: &ExchangeName) -> Result<(ExchangeName, KeyPattern), String> {
    let parsed = TopicFilter::parse(filter, usize::MAX).map_err(|error| error.to_string())?;
    match parsed.levels() {
        [Level::Literal(first), ..] if **first == *"$queue" => {
            let name = filter.strip_prefix("$queue/").filter(|name| !name.is_empty());
            let name = name.ok_or("`$queue/` is followed by the name of a queue")?;
            Ok((ExchangeName::DEFAULT, KeyPattern::exact(&RoutingKey::from(name))))
        }
        [Level::Literal(first), Level::Literal(name), rest @ ..]
            if **first == *"$exchange" && !name.is_empty() =>
        {
            Ok((ExchangeName::new(name), KeyPattern::new(rest.to_vec())))
        }
        [Level::Literal(first), ..] if **first == *"$exchange" => {
            Err("`$exchange/` is followed by the name of an exchange".to_owned())
        }
        [Level::Literal(first), rest @ ..] if **first == *"$user" || **first == *"$session" => {
            let exchange = if **first == *"$user" { ExchangeName::USER } else { ExchangeName::SESSION };
            Ok((exchange, KeyPattern::new(whose(rest)?)))
        }
        _ if filter.starts_with("$share/") => {
            Err("a share has no rights of its own; name what it shares".to_owned())
        }
        [Level::Literal(first), ..] if first.starts_with('$') => {
            Ok((ExchangeName::TOPIC, KeyPattern::new(parsed.into_levels())))
        }
        _ => Ok((plain.clone(), KeyPattern::new(parsed.into_levels()))),
    }
}

/// The levels below `$user/` or `$session/`: the first one says whose they are, or is a wildcard.
fn whose(levels: &[Level]) -> Result<Vec<Level>, String> {
    let mut levels = levels.to_vec();
    match levels.first_mut() {
        Some(Level::Literal(name)) => {
            let level = personal::read_level(name).ok_or("a name is text; its %XX are UTF-8")?;
            *name = (*level).into();
        }
        Some(Level::One | Level::Many) => {}
        None => return Err("the name of a user or a session follows, or a wildcard".to_owned()),
    }
    Ok(levels)
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
