//! TLS: which certificates a configuration names, which listener shows which, and which balancers are before it

use std::path::PathBuf;
use std::time::Duration;

use gateway::proxy_protocol::networks::Networks;
use gateway::tls::certificate::Naming;
use gateway::tls::{Clients, Options};

use crate::config::nearest::nearest;
use crate::config::origin::ConfigError;
use crate::config::settings::Section;

/// All certificates, by their names.
///
/// # Errors
///
/// A listener names one that is not there, or balancers that are no addresses.
pub(crate) fn tls(settings: &Section) -> Result<Vec<Options>, Vec<ConfigError>> {
    let named = settings.named("tls");
    let handshake_max = Duration::from_millis(settings.section("limits").number("tls_handshake"));
    let mut errors = Vec::new();
    for listener in settings.sections("listener") {
        if let Err(odd) = Networks::parse(listener.texts("proxy_protocol").iter().map(String::as_str)) {
            let text = format!(
                "listener.proxy_protocol: {odd:?} is no address and no network, such as \"10.0.0.0/8\""
            );
            errors.push(ConfigError::new(&listener.given("proxy_protocol").origin, text));
        }
        let Some(name) = listener.text("tls") else { continue };
        if !named.iter().any(|(known, _)| known == name) {
            let names = named.iter().map(|(known, _)| known.as_str());
            let meant = nearest(name, names).map(|meant| format!("did you mean {meant:?}?"));
            let write = || {
                format!(
                    "write [tls.{name}] with cert and key, the files of a certificate and its key (`duetmq cert dev` makes them)"
                )
            };
            let text = format!("listener.tls: there is no [tls.{name}]; {}", meant.unwrap_or_else(write));
            errors.push(ConfigError::new(&listener.given("tls").origin, text));
        }
    }
    for (name, section) in named {
        if section.word("client_auth") != "none" && section.text("client_ca").is_none() {
            let text = format!(
                "tls.{name}.client_auth asks clients for certificates, and tls.{name}.client_ca does not say whose are believed"
            );
            errors.push(ConfigError::new(&section.given("client_auth").origin, text));
        }
    }
    let options = named.iter().map(|(name, section)| Options {
        name: name.clone(),
        certificate: PathBuf::from(section.word("cert")),
        key: PathBuf::from(section.word("key")),
        clients: clients(section),
        handshake_max,
    });
    if errors.is_empty() { Ok(options.collect()) } else { Err(errors) }
}

fn clients(section: &Section) -> Option<Clients> {
    let is_required = match section.word("client_auth") {
        "required" => true,
        "optional" => false,
        _ => return None,
    };
    let named_by = match section.word("user_from") {
        "san-dns" => Some(Naming::Dns),
        "san-email" => Some(Naming::Email),
        "san-uri" => Some(Naming::Uri),
        "none" => None,
        _ => Some(Naming::CommonName),
    };
    Some(Clients { authorities: PathBuf::from(section.text("client_ca")?), is_required, named_by })
}

#[cfg(test)]
mod tests {
    use crate::arguments::ServeArgs;
    use crate::config::{Config, Surroundings};

    #[test]
    fn three_lines_make_a_listener_secure() {
        let config = load(
            "[[listener]]\nprotocol = \"mqtt\"\nbind = \":8883\"\ntls = \"default\"\n\
             [tls.default]\ncert = \"a.pem\"\nkey = \"a.key\"\n",
            &[],
        )
        .unwrap();
        let [one] = config.tls() else { panic!("{:?}", config.tls()) };
        assert_eq!((one.name.as_str(), one.certificate.to_str()), ("default", Some("a.pem")));
        assert!(config.print().contains("\n[tls.default]\ncert = \"a.pem\""), "{}", config.print());
    }

    #[test]
    fn an_address_by_tls_shows_the_certificate_that_is_called_default() {
        let set = ["tls.default.cert=a", "tls.default.key=b"];
        let arguments = |listen: &str, set: &[&str]| ServeArgs {
            listen: vec![listen.to_owned()],
            set: set.iter().map(|&one| one.to_owned()).collect(),
            ..ServeArgs::default()
        };
        for listen in ["mqtts://", "stomp+tls://", "wss://:1/ws", "https://", "auto+tls://:1"] {
            let config = Config::load(&arguments(listen, &set), &Surroundings::default()).unwrap();
            let [listener] = config.settings().sections("listener") else { panic!("{listen}") };
            assert_eq!(listener.text("tls"), Some("default"), "{listen}");
            let errors = Config::load(&arguments(listen, &[]), &Surroundings::default()).unwrap_err();
            let shown = format!("{errors:?}");
            assert!(shown.contains("write [tls.default]") && shown.contains("--listen"), "{shown}");
        }
        let around = |name: &str| Surroundings {
            variables: vec![
                (name.to_owned(), "a".to_owned()),
                ("DUETMQ_TLS__DEFAULT__KEY".to_owned(), "b".to_owned()),
            ],
            ..Surroundings::default()
        };
        let loaded = Config::load(&arguments("mqtts://", &[]), &around("DUETMQ_TLS__DEFAULT__CERT"));
        assert_eq!(loaded.unwrap().tls().len(), 1);
        let errors =
            Config::load(&arguments("mqtts://", &[]), &around("DUETMQ_TLS__DEFAULT__CRET")).unwrap_err();
        assert!(format!("{errors:?}").contains("did you mean DUETMQ_TLS__DEFAULT__CERT?"), "{errors:?}");
    }

    #[test]
    fn what_makes_no_certificate_is_told_with_its_place() {
        let listener = "[[listener]]\nprotocol = \"mqtt\"\nbind = \":1\"\ntls = \"defualt\"\n";
        let whole = "[tls.default]\ncert = \"a\"\nkey = \"b\"\n";
        refused(
            &format!("{listener}{whole}"),
            "duetmq.toml:4: listener.tls: there is no [tls.defualt]; did you mean \"default\"?",
        );
        refused("[tls.default]\ncert = \"a\"\n", "tls.default.key is missing");
        refused("[tls]\ncert = \"a\"\n", "tables by names of your choice, each under its own [tls.NAME]");
        refused("tls = 1\n", "[tls.NAME]");
        refused(
            "[[listener]]\nprotocol = \"mqtt\"\nbind = \":1\"\nproxy_protocol = [\"::1\", \"10.0.0.0/33\"]\n",
            "\"10.0.0.0/33\" is no address and no network",
        );
        refused(
            &format!("{whole}client_auth = \"required\"\n"),
            "tls.default.client_ca does not say whose are believed",
        );
        refused(
            &format!("{whole}client_ca = \"c\"\n"),
            "tls.default.client_ca means nothing here; it is for client_auth",
        );
        refused(&format!("{whole}user_from = \"cn\"\n"), "means nothing here");
        refused(
            &format!("{whole}client_auth = \"optional\"\nclient_ca = \"c\"\nuser_from = \"dn\"\n"),
            "\"san-dns\"",
        );
        refused("[tls.a]\ncret = \"a\"\n", "did you mean \"cert\"?");
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        let errors = load(text, &[]).unwrap_err();
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(shown.join("\n").contains(why), "{why:?} in {shown:?}");
    }

    fn load(text: &str, set: &[&str]) -> Result<Config, Vec<crate::config::ConfigError>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("duetmq.toml");
        std::fs::write(&file, text).unwrap();
        let set = set.iter().map(|&one| one.to_owned()).collect();
        Config::load(&ServeArgs { config: Some(file), set, ..ServeArgs::default() }, &Surroundings::default())
    }
}
