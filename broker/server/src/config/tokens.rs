//! Tokens: which signed tokens a configuration takes.

use std::path::PathBuf;
use std::time::Duration;

use auth::{
    Algorithm, ClaimRules, Encoding, JwksList, JwksSource, JwtKey, JwtOptions, KeySource, Secret, is_shared,
};

use model::name::ExchangeName;

use crate::config::origin::ConfigError;
use crate::config::settings::Section;

/// `None`: none, for there is no key.
///
/// # Errors
///
/// Every key that is not somewhere, or is two; and keys of others, if it is not said whose tokens are taken, and for whom.
pub(crate) fn tokens(
    settings: &Section,
    plain: &ExchangeName,
) -> Result<Option<JwtOptions>, Vec<ConfigError>> {
    let section = settings.section("auth").section("jwt");
    let mut errors = Vec::new();
    let mut keys = Vec::new();
    for one in section.sections("key") {
        match key(one) {
            Ok(key) => keys.push(key),
            Err((at, text)) => errors.push(ConfigError::new(&one.given(at).origin, text)),
        }
    }
    let mut lists = Vec::new();
    for one in section.sections("jwks") {
        match list(one) {
            Ok(list) => lists.push(list),
            Err((at, text)) => errors.push(ConfigError::new(&one.given(at).origin, text)),
        }
    }
    let claims = claims(section, plain);
    if keys.is_empty() && lists.is_empty() && errors.is_empty() {
        let said = ["issuer", "audience", "required"].map(|key| (key, !section.texts(key).is_empty()));
        let texts = ["cookie", "acl_claim", "vhost_claim"].map(|key| (key, section.text(key).is_some()));
        let said = said.into_iter().chain(texts);
        errors.extend(said.filter(|(_, is_said)| *is_said).map(|(key, _)| {
            let text = format!(
                "auth.jwt.{key} means nothing without a key: write [[auth.jwt.key]] or [[auth.jwt.jwks]]"
            );
            ConfigError::new(&section.given(key).origin, text)
        }));
        return if errors.is_empty() { Ok(None) } else { Err(errors) };
    }
    // Whoever signs with a key of his own signs for others, too.
    if !lists.is_empty() || keys.iter().any(|key| !is_shared(key.algorithm)) {
        for (key, list) in [("issuer", &claims.issuers), ("audience", &claims.audiences)] {
            if list.is_empty() {
                let text = format!(
                    "auth.jwt.{key} is needed where a key is not a shared secret: else a token that was signed for another \
                     service would be good here"
                );
                errors.push(ConfigError::new(&section.given(key).origin, text));
            }
        }
    }
    let cookie = section.text("cookie").map(str::to_owned);
    if errors.is_empty() { Ok(Some(JwtOptions { keys, lists, claims, cookie })) } else { Err(errors) }
}

fn claims(section: &Section, plain: &ExchangeName) -> ClaimRules {
    ClaimRules {
        issuers: section.texts("issuer").to_vec(),
        audiences: section.texts("audience").to_vec(),
        required: section.texts("required").to_vec(),
        user: section.word("user_claim").to_owned(),
        rules: section.text("acl_claim").map(|claim| (claim.to_owned(), plain.clone())),
        vhosts: section.text("vhost_claim").map(str::to_owned),
        leeway: Duration::from_secs(section.number("leeway")),
    }
}

fn key(section: &Section) -> Result<JwtKey, (&'static str, String)> {
    let algorithm = algorithm(section.word("algorithm"));
    let encoding = match section.word("encoding") {
        "base64" => Encoding::Base64,
        "hex" => Encoding::Hex,
        _ => Encoding::Text,
    };
    let mut given = SOURCES.into_iter().filter_map(|name| Some((name, section.text(name)?)));
    let (Some((name, text)), None) = (given.next(), given.next()) else {
        let text = format!("[[auth.jwt.key]] needs one of {}, and no two of them", SOURCES.join(", "));
        return Err(("algorithm", text));
    };
    if name.starts_with("secret") != is_shared(algorithm) {
        let word = section.word("algorithm");
        return Err((
            name,
            format!("auth.jwt.key.{name} is no key for {word}; take another algorithm, or key"),
        ));
    }
    let source = match name {
        "secret" => KeySource::Secret(Secret::new(text), encoding),
        "secret_file" => KeySource::SecretFile(PathBuf::from(text), encoding),
        "public_key" => KeySource::Public(text.to_owned()),
        _ => KeySource::PublicFile(PathBuf::from(text)),
    };
    Ok(JwtKey { id: section.text("id").map(str::to_owned), algorithm, source })
}

fn list(section: &Section) -> Result<JwksList, (&'static str, String)> {
    let algorithms = section.texts("algorithms").iter().map(|word| algorithm(word)).collect();
    let authorities = section.text("ca_file").map(PathBuf::from);
    let source = match (section.text("file"), section.text("url")) {
        (Some(_), None) if authorities.is_some() => {
            return Err(("ca_file", "auth.jwt.jwks.ca_file means nothing here; it is for url".to_owned()));
        }
        (Some(path), None) => JwksSource::File(PathBuf::from(path)),
        (None, Some(url)) => {
            let every = Duration::from_millis(section.number("refresh"));
            JwksSource::Url { url: url.to_owned(), authorities, every }
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(("algorithms", "[[auth.jwt.jwks]] needs file or url, one of them".to_owned()));
        }
    };
    Ok(JwksList { source, algorithms })
}

