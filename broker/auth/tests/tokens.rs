//! Signed tokens, as whoever asks a guard sees them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests; clippy knows only the tests themselves"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth::{
    Algorithm, ClaimRules, Encoding, Guard, GuardError, JwksList, JwksSource, JwtKey, JwtOptions, KeySource,
    Options, Secret,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use bytestring::ByteString;
use model::access::{AccessControl, Step};
use model::name::{UserName, VhostName};
use model::principal::{Credentials, Handshake, Permissions, Principal, Proof};
use model::refusal::Refusal;
use serde_json::{Value, json};

use crate::issuer::Issuer;

#[path = "tokens/issuer.rs"]
mod issuer;
#[path = "tokens/remote.rs"]
mod remote;

const ALL: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

#[tokio::test]
async fn every_algorithm_is_for_its_own_key_and_no_other() {
    let issuers: Vec<Issuer> = ALL.into_iter().map(Issuer::new).collect();
    for ours in &issuers {
        let guard = guard(vec![ours.key(None)]);
        for theirs in &issuers {
            let found = user(&guard, &theirs.token(&alice(), None)).await;
            if ours.algorithm == theirs.algorithm {
                assert_eq!(found, Ok("alice".to_owned()), "{:?}", ours.algorithm);
            } else {
                refused(found, "no key of auth.jwt");
            }
        }
        // The same algorithm with somebody else's key.
        let stranger = Issuer::new(ours.algorithm);
        refused(user(&guard, &stranger.token(&alice(), None)).await, "its signature is wrong");
    }
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    // Who knows the public key, and that is everybody, signs with it as if it were a secret, and says HS256.
    let issuer = Issuer::new(Algorithm::RS256);
    let KeySource::Public(pem) = issuer.key(None).source else { panic!("a public key") };
    let guard = guard(vec![issuer.key(None)]);
    for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), &issuer.public_der()] {
        let forged = issuer::sign_with_secret(Algorithm::HS256, secret, &alice());
        refused(user(&guard, &forged).await, "no key of auth.jwt");
    }
    // Both kinds of key may be there: each stays what it is.
    let shared = Issuer::new(Algorithm::HS256);
    let guard = self::guard(vec![issuer.key(Some("k")), shared.key(Some("k"))]);
    let forged = issuer::sign_with_secret(Algorithm::HS256, pem.as_bytes(), &alice());
    refused(user(&guard, &forged).await, "its signature is wrong");
    assert_eq!(user(&guard, &issuer.token(&alice(), Some("k"))).await, Ok("alice".to_owned()));
    assert_eq!(user(&guard, &shared.token(&alice(), Some("k"))).await, Ok("alice".to_owned()));
}

