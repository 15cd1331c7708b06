//! Users: everybody with a password, as the password file lists them.

use std::collections::BTreeMap;

use crate::verifier::{ITERATIONS, ITERATIONS_MIN, Key, SALT_BYTES, Verifier, VerifierError, mac};

/// Every user with the verifier of his password. In the file a user is a line, `name:verifier`; empty lines and those that
/// start with `#` are for people.
#[derive(Debug)]
pub struct Users {
    users: BTreeMap<String, Verifier>,
    /// The built-in one, for clients of this machine.
    guest: Option<Verifier>,
    nobody: Nobody,
}

/// Makes up verifiers for those who do not exist, so that nobody can tell them from those who do.
#[derive(Debug)]
struct Nobody {
    key: Key,
    iterations: u32,
}

/// Why a password file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct UsersError {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: LineFault,
}

/// What is wrong with a line of a password file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// No colon.
    #[error("not of the form name:verifier; `duetmq passwd add` writes such lines")]
    Form,
    /// A name that cannot be sent.
    #[error("{0:?} cannot be a user name: it is empty, or has characters that no name in the file has")]
    Name(String),
    /// A name that would never be found.
    #[error("the user name is not in its normal form, which is {0:?} (SASLprep, RFC 4013)")]
    Unprepared(String),
    /// Twice the same name.
    #[error("user {0:?} has a line already")]
    Twice(String),
    /// The rest of the line.
    #[error(transparent)]
    Verifier(#[from] VerifierError),
}

impl Users {
    /// Nobody at all.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes.
    pub fn none() -> Result<Self, getrandom::Error> {
        let mut key = Key::default();
        getrandom::fill(&mut key)?;
        Ok(Self { users: BTreeMap::new(), guest: None, nobody: Nobody { key, iterations: ITERATIONS } })
    }

    /// Those of a password file.
    ///
    /// # Errors
    ///
    /// The first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut users = BTreeMap::new();
        let mut nobody = Nobody { key: Key::default(), iterations: ITERATIONS };
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |fault| UsersError { line: index + 1, fault };
            let (name, verifier) = read(line).map_err(fault)?;
            if users.is_empty() {
                // Whoever does not exist has the same salt at every start: made with what only the file knows.
                nobody.key = mac(&verifier.server_key, &[b"nobody"]);
                nobody.iterations = verifier.iterations;
            }
            if users.insert(name.clone(), verifier).is_some() {
                return Err(fault(LineFault::Twice(name)));
            }
        }
        Ok(Self { users, guest: None, nobody })
    }

    /// The same with the user `guest`, whose password is `guest`, for clients of this machine; unless there is one of that
    /// name, who has a password of his own.
    #[must_use]
    pub(crate) fn with_guest(mut self) -> Self {
        // Everybody knows this password: there is nothing to be protected by much work.
        let salt = mac(&self.nobody.key, &[GUEST]);
        let salt = salt.get(..SALT_BYTES).unwrap_or_default();
        self.guest = (!self.users.contains_key("guest")).then(|| Verifier::new(GUEST, salt, ITERATIONS_MIN));
        self
    }

    /// Whether nobody has a password but the built-in `guest`.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether the file has a user of that name.
    pub fn has(&self, name: &str) -> bool {
        self.users.contains_key(name)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(String::as_str)
    }

    /// Whether that user has that password. Takes its time, for those who do not exist as well.
    pub fn knows(&self, name: &str, password: &[u8]) -> bool {
        self.verifier(name, false).is_of(password)
    }

    /// The verifier of a user, by his prepared name. Of one who does not exist it is one that nobody has the password of,
    /// the same each time.
    pub(crate) fn verifier(&self, name: &str, is_local: bool) -> Verifier {
        let guest = self.guest.as_ref().filter(|_| is_local && name.as_bytes() == GUEST);
        self.users.get(name).or(guest).cloned().unwrap_or_else(|| self.nobody.verifier(name))
    }
}

