//! The broker that is looked at, and names in it that nobody else uses.

use std::time::Duration;

use stomp::version::Version;

use crate::conform::case::{Outcome, Short, Target};

/// Where a case looks, and what is spoken there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The broker.
    pub(crate) target: &'a Target,
    /// The version of all frames.
    pub(crate) version: Version,
}

impl Place<'_> {
    /// A destination whose messages are gone when nobody listens; another one each time.
    pub(crate) fn topic(&self) -> String {
        format!("/topic/{}", self.target.fresh())
    }

    /// A destination whose messages wait; another one each time.
    pub(crate) fn queue(&self) -> String {
        format!("/queue/{}", self.target.fresh())
    }

    /// The head of CONNECT, without a version.
    pub(crate) fn connect(&self) -> String {
        connect(self.target.user.as_deref(), self.target.password.as_deref())
    }

    /// The head of CONNECT that asks for the version looked at. 1.0 has no header for it.
    pub(crate) fn connect_as(&self) -> String {
        self.with_version(self.connect())
    }

    /// The same as somebody whom the broker does not know.
    pub(crate) fn connect_as_stranger(&self) -> String {
        self.with_version(connect(Some(&self.target.fresh()), Some("wrong")))
    }

    fn with_version(&self, head: String) -> String {
        match self.version {
            Version::V1_0 => head,
            Version::V1_1 | Version::V1_2 => format!("{head}\naccept-version:{}", self.version),
        }
    }
}

fn connect(login: Option<&str>, passcode: Option<&str>) -> String {
    let header = |name: &str, value: Option<&str>| value.map(|value| format!("\n{name}:{value}"));
    let (login, passcode) = (header("login", login), header("passcode", passcode));
    format!("CONNECT\nhost:/{}{}", login.unwrap_or_default(), passcode.unwrap_or_default())
}

/// Goes on if it is `true`; says `how` the statement is broken if not.
pub(crate) fn ensure(holds: bool, how: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Short::Failed(how())) }
}

/// How long nothing must come until it counts as nothing: brokers answer on this machine within a tenth of it.
pub(crate) const QUIET: Duration = Duration::from_millis(700);
