//! Who is let in, and by what.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use bytestring::ByteString;
use model::key::RoutingKey;
use model::name::ExchangeName;
use model::rights::RuleName;
use transport::files;

use super::*;
use crate::rules::{NOT_AUTHORIZED, Whom};
use crate::verifier::{ITERATIONS_MIN, Verifier};

const LOCAL: [Option<&str>; 5] =
    [None, Some("127.0.0.1"), Some("127.8.9.10"), Some("::1"), Some("::ffff:127.0.0.1")];
const REMOTE: [Option<&str>; 4] =
    [Some("10.0.0.5"), Some("::ffff:10.0.0.5"), Some("2001:db8::1"), Some("0.0.0.0")];

#[test]
fn no_user_name_is_welcome_from_this_machine_alone_by_default() {
    let options = Options::default();
    for address in LOCAL {
        check(&options, None, address, Ok(None));
        check(&options, Some(("", "")), address, Ok(None));
    }
    for address in REMOTE {
        check(&options, None, address, Err("a user name is needed"));
        check(&options, Some(("", "")), address, Err("a user name is needed"));
    }
}

#[test]
fn anonymous_always_is_always_and_never_is_never() {
    for address in LOCAL.into_iter().chain(REMOTE) {
        let always = Options { anonymous: Anonymous::Always, ..Options::default() };
        check(&always, None, address, Ok(None));
        let never = Options { anonymous: Anonymous::Never, ..Options::default() };
        check(&never, None, address, Err("a user name is needed"));
        check(&never, Some(("", "")), address, Err("a user name is needed"));
    }
}

#[test]
fn guest_may_enter_from_this_machine_alone() {
    let options = Options::default();
    for address in LOCAL {
        check(&options, Some(("guest", "guest")), address, Ok(Some("guest")));
        check(
            &Options { guest_loopback: false, ..options.clone() },
            Some(("guest", "guest")),
            address,
            Err("guest"),
        );
    }
    for address in REMOTE {
        check(&options, Some(("guest", "guest")), address, Err("guest is let in from this machine alone"));
    }
}

#[test]
fn nobody_else_is_let_in_even_where_anonymous_clients_are() {
    let options = Options { anonymous: Anonymous::Always, ..Options::default() };
    let pairs = [
        ("guest", ""),
        ("guest", "guestguest"),
        ("guest", "guesu"),
        ("guestguest", "guest"),
        ("gues", "guest"),
        ("", "guest"),
        ("admin", "admin"),
        ("alice", ""),
    ];
    for pair in pairs {
        check(&options, Some(pair), Some("127.0.0.1"), Err("wrong user name or password"));
    }
}

#[test]
fn a_user_name_without_a_password_is_not_anonymous() {
    let credentials = Credentials { user: Some(ByteString::from_static("guest")), ..Credentials::default() };
    let guard = Guard::new(Options::default()).expect("random bytes");
    assert!(matches!(guard.judge(&credentials, &guard.users()), Some(Err(_))));
}

#[tokio::test]
async fn users_of_the_file_come_from_anywhere_and_nobody_else_does() {
    let place = Place::new(&["alice"]);
    let guard = place.guard(true);
    for address in [Some("127.0.0.1"), Some("10.0.0.5")] {
        // Twice: the second time it is known.
        for _ in 0..2 {
            assert_eq!(place.enters(&guard, "alice", "alice!", address).await, Ok(Some("alice".to_owned())));
        }
        for (user, password) in [("alice", "alice"), ("alice", ""), ("bob", "alice!"), ("a\u{7}", "x")] {
            let refused = place.enters(&guard, user, password, address).await;
            assert_eq!(refused, Err(WRONG), "{user} {password}");
        }
    }
    assert_eq!(place.enters(&guard, "guest", "guest", None).await, Ok(Some("guest".to_owned())));
    assert!(place.enters(&guard, "guest", "guest", Some("10.0.0.5")).await.is_err());
    assert!(place.enters(&place.guard(false), "guest", "guest", None).await.is_err());
}

#[tokio::test]
async fn a_guest_of_the_file_has_the_password_of_the_file() {
    let place = Place::new(&["guest"]);
    let guard = place.guard(true);
    assert_eq!(place.enters(&guard, "guest", "guest", None).await, Err(WRONG));
    let remote = place.enters(&guard, "guest", "guest!", Some("10.0.0.5")).await;
    assert_eq!(remote, Ok(Some("guest".to_owned())));
}

#[tokio::test]
async fn a_file_that_changes_is_read_again_and_one_that_breaks_is_not() {
    let place = Place::new(&["alice"]);
    let guard = place.guard(true);
    assert!(place.enters(&guard, "alice", "alice!", None).await.is_ok());
    assert!(guard.refresh().is_none());
    place.write(&["bob"]);
    assert!(matches!(guard.refresh(), Some(Ok(()))));
    assert!(place.enters(&guard, "bob", "bob!", None).await.is_ok());
    assert_eq!(place.enters(&guard, "alice", "alice!", None).await, Err(WRONG), "not even from memory");
    std::fs::write(place.path(), "half a li").unwrap();
    assert!(matches!(guard.refresh(), Some(Err(GuardError::File(FileError::Line { .. })))));
    assert!(guard.refresh().is_none(), "told once");
    std::fs::remove_file(place.path()).unwrap();
    assert!(matches!(
        guard.refresh(),
        Some(Err(GuardError::File(FileError::File(files::FileError::Io { .. }))))
    ));
    assert!(place.enters(&guard, "bob", "bob!", None).await.is_ok());
}