/// The schema has no word that is none.
fn algorithm(word: &str) -> Algorithm {
    word.parse().unwrap_or_default()
}

const SOURCES: [&str; 4] = ["secret", "secret_file", "public_key", "public_key_file"];

#[cfg(test)]
mod tests {
    use crate::arguments::ServeArgs;
    use crate::config::{Config, Surroundings};

    #[test]
    fn a_key_is_in_one_place_and_of_the_kind_of_its_algorithm() {
        let file = |name: &str| format!("{name} = \"f\"");
        for name in ["secret", "secret_file"] {
            accepted(&["HS256", &file(name)]);
            refused(&["RS256", &file(name)], "is no key for RS256");
        }
        for name in ["public_key", "public_key_file"] {
            refused(&["HS256", &file(name)], "is no key for HS256");
            refused(&["EdDSA", &file(name)], "auth.jwt.issuer is needed");
        }
        refused(&["HS256", ""], "needs one of secret, secret_file, public_key, public_key_file");
        refused(&["HS256", "secret = \"a\"\nsecret_file = \"b\""], "no two of them");
        refused(&["none", "secret = \"a\""], "\"HS256\"");
    }

    #[test]
    fn whose_tokens_are_taken_and_for_whom_is_said_unless_the_key_is_a_secret() {
        let key = "[[auth.jwt.key]]\nalgorithm = \"ES256\"\npublic_key_file = \"f\"\n";
        let list = "[[auth.jwt.jwks]]\nalgorithms = [\"ES256\"]\nfile = \"f\"\n";
        let (issuer, audience) = ("issuer = [\"us\"]\n", "audience = [\"chat\"]\n");
        for keys in [key, list] {
            check(&format!("[auth.jwt]\n{issuer}{audience}{keys}"), Ok(true));
            check(&format!("[auth.jwt]\n{issuer}{keys}"), Err("auth.jwt.audience is needed"));
            check(&format!("[auth.jwt]\n{audience}{keys}"), Err("auth.jwt.issuer is needed"));
        }
        check(&format!("[auth.jwt]\n{issuer}"), Err("auth.jwt.issuer means nothing without a key"));
        check("", Ok(false));
    }

    #[test]
    fn a_list_is_in_one_place() {
        let list = |more: &str| {
            format!(
                "[auth.jwt]\nissuer = [\"us\"]\naudience = [\"chat\"]\n[[auth.jwt.jwks]]\nalgorithms = [\"ES256\"]\n{more}"
            )
        };
        check(&list("url = \"https://a/\""), Ok(true));
        check(&list("url = \"https://a/\"\nca_file = \"f\"\nrefresh = \"1m\""), Ok(true));
        check(&list(""), Err("needs file or url"));
        check(&list("file = \"f\"\nurl = \"https://a/\""), Err("needs file or url"));
        check(&list("file = \"f\"\nca_file = \"f\""), Err("is for url"));
    }

    #[test]
    fn a_secret_is_shown_to_nobody() {
        let set = ["auth.jwt.key.0.algorithm=HS256", "auth.jwt.key.0.secret=s3cret"].map(str::to_owned);
        let arguments = ServeArgs { set: set.to_vec(), ..ServeArgs::default() };
        // An index names an element that is there, so the list begins in a file.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("duetmq.toml");
        std::fs::write(&file, "[[auth.jwt.key]]\nalgorithm = \"HS512\"\n").unwrap();
        let arguments = ServeArgs { config: Some(file.clone()), ..arguments };
        let config = Config::load(&arguments, &Surroundings::default()).unwrap();
        let shown = format!("{} {:?}", config.print(), config.tokens());
        assert!(shown.contains("secret = \"***\"") && shown.contains("[[auth.jwt.key]]"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
        std::fs::write(&file, "[[auth.jwt.key]]\nalgorithm = \"HS512\"\nsecret = 31337\n").unwrap();
        let arguments = ServeArgs { set: Vec::new(), ..arguments };
        let errors = Config::load(&arguments, &Surroundings::default()).unwrap_err();
        let shown = format!("{errors:?}");
        assert!(shown.contains("write it in quotes") && !shown.contains("31337"), "{shown}");
    }

    #[track_caller]
    fn accepted(key: &[&str; 2]) {
        check(&with(key), Ok(true));
    }

    #[track_caller]
    fn refused(key: &[&str; 2], why: &str) {
        check(&with(key), Err(why));
    }

    fn with([algorithm, rest]: &[&str; 2]) -> String {
        format!("[[auth.jwt.key]]\nalgorithm = \"{algorithm}\"\n{rest}\n")
    }

    /// Whether tokens are taken, or a part of why that cannot be.
    #[track_caller]
    fn check(text: &str, expected: Result<bool, &str>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("duetmq.toml");
        std::fs::write(&file, text).unwrap();
        let arguments = ServeArgs { config: Some(file), ..ServeArgs::default() };
        match (Config::load(&arguments, &Surroundings::default()), expected) {
            (Ok(config), Ok(taken)) => assert_eq!(config.tokens().is_some(), taken, "{text}"),
            (Err(errors), Err(why)) => {
                let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
                assert!(shown.join("\n").contains(why), "{why:?} in {shown:?}");
            }
            (found, _) => panic!("{text} gives {:?}", found.map(|config| config.print())),
        }
    }
}
