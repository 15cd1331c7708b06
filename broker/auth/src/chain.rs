//! Guard: the first answer stands.

use std::future::ready;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use model::access::{AccessControl, Admission, Exchange};
use model::name::UserName;
use model::principal::{Credentials, Permissions, Principal};
use model::refusal::Refusal;

use crate::scram::Scram;
use crate::users::{GUEST, Users};
use crate::verifier::NAME;

/// What the guard goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether a client without a user name is let in.
    pub anonymous: Anonymous,
    /// Whether the user `guest` with the password `guest` is let in from this machine; from elsewhere he never is.
    pub guest_loopback: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { anonymous: Anonymous::default(), guest_loopback: true }
    }
}

/// Where clients without a user name may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// From this machine: a loopback address, or a socket without an address.
    #[default]
    Loopback,
    /// From everywhere.
    Always,
    /// From nowhere.
    Never,
}

/// Lets in or refuses, by [`Options`]. Whoever is let in may do everything.
#[derive(Debug)]
pub struct Guard {
    options: Options,
    users: Arc<Users>,
}

impl Guard {
    /// A guard who goes by `options`.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes.
    pub fn new(options: Options) -> Result<Self, getrandom::Error> {
        let users = Users::none()?;
        let users = if options.guest_loopback { users.with_guest() } else { users };
        Ok(Self { options, users: Arc::new(users) })
    }

    fn judge(&self, credentials: &Credentials) -> Result<Principal, Refusal> {
        let user = credentials.user.as_deref().unwrap_or_default();
        let password = credentials.password.as_deref().unwrap_or_default();
        let is_local = is_this_machine(credentials.address);
        // Libraries send empty texts where they were given no user and no password.
        if credentials.user.is_none() || (user.is_empty() && password.is_empty()) {
            return match (self.options.anonymous, is_local) {
                (Anonymous::Always, _) | (Anonymous::Loopback, true) => Ok(Principal { user: None }),
                (Anonymous::Loopback, false) => Err(Refusal::BadCredentials(
                    "a user name is needed; without one, clients of this machine alone are let in (auth.anonymous)",
                )),
                (Anonymous::Never, _) => {
                    Err(Refusal::BadCredentials("a user name is needed (auth.anonymous is \"never\")"))
                }
            };
        }
        // Both are compared in any case: how long the answer takes does not tell which of them was right.
        let is_guest = equal(user.as_bytes(), GUEST) & equal(password, GUEST);
        match (is_guest, is_local && self.options.guest_loopback) {
            (true, true) => Ok(Principal { user: Some(UserName::known("guest")) }),
            (true, false) => Err(Refusal::BadCredentials(
                "guest is let in from this machine alone, and only if auth.guest_loopback is true",
            )),
            (false, _) => Err(Refusal::BadCredentials("wrong user name or password")),
        }
    }
}

impl AccessControl for Guard {
    fn admit<'a>(&'a self, credentials: &'a Credentials) -> Admission<'a> {
        let answer = self.judge(credentials).map(|principal| (principal, Permissions::everything()));
        Box::pin(ready(answer))
    }

    fn begin(&self, method: &str, credentials: &Credentials) -> Result<Box<dyn Exchange>, Refusal> {
        if method != NAME {
            return Err(Refusal::NoMethod { method: method.to_owned(), supported: NAME });
        }
        let is_local = is_this_machine(credentials.address);
        Ok(Box::new(Scram::new(Arc::clone(&self.users), is_local, credentials)?))
    }
}

/// An IPv4 address may come wrapped in an IPv6 one, from a socket that listens on both.
fn is_this_machine(address: Option<IpAddr>) -> bool {
    address.is_none_or(|address| address.to_canonical().is_loopback())
}

/// Takes as long for a wrong text as for the right one of that length: the time tells nothing about where they part.
fn equal(shown: &[u8], known: &[u8]) -> bool {
    let parts = shown.iter().zip(known.iter().cycle()).fold(0, |parts, (a, b)| parts | (a ^ b));
    black_box(parts) == 0 && shown.len() == known.len()
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use bytestring::ByteString;

    use super::*;

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
            check(
                &options,
                Some(("guest", "guest")),
                address,
                Err("guest is let in from this machine alone"),
            );
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
        let credentials =
            Credentials { user: Some(ByteString::from_static("guest")), ..Credentials::default() };
        assert!(Guard::new(Options::default()).expect("random bytes").judge(&credentials).is_err());
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
            proof: None,
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
}