#[test]
fn without_its_file_there_is_no_guard() {
    let place = Place::new(&[]);
    std::fs::remove_file(place.path()).unwrap();
    let options = Options { file: Some(place.path()), ..Options::default() };
    let error = Guard::new(options).err().map(|error| error.to_string()).unwrap();
    assert!(error.starts_with("auth.file.path: ") && error.contains("passwd"), "{error}");
}

#[test]
fn an_author_is_judged_by_the_rules_of_now_and_by_how_he_came_in() {
    let place = Place::new(&["alice"]);
    let listed = |allows: bool, words: &str| {
        let actions = words.split(' ').filter_map(Action::parse).collect();
        let name = RuleName::At(words.into());
        Rule { allows, actions, places: Vec::new(), whom: Whom::default(), name, code: NOT_AUTHORIZED }
    };
    let guard = |rules: &[Rule], default_allows| {
        let rules = Rules { listed: rules.into(), default_allows, ..Rules::default() };
        Guard::new(Options { file: Some(place.path()), rules, ..Options::default() }).unwrap()
    };
    let may = |guard: &Guard, user: &str, footing| {
        let author = Author { user: Some(UserName::new(user)), client: None, footing };
        let permissions = guard.permissions_of_author(&author, None).ok()?.unwrap();
        let key = RoutingKey::from("a");
        Some(permissions.keep_from(Action::Publish, &ExchangeName::TOPIC, &key).is_none())
    };
    use Footing::{Password, Token, TokenWithRules, Unlisted};
    let every = [None, Some(Password), Some(Token), Some(TokenWithRules), Some(Unlisted)];
    let open = guard(&[], true);
    assert_eq!(every.map(|footing| may(&open, "alice", footing)), [Some(true); 5]);
    // Whoever had a password and has none now is gone; the others never were listed.
    let expected = [None, None, Some(true), Some(true), Some(true)];
    assert_eq!(every.map(|footing| may(&open, "bob", footing)), expected);
    // What nobody allows: he had it from his token, where that brought rules along.
    let closed = guard(&[listed(true, "connect")], false);
    let expected = [Some(false), Some(false), Some(false), Some(true), Some(false)];
    assert_eq!(every.map(|footing| may(&closed, "alice", footing)), expected);
    let denied = guard(&[listed(true, "connect"), listed(false, "publish")], false);
    assert_eq!(every.map(|footing| may(&denied, "alice", footing)), [Some(false); 5]);
    let shut = guard(&[listed(false, "connect")], true);
    assert_eq!(every.map(|footing| may(&shut, "alice", footing)), [None; 5]);
}

#[tokio::test]
async fn on_what_footing_somebody_came_in_is_known() {
    let place = Place::new(&["alice"]);
    let guard = place.guard(true);
    for (user, footing) in [("alice", Footing::Password), ("guest", Footing::Unlisted)] {
        let password = if user == "guest" { "guest".to_owned() } else { format!("{user}!") };
        let credentials = Credentials {
            user: Some(user.into()),
            password: Some(Bytes::from(password)),
            ..Credentials::default()
        };
        let (_, permissions) = guard.admit(&credentials).await.unwrap();
        assert_eq!(guard.footing(&permissions), Some(footing), "{user}");
    }
    assert_eq!(guard.footing(&Permissions::everything()), None);
}

#[test]
fn one_method_is_offered() {
    let guard = Guard::new(Options::default()).expect("random bytes");
    assert!(guard.begin("SCRAM-SHA-256", &Credentials::default()).is_ok());
    for method in ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256", "PLAIN", ""] {
        let refused = guard.begin(method, &Credentials::default()).err();
        assert!(matches!(refused, Some(Refusal::NoMethod { .. })), "{method}");
    }
}

/// Not by a clock, which a busy machine shakes: by the iterations that were done until the answer was there.
#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_the_same_work() {
    let place = Place::new(&["alice"]);
    let guard = place.guard(true);
    let work = || guard.hasher.work.swap(0, Ordering::SeqCst);
    for address in [Some("127.0.0.1"), Some("10.0.0.5")] {
        for (user, password) in [
            ("alice", "wrong"),
            ("alice", ""),
            ("nobody", "wrong"),
            ("nobody", "alice!"),
            ("nobody", ""),
            ("guest", "wrong"),
            // Such a name nobody can have.
            ("a\u{7}", "wrong"),
        ] {
            // Also the second time: that a password was wrong is not remembered.
            for _ in 0..2 {
                assert_eq!(place.enters(&guard, user, password, address).await, Err(WRONG), "{user}");
                assert_eq!(work(), u64::from(ITERATIONS_MIN), "{user:?} {password:?} {address:?}");
            }
        }
    }
    // It is counted: what was right before is known without it.
    for expected in [u64::from(ITERATIONS_MIN), 0] {
        assert!(place.enters(&guard, "alice", "alice!", None).await.is_ok());
        assert_eq!(work(), expected);
    }
}

