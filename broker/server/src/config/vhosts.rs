//! Vhosts: which virtual hosts a configuration has, and who is in which

use std::collections::HashMap;

use model::name::VhostName;
use model::vhost::VhostLimits;

use crate::config::origin::{ConfigError, Origin};
use crate::config::settings::Section;

/// What a configuration says of virtual hosts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vhosts {
    /// Those that are to be there beside the default one, in their order.
    pub(crate) all: Vec<(VhostName, VhostLimits)>,
    /// Where those are whom a certificate calls that.
    pub(crate) by_certificate: HashMap<String, VhostName>,
}

/// What `settings` say.
///
/// # Errors
///
/// A name that cannot be, or is there twice; a certificate that is in two of them; a listener for one that there is not.
pub(crate) fn vhosts(settings: &Section) -> Result<Vhosts, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut vhosts = Vhosts::default();
    let mut names = Vec::new();
    for section in settings.sections("vhost") {
        let mut wrong =
            |key: &str, text: String| errors.push(ConfigError::new(&section.given(key).origin, text));
        let word = section.word("name");
        let Some(name) = VhostName::parse(word) else {
            wrong("name", format!("vhost.name is {word:?}; expected {}", VhostName::EXPECTED));
            continue;
        };
        if names.contains(&name) {
            wrong("name", format!("the vhost {word:?} is there twice"));
            continue;
        }
        names.push(name.clone());
        for certificate in section.texts("certificates") {
            if let Some(other) = vhosts.by_certificate.insert(certificate.clone(), name.clone()) {
                let text = format!(
                    "vhost.certificates: {certificate:?} is in {other:?} already, and a client is in one vhost"
                );
                wrong("certificates", text);
            }
        }
        let limits = VhostLimits {
            connections_max: section.number_if_set("max_connections"),
            queues_max: section.number_if_set("max_queues"),
        };
        match (name.is_default(), limits == VhostLimits::default()) {
            (true, true) => {}
            (true, false) => {
                let key = if limits.queues_max.is_some() { "max_queues" } else { "max_connections" };
                wrong(key, "the limits of \"/\" are limits.connections and limits.queues".to_owned());
            }
            (false, _) => vhosts.all.push((name, limits)),
        }
    }
    for table in ["listener", "exchange", "queue", "binding", "policy"] {
        for section in settings.sections(table) {
            let Some(word) = section.text("vhost") else { continue };
            if word != VhostName::DEFAULT.as_str() && !names.iter().any(|name| name.as_str() == word) {
                let text = format!("{table}.vhost: there is no [[vhost]] with name = {word:?}");
                errors.push(ConfigError::new(&section.given("vhost").origin, text));
            }
        }
    }
    if errors.is_empty() { Ok(vhosts) } else { Err(errors) }
}

/// The vhost of a listener; `None`: it is for all.
pub(crate) fn of_listener(section: &Section) -> Option<VhostName> {
    let given = section.given("vhost");
    section.text("vhost").filter(|_| given.origin != Origin::Default).map(VhostName::new)
}