impl Nobody {
    fn verifier(&self, name: &str) -> Verifier {
        let [salt, stored_key, server_key] =
            [&b"salt"[..], b"stored", b"server"].map(|part| mac(&self.key, &[part, b":", name.as_bytes()]));
        let salt = salt.get(..SALT_BYTES).unwrap_or_default().into();
        Verifier { iterations: self.iterations, salt, stored_key, server_key }
    }
}

fn read(line: &str) -> Result<(String, Verifier), LineFault> {
    let (name, verifier) = line.split_once(':').ok_or(LineFault::Form)?;
    match prepared(name) {
        None => Err(LineFault::Name(name.to_owned())),
        Some(prepared) if prepared != name => Err(LineFault::Unprepared(prepared)),
        Some(name) => Ok((name, verifier.parse()?)),
    }
}

/// A user name as a line of the file can hold it.
///
/// # Errors
///
/// None can: there is a colon in it, it looks like a comment, or it is no name at all.
pub fn listed(name: &str) -> Result<String, LineFault> {
    let is_plain = |name: &String| !name.contains(':') && !name.starts_with('#') && name.trim() == name;
    prepared(name).filter(is_plain).ok_or_else(|| LineFault::Name(name.to_owned()))
}

/// A user name as it is compared: SASLprep (RFC 4013). `None` if it is empty or has characters that no name has.
pub fn prepared(name: &str) -> Option<String> {
    let prepared = stringprep::saslprep(name).ok()?;
    (!prepared.is_empty()).then(|| prepared.into_owned())
}

/// The name and the password of the built-in user.
pub(crate) const GUEST: &[u8] = b"guest";

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn each_line_is_a_user() {
        let users = Users::parse(&format!("# people\n\nalice:{KEYS}\r\n  bob:{KEYS}\n")).unwrap();
        assert!(users.verifier("alice", false).is_of(b"pencil"));
        assert!(users.verifier("bob", false).is_of(b"pencil"));
        assert!(!users.verifier("carol", false).is_of(b"pencil"));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let check = |text: &str, line: usize, fault: &str| {
            let error = Users::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.to_string().contains(fault), "{error}");
        };
        check(&format!("alice:{KEYS}\nbob"), 2, "name:verifier");
        check(&format!("alice:{KEYS}\n\nalice:{KEYS}"), 3, "\"alice\" has a line already");
        check(&format!(":{KEYS}"), 1, "cannot be a user name");
        check(&format!("a\u{7}:{KEYS}"), 1, "cannot be a user name");
        check(&format!("\u{2168}:{KEYS}"), 1, "\"IX\"");
        check("alice:secret", 1, "SCRAM-SHA-256$iterations");
        check(&format!("alice:{}", KEYS.replace("4096", "1")), 1, "iterations");
    }

    #[test]
    fn nobody_looks_like_somebody_and_is_the_same_each_time() {
        let file = format!("alice:{KEYS}");
        let [one, two] = [&file, &file].map(|file| Users::parse(file).unwrap().with_guest());
        for name in ["carol", "guest"] {
            let made_up = one.verifier(name, false);
            assert_eq!(made_up, two.verifier(name, false));
            assert_eq!((made_up.iterations, made_up.salt.len()), (4096, 16));
        }
        assert_ne!(one.verifier("carol", false).salt, one.verifier("dave", false).salt);
        assert_ne!(Users::none().unwrap().verifier("carol", false), one.verifier("carol", false));
    }

    #[test]
    fn guest_is_there_for_this_machine_unless_the_file_has_one() {
        let users = Users::none().unwrap();
        assert!(!users.verifier("guest", true).is_of(b"guest"));
        let users = users.with_guest();
        assert!(users.verifier("guest", true).is_of(b"guest"));
        assert!(!users.verifier("guest", false).is_of(b"guest"));
        let users = Users::parse(&format!("guest:{KEYS}")).unwrap().with_guest();
        assert!(!users.verifier("guest", true).is_of(b"guest"));
        assert!(users.verifier("guest", false).is_of(b"pencil"));
    }
}