#[tokio::test]
async fn without_a_signature_nothing_is_believed() {
    let issuer = Issuer::new(Algorithm::HS256);
    let guard = guard(vec![issuer.key(None)]);
    let good = issuer.token(&alice(), None);
    let parts: Vec<&str> = good.split('.').collect();
    let [head, claims, signature] = parts[..] else { panic!("three parts") };
    let header = |text: &str| URL_SAFE_NO_PAD.encode(text);
    for algorithm in ["none", "None", "NONE", "nOnE", "", "hs256", "HS1", "ES512"] {
        let head = header(&format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#));
        for end in ["", signature] {
            refused(user(&guard, &format!("{head}.{claims}.{end}")).await, "no signed token");
        }
    }
    let bob = header(&json!({"sub": "bob", "exp": later()}).to_string());
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    for (token, why) in [
        (format!("{head}.{bob}.{signature}"), "signature"),
        (format!("{head}.{claims}."), "signature"),
        (format!("{head}.{claims}.{flipped}{}", &signature[1..]), "signature"),
        (format!("{head}.{claims}"), "no signed token"),
        (format!("{good}.{signature}"), "no signed token"),
        (format!("{head}..{signature}"), "signature"),
        (format!("!!.{claims}.{signature}"), "no signed token"),
        (format!("{}.{claims}.{signature}", header(r#"{"alg":"HS256","alg":"none"}"#)), "no signed token"),
        (format!("{}.{claims}.{signature}", header(r#"{"alg":"HS256","crit":["exp"]}"#)), "crit"),
        (format!("{}.{claims}.{signature}", header(r#"{"typ":"JWT"}"#)), "no signed token"),
        ("..".to_owned(), "no signed token"),
        (String::new(), "no signed token"),
        ("x".repeat(17 << 10), "16 KiB"),
        (format!("{head}.{}.{signature}", "A".repeat(16 << 10)), "16 KiB"),
    ] {
        refused(user(&guard, &token).await, why);
    }
}

#[tokio::test]
async fn no_byte_of_a_token_can_be_another() {
    for algorithm in [Algorithm::HS256, Algorithm::ES256, Algorithm::EdDSA] {
        let issuer = Issuer::new(algorithm);
        let guard = guard(vec![issuer.key(None)]);
        let good = issuer.token(&alice(), Some("k"));
        assert!(user(&guard, &good).await.is_ok());
        for at in 0..good.len() {
            for other in [b'A', b'B', b'_', b'.', b'=', b' ', good.as_bytes()[at] ^ 1] {
                let mut bytes = good.clone().into_bytes();
                if bytes[at] != other {
                    bytes[at] = other;
                    let changed = String::from_utf8(bytes).unwrap();
                    let found = user(&guard, &changed).await;
                    assert!(matches!(found, Err(Refusal::BadToken(_))), "{changed} gives {found:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_brings_no_key_along() {
    let (ours, theirs) = (Issuer::new(Algorithm::RS256), Issuer::new(Algorithm::RS256));
    let guard = guard(vec![ours.key(None)]);
    let (jwk, url) = (theirs.jwk(None), "http://127.0.0.1:9/");
    for more in [json!({"jwk": jwk}), json!({"jku": url}), json!({"x5u": url})] {
        refused(user(&guard, &theirs.token_with(&alice(), more)).await, "its signature is wrong");
    }
}

#[tokio::test]
async fn a_key_with_an_id_is_for_tokens_that_name_it_or_none() {
    let (one, two) = (Issuer::new(Algorithm::ES256), Issuer::new(Algorithm::ES256));
    let guard = guard(vec![one.key(Some("one")), two.key(Some("two"))]);
    for (issuer, kid) in [(&one, Some("one")), (&two, Some("two")), (&one, None), (&two, None)] {
        assert_eq!(user(&guard, &issuer.token(&alice(), kid)).await, Ok("alice".to_owned()), "{kid:?}");
    }
    refused(user(&guard, &one.token(&alice(), Some("two"))).await, "its signature is wrong");
    refused(user(&guard, &one.token(&alice(), Some("three"))).await, "no key of auth.jwt");
    // A key without one is for all.
    let guard = self::guard(vec![one.key(None)]);
    assert_eq!(user(&guard, &one.token(&alice(), Some("three"))).await, Ok("alice".to_owned()));
}

#[tokio::test]
async fn what_a_token_says_is_what_it_must_say() {
    let rules = ClaimRules {
        issuers: vec!["us".into(), "them".into()],
        audiences: vec!["chat".into(), "game".into()],
        required: vec!["room".into()],
        ..rules()
    };
    let good = json!({"sub": "alice", "exp": later(), "iss": "us", "aud": "chat", "room": 5});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    for fine in [
        good.clone(),
        with("iss", json!("them")),
        with("aud", json!(["other", "game"])),
        with("room", json!(false)),
        with("nbf", json!(now_s() - 5)),
        with("iat", json!(now_s() as f64 + 0.5)),
        with("exp", json!(later() as f64 + 0.5)),
    ] {
        assert_eq!(judged(&rules, &fine).await, Ok("alice".to_owned()), "{fine}");
    }
    for (claims, why) in [
        (without("exp"), "no exp"),
        (with("exp", json!("9999999999")), "no number"),
        (with("exp", json!(-1)), "no number"),
        (with("exp", json!(1e300)), "no number"),
        (with("exp", Value::Null), "no number"),
        (with("nbf", json!("0")), "no number"),
        (with("iat", json!({})), "no number"),
        (with("nbf", json!(now_s() + 120)), "nbf has not come"),
        (without("iss"), "iss"),
        (with("iss", json!("else")), "iss"),
        (with("iss", json!(["us"])), "iss"),
        (without("aud"), "aud"),
        (with("aud", json!("else")), "aud"),
        (with("aud", json!(["else"])), "aud"),
        (with("aud", json!([])), "aud"),
        (with("aud", json!({"chat": true})), "aud"),
        (without("room"), "auth.jwt.required"),
        (with("room", Value::Null), "auth.jwt.required"),
        (without("sub"), "names no user"),
        (with("sub", json!("")), "names no user"),
        (with("sub", json!("a\u{7}b")), "names no user"),
        (with("sub", json!(-5)), "names no user"),
        (with("sub", json!(["alice"])), "no JSON object of claims"),
        (with("sub", json!("x".repeat(1025))), "names no user"),
        (json!([]), "no JSON object of claims"),
    ] {
        refused(judged(&rules, &claims).await, why);
    }
    let other = ClaimRules { user: "member".into(), ..self::rules() };
    let claims = json!({"sub": "alice", "member": 42, "exp": later()});
    assert_eq!(judged(&other, &claims).await, Ok("42".to_owned()));
    // Where nobody is named, what is for somebody is for somebody else.
    let claims = json!({"sub": "alice", "exp": later(), "aud": "somebody"});
    refused(judged(&self::rules(), &claims).await, "for somebody else");
}

#[tokio::test]
async fn a_token_says_in_which_vhosts_it_is_good_or_nothing_of_that() {
    let issuer = Issuer::new(Algorithm::HS256);
    let claim = ClaimRules { vhosts: Some("tenant".into()), ..rules() };
    let (asked, unasked) = (with_rules(&issuer, claim), with_rules(&issuer, rules()));
    let token = |vhosts: Option<Value>| {
        let mut claims = alice();
        if let Some(vhosts) = vhosts {
            claims["tenant"] = vhosts;
        }
        issuer.token(&claims, None)
    };
    for (vhosts, expected) in [
        (None, None),
        (Some(json!("a")), Some(vec!["a"])),
        (Some(json!(["b", "/", "a"])), Some(vec!["b", "/", "a"])),
    ] {
        let token = token(vhosts);
        let (_, permissions) = enter(&asked, &token).await.unwrap();
        let found = permissions.vhosts().map(|all| all.iter().map(VhostName::as_str).collect::<Vec<_>>());
        assert_eq!(found, expected);
        assert!(permissions.term().is_some());
        // Where the configuration names no such claim, it is one of many.
        assert_eq!(enter(&unasked, &token).await.unwrap().1.vhosts(), None);
    }
    let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    for wrong in [
        json!(""),
        json!("*"),
        json!([]),
        json!(["a", "*"]),
        json!(["a", 5]),
        json!(5),
        json!(true),
        json!({"a": true}),
        Value::Null,
        json!("x".repeat(65)),
        json!(many),
    ] {
        refused(user(&asked, &token(Some(wrong))).await, "auth.jwt.vhost_claim");
    }
}

#[tokio::test]
async fn what_has_expired_says_when_and_clocks_may_differ() {
    let at = now_s() - 10;
    let claims = json!({"sub": "alice", "exp": at});
    let issuer = Issuer::new(Algorithm::HS256);
    let strict = with_rules(&issuer, ClaimRules { leeway: Duration::ZERO, ..rules() });
    let refusal = enter(&strict, &issuer.token(&claims, None)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Expired { at: found } if found.0 == at * 1000), "{refusal:?}");
    let lenient = with_rules(&issuer, ClaimRules { leeway: Duration::from_secs(600), ..rules() });
    let (principal, permissions) = enter(&lenient, &issuer.token(&claims, None)).await.unwrap();
    assert_eq!(principal.user, Some(UserName::new("alice")));
    let term = permissions.term().unwrap();
    assert_eq!((term.expires_at.0, term.until.0), (at * 1000, (at + 600) * 1000));
    // Nobody hears that of a token that would not be good at any time.
    let wrong = json!({"sub": "alice", "exp": at, "aud": "else"});
    refused(user(&strict, &issuer.token(&wrong, None)).await, "aud");
}

#[tokio::test]
async fn a_token_is_found_wherever_it_is_shown_and_stands_alone() {
    let issuer = Issuer::new(Algorithm::HS256);
    let (token, bad) = (issuer.token(&alice(), None), Issuer::new(Algorithm::HS256).token(&alice(), None));
    let jwt = JwtOptions { cookie: Some("session".into()), ..options(vec![issuer.key(None)]) };
    let guard = Guard::new(Options { jwt: Some(jwt), ..Options::default() }).unwrap();
    let header = |name: &'static str, value: String| Handshake {
        headers: vec![(ByteString::from_static(name), Bytes::from(value))],
        ..Handshake::default()
    };
    let by_header = |token: &str| header("authorization", format!("Bearer {token}"));
    let by_cookie = |token: &str| header("cookie", format!("a=b; session={token}"));
    let password = |user: &str, text: &str| Credentials {
        user: Some(user.into()),
        password: Some(Bytes::copy_from_slice(text.as_bytes())),
        ..Credentials::default()
    };
    let of =
        |handshake: Handshake| Credentials { handshake: Some(handshake.into()), ..Credentials::default() };
    let own = |token: &str| Credentials { token: Some(token.into()), ..Credentials::default() };
    for shown in [
        own(&token),
        password("anybody", &token),
        password("", &token),
        Credentials { password: Some(token.clone().into()), ..Credentials::default() },
        of(by_header(&token)),
        of(by_cookie(&token)),
        // The nearest one counts, whatever else is there.
        Credentials { token: Some(token.as_str().into()), ..password("guest", "guest") },
        Credentials { token: Some(token.as_str().into()), ..password("x", &bad) },
        Credentials { handshake: Some(by_header(&bad).into()), ..password("x", &token) },
    ] {
        let (principal, permissions) = guard.admit(&shown).await.unwrap();
        assert_eq!(principal.user, Some(UserName::new("alice")), "{shown:?}");
        assert!(permissions.term().is_some());
    }
    // A wrong one is no way in, not even where nobody needs one: this is a loopback address.
    for shown in [
        own(&bad),
        own("x"),
        Credentials { token: Some(bad.as_str().into()), ..password("guest", "guest") },
        password("guest", &bad),
        of(by_header(&bad)),
        of(by_cookie("x")),
    ] {
        let refusal = guard.admit(&shown).await.unwrap_err();
        assert!(matches!(refusal, Refusal::BadToken(_)), "{shown:?} {refusal:?}");
    }
    // Whoever says who he is by a password is not somebody else for the cookies of his browser.
    let shown = Credentials { handshake: Some(by_cookie(&token).into()), ..password("guest", "guest") };
    assert_eq!(guard.admit(&shown).await.unwrap().0.user, Some(UserName::new("guest")));
    assert!(guard.admit(&Credentials::default()).await.unwrap().0.user.is_none());
    // Without keys no token is looked at.
    let guard = Guard::new(Options::default()).unwrap();
    assert!(guard.admit(&own(&bad)).await.unwrap().0.user.is_none());
    assert!(matches!(guard.admit(&password("guest", &token)).await, Err(Refusal::BadCredentials(_))));
}

#[tokio::test]
async fn auth_takes_a_token_in_one_step() {
    let issuer = Issuer::new(Algorithm::EdDSA);
    let guard = guard(vec![issuer.key(None)]);
    let with = |method: &'static str| Credentials {
        proof: Some(Proof { method: method.into(), data: None }),
        ..Credentials::default()
    };
    let token = Bytes::from(issuer.token(&alice(), None));
    for method in ["JWT", "OAUTH2-JWT"] {
        let mut exchange = guard.begin(method, &with(method)).unwrap();
        let step = exchange.step(Some(&token)).await.unwrap();
        let Step::Proven { principal, permissions, .. } = step else { panic!("{step:?}") };
        assert_eq!(principal.user, Some(UserName::new("alice")));
        assert!(permissions.term().is_some());
        for bad in [None, Some(&b"\xFF"[..]), Some(b""), Some(b"x")] {
            let mut exchange = guard.begin(method, &with(method)).unwrap();
            assert!(matches!(exchange.step(bad).await, Err(Refusal::BadToken(_))), "{bad:?}");
        }
    }
    assert!(guard.begin("SCRAM-SHA-256", &Credentials::default()).is_ok());
    let refusal = guard.begin("jwt", &Credentials::default()).err().unwrap().to_string();
    assert!(refusal.contains("SCRAM-SHA-256, JWT"), "{refusal}");
    let without = Guard::new(Options::default()).unwrap();
    assert!(matches!(without.begin("JWT", &Credentials::default()), Err(Refusal::NoMethod { .. })));
}

#[tokio::test]
async fn a_list_of_keys_has_each_for_its_algorithm_and_no_secret() {
    let (rsa, ec) = (Issuer::new(Algorithm::RS256), Issuer::new(Algorithm::ES256));
    let (ed, secret) = (Issuer::new(Algorithm::EdDSA), Issuer::new(Algorithm::HS256));
    let mut for_encryption = rsa.jwk(Some("encryption"));
    for_encryption["use"] = json!("enc");
    let unnamed = issuer::without_algorithm(ec.jwk(Some("unnamed")));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let (shared, new) = (secret.jwk(Some("shared")), json!({"kty": "new"}));
    let keys = [rsa.jwk(Some("rsa")), unnamed, ed.jwk(Some("ed")), shared, for_encryption, new];
    write(&path, &json!({"keys": keys}).to_string());
    let guard = of_list(&path, &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]).unwrap();
    for (issuer, kid) in [(&rsa, "rsa"), (&ec, "unnamed"), (&ed, "ed")] {
        assert_eq!(user(&guard, &issuer.token(&alice(), Some(kid))).await, Ok("alice".to_owned()), "{kid}");
    }
    for (issuer, kid) in [(&secret, "shared"), (&rsa, "encryption"), (&rsa, "other")] {
        refused(user(&guard, &issuer.token(&alice(), Some(kid))).await, "no key of auth.jwt");
    }
    // What is not asked for is not taken, and of several nothing is guessed.
    let guard = of_list(&path, &[Algorithm::ES256, Algorithm::RS512]).unwrap();
    refused(user(&guard, &rsa.token(&alice(), Some("rsa"))).await, "no key of auth.jwt");
    let either = issuer::without_algorithm(rsa.jwk(Some("either")));
    write(&path, &json!({"keys": [either, ec.jwk(None)]}).to_string());
    let guard = of_list(&path, &[Algorithm::ES256, Algorithm::RS256, Algorithm::RS512]).unwrap();
    refused(user(&guard, &rsa.token(&alice(), Some("either"))).await, "no key of auth.jwt");
}

#[tokio::test]
async fn keys_are_changed_while_all_goes_on_and_never_for_worse() {
    let (old, new) = (Issuer::new(Algorithm::ES256), Issuer::new(Algorithm::ES256));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    write(&path, &json!({"keys": [old.jwk(Some("old"))]}).to_string());
    let guard = of_list(&path, &[Algorithm::ES256]).unwrap();
    let (by_old, by_new) = (old.token(&alice(), Some("old")), new.token(&alice(), Some("new")));
    assert!(guard.refresh_keys().is_none());
    refused(user(&guard, &by_new).await, "no key of auth.jwt");
    write(&path, &json!({"keys": [old.jwk(Some("old")), new.jwk(Some("new"))]}).to_string());
    assert!(matches!(guard.refresh_keys(), Some(Ok(()))));
    assert!(user(&guard, &by_old).await.is_ok() && user(&guard, &by_new).await.is_ok());
    for (length, broken) in ["", "{}", "{\"keys\": []}", "{\"keys\": [{}]}", "[]"].into_iter().enumerate() {
        write(&path, &format!("{broken}{}", " ".repeat(20 * length)));
        let error = guard.refresh_keys().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("auth.jwt.jwks.0: ") && error.contains("keys.json"), "{error}");
        assert!(guard.refresh_keys().is_none(), "told once");
        assert!(user(&guard, &by_old).await.is_ok(), "{broken}");
    }
    write(&path, &json!({"keys": [new.jwk(Some("new"))]}).to_string());
    assert!(matches!(guard.refresh_keys(), Some(Ok(()))));
    refused(user(&guard, &by_old).await, "no key of auth.jwt");
    assert!(user(&guard, &by_new).await.is_ok());
}

#[tokio::test]
async fn a_key_that_cannot_be_trusted_is_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let fault = |algorithm: Algorithm, source: KeySource| {
        let jwt = Some(options(vec![JwtKey { id: None, algorithm, source }]));
        let guard = Guard::new(Options { jwt, ..Options::default() });
        guard.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let check = |algorithm: Algorithm, source: KeySource, why: &str| {
        let error = fault(algorithm, source);
        assert!(error.starts_with("auth.jwt.key.0: ") && error.contains(why), "{why:?} in {error:?}");
    };
    let secret = |text: &str| KeySource::Secret(Secret::new(text), Encoding::Text);
    check(Algorithm::HS256, secret(&"x".repeat(31)), "31 bytes; HS256 needs at least 32");
    check(Algorithm::HS384, secret(&"x".repeat(47)), "at least 48");
    check(Algorithm::HS512, secret(&"x".repeat(63)), "at least 64");
    check(Algorithm::HS256, KeySource::Secret(Secret::new("#"), Encoding::Base64), "not Base64");
    check(Algorithm::HS256, KeySource::Secret(Secret::new("abc"), Encoding::Hex), "hexadecimal");
    write(&path, &"x".repeat(32));
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        check(Algorithm::HS256, KeySource::SecretFile(path.clone(), Encoding::Text), "chmod 600");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(fault(Algorithm::HS256, KeySource::SecretFile(path.clone(), Encoding::Text)), "");
    check(Algorithm::RS256, KeySource::PublicFile(folder.path().join("none")), "none");
    check(Algorithm::RS256, KeySource::Public("x".into()), "not a key of that kind");
    check(Algorithm::RS256, KeySource::Public(Issuer::new(Algorithm::RS256).private_pem()), "private key");
    for (ours, theirs, why) in [
        (Algorithm::RS256, Algorithm::ES256, "not a key of that kind"),
        (Algorithm::ES256, Algorithm::EdDSA, "not a key of that kind"),
        (Algorithm::ES256, Algorithm::ES384, "P-256"),
        (Algorithm::ES384, Algorithm::ES256, "P-384"),
        (Algorithm::EdDSA, Algorithm::RS256, "not a key of that kind"),
    ] {
        check(ours, Issuer::new(theirs).key(None).source, why);
    }
    // Whatever is wrong with it, it is not printed.
    let key = JwtKey { id: None, algorithm: Algorithm::HS256, source: secret("s3cret") };
    let shown = format!("{:?}", options(vec![key]));
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn a_secret_may_be_written_down_in_several_ways() {
    let bytes: Vec<u8> = (200..=255).collect();
    let token = issuer::sign_with_secret(Algorithm::HS256, &bytes, &alice());
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    for (text, encoding) in [
        (STANDARD.encode(&bytes), Encoding::Base64),
        (URL_SAFE_NO_PAD.encode(&bytes), Encoding::Base64),
        (hex.clone(), Encoding::Hex),
        (hex.to_uppercase(), Encoding::Hex),
    ] {
        write(&path, &format!("{text}\n"));
        let sources =
            [KeySource::Secret(Secret::new(&text), encoding), KeySource::SecretFile(path.clone(), encoding)];
        for source in sources {
            let guard = guard(vec![JwtKey { id: None, algorithm: Algorithm::HS256, source }]);
            assert_eq!(user(&guard, &token).await, Ok("alice".to_owned()), "{text}");
        }
    }
}

fn alice() -> Value {
    json!({"sub": "alice", "exp": later()})
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn later() -> u64 {
    now_s() + 3600
}

fn rules() -> ClaimRules {
    ClaimRules {
        rules: None,
        vhosts: None,
        issuers: Vec::new(),
        audiences: Vec::new(),
        required: Vec::new(),
        user: "sub".into(),
        leeway: Duration::from_secs(30),
    }
}

fn options(keys: Vec<JwtKey>) -> JwtOptions {
    JwtOptions { keys, lists: Vec::new(), claims: rules(), cookie: None }
}

fn guard(keys: Vec<JwtKey>) -> Guard {
    Guard::new(Options { jwt: Some(options(keys)), ..Options::default() }).unwrap()
}

fn with_rules(issuer: &Issuer, claims: ClaimRules) -> Guard {
    let jwt = JwtOptions { claims, ..options(vec![issuer.key(None)]) };
    Guard::new(Options { jwt: Some(jwt), ..Options::default() }).unwrap()
}

fn of_list(path: &Path, algorithms: &[Algorithm]) -> Result<Guard, GuardError> {
    let lists = vec![JwksList { source: JwksSource::File(path.to_owned()), algorithms: algorithms.to_vec() }];
    Guard::new(Options { jwt: Some(JwtOptions { lists, ..options(Vec::new()) }), ..Options::default() })
}

/// A file that only its owner may read, and that is seen to be another one.
fn write(path: &Path, text: &str) {
    let _ = fs::remove_file(path);
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

async fn enter(guard: &Guard, token: &str) -> Result<(Principal, Permissions), Refusal> {
    guard.admit(&Credentials { token: Some(token.into()), ..Credentials::default() }).await
}

async fn user(guard: &Guard, token: &str) -> Result<String, Refusal> {
    enter(guard, token).await.map(|(principal, _)| principal.user.unwrap().to_string())
}

async fn judged(rules: &ClaimRules, claims: &Value) -> Result<String, Refusal> {
    let issuer = Issuer::new(Algorithm::HS256);
    user(&with_rules(&issuer, rules.clone()), &issuer.token(claims, None)).await
}

#[track_caller]
fn refused(found: Result<String, Refusal>, why: &str) {
    match found {
        Err(Refusal::BadToken(text)) => assert!(text.contains(why), "{why:?} in {text:?}"),
        other => panic!("{why:?}, but {other:?}"),
    }
}