/// A password file; the password of each user is his name with an exclamation mark.
struct Place(tempfile::TempDir);

impl Place {
    fn new(users: &[&str]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write(users);
        place
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("passwd")
    }

    fn write(&self, users: &[&str]) {
        use std::os::unix::fs::PermissionsExt;
        let line = |user: &&str| {
            let verifier = Verifier::new(format!("{user}!").as_bytes(), b"saltsalt", ITERATIONS_MIN);
            format!("{user}:{verifier}\n")
        };
        let new = self.0.path().join("new");
        std::fs::write(&new, users.iter().map(line).collect::<String>()).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&new, self.path()).unwrap();
    }

    fn guard(&self, guest_loopback: bool) -> Guard {
        let file = Some(self.path());
        Guard::new(Options { guest_loopback, file, ..Options::default() }).unwrap()
    }

    async fn enters(
        &self,
        guard: &Guard,
        user: &str,
        password: &str,
        address: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        let credentials = Credentials {
            user: Some(user.into()),
            password: Some(Bytes::copy_from_slice(password.as_bytes())),
            address: address.map(|text| text.parse().unwrap()),
            ..Credentials::default()
        };
        let admitted = guard.admit(&credentials).await;
        admitted.map(|(principal, _)| principal.user.map(|user| user.to_string()))
    }
}

#[tokio::test]
async fn a_certificate_says_who_it_is_unless_the_client_says_more() {
    let guard = Guard::new(Options { anonymous: Anonymous::Never, ..Options::default() }).unwrap();
    for (user, password, expected) in [
        (None, None, Ok("device-7")),
        (Some(""), Some(""), Ok("device-7")),
        (Some("device-7"), None, Ok("device-7")),
        (Some("device-7"), Some(""), Ok("device-7")),
        (Some("device-8"), None, Err("not that of the certificate")),
        (Some("guest"), None, Err("not that of the certificate")),
        (Some("guest"), Some("guest"), Ok("guest")),
        // Whoever says a password is judged by that alone.
        (Some("device-7"), Some("wrong"), Err("wrong user name or password")),
    ] {
        let credentials = Credentials {
            user: user.map(ByteString::from),
            password: password.map(|it| Bytes::copy_from_slice(it.as_bytes())),
            certificate: Some("device-7".into()),
            ..Credentials::default()
        };
        match (guard.admit(&credentials).await, expected) {
            (Ok((principal, _)), Ok(name)) => {
                assert_eq!(principal.user.as_ref().map(UserName::as_str), Some(name), "{user:?}");
            }
            (Err(refusal), Err(why)) => assert!(refusal.to_string().contains(why), "{refusal}"),
            (other, _) => panic!("{user:?} {password:?}: {other:?}"),
        }
    }
    let odd = Credentials { certificate: Some("a\u{7}".into()), ..Credentials::default() };
    assert!(guard.admit(&odd).await.is_err());
}

/// What he was allowed is not kept across a restart, nor how he came.
#[test]
fn whoever_was_there_before_a_restart_is_gone_only_where_the_file_knows_everybody() {
    let place = Place::new(&["alice"]);
    let revised = |certificates: bool, user: &str| {
        let options = Options { file: Some(place.path()), certificates, ..Options::default() };
        let principal = Principal { user: Some(UserName::new(user)) };
        Guard::new(options).unwrap().revise(&principal, None, None).map(|_| ())
    };
    assert_eq!(revised(false, "alice"), Ok(()));
    assert_eq!(revised(false, "device-7"), Err(GONE));
    assert_eq!(revised(true, "alice"), Ok(()));
    assert_eq!(revised(true, "device-7"), Ok(()));
}

#[track_caller]
fn check(
    options: &Options,
    pair: Option<(&str, &str)>,
    address: Option<&str>,
    expected: Result<Option<&str>, &str>,
) {
    let credentials = Credentials {
        user: pair.map(|(user, _)| ByteString::from(user)),
        password: pair.map(|(_, password)| Bytes::copy_from_slice(password.as_bytes())),
        client: None,
        address: address.map(|text| text.parse().expect("an address")),
        token: None,
        proof: None,
        handshake: None,
        certificate: None,
    };
    let guard = Guard::new(options.clone()).expect("random bytes");
    let mut answer = guard.admit(&credentials);
    let Poll::Ready(answer) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("there is nothing to wait for")
    };
    match (answer, expected) {
        (Ok((principal, _)), Ok(user)) => {
            assert_eq!(principal.user, user.map(UserName::new), "{pair:?} {address:?}")
        }
        (Err(Refusal::BadCredentials(text)), Err(start)) => {
            assert!(text.starts_with(start), "{pair:?} {address:?}: {text}");
        }
        (answer, _) => panic!("{pair:?} {address:?}: {answer:?}, not {expected:?}"),
    }
}
