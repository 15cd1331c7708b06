//! TLS: which certificates a configuration names, and which listener shows which

use std::path::PathBuf;
use std::time::Duration;

use gateway::tls::Options;

use crate::config::nearest::nearest;
use crate::config::origin::ConfigError;
use crate::config::settings::Section;

/// All certificates, by their names.
///
/// # Errors
///
/// A listener names one that is not there.
pub(crate) fn tls(settings: &Section) -> Result<Vec<Options>, Vec<ConfigError>> {
    let named = settings.named("tls");
    let handshake_max = Duration::from_millis(settings.section("limits").number("tls_handshake"));
    let mut errors = Vec::new();
    for listener in settings.sections("listener") {
        let Some(name) = listener.text("tls") else { continue };
        if !named.iter().any(|(known, _)| known == name) {
            let names = named.iter().map(|(known, _)| known.as_str());
            let meant = nearest(name, names).map(|meant| format!("did you mean {meant:?}?"));
            let write =
                || format!("write [tls.{name}] with cert and key, the files of a certificate and its key");
            let text = format!("listener.tls: there is no [tls.{name}]; {}", meant.unwrap_or_else(write));
            errors.push(ConfigError::new(&listener.given("tls").origin, text));
        }
    }
    let options = named.iter().map(|(name, section)| Options {
        name: name.clone(),
        certificate: PathBuf::from(section.word("cert")),
        key: PathBuf::from(section.word("key")),
        handshake_max,
    });
    if errors.is_empty() { Ok(options.collect()) } else { Err(errors) }
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
