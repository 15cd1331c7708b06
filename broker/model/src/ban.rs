//! Bans: who stays out, until when, and why

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::name::{ClientId, UserName};
use crate::time::WallMs;

/// Who stays out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub subject: Subject,
    /// Until when; `None`: until somebody takes it back.
    pub until: Option<WallMs>,
    /// Since when.
    pub since: WallMs,
    /// Who says so.
    pub by: Author,
    /// Why, for people; may be empty.
    pub reason: Box<str>,
}

/// Whom a ban is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Whoever uses that client id.
    Client(ClientId),
    /// Whoever is that user.
    User(UserName),
    /// Whoever comes from that network: see [`network`].
    Ip(IpAddr),
}

/// Who says that somebody stays out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Author {
    /// Somebody who looks after the broker.
    Hand,
    /// The broker, after so many failed logins.
    Failures,
    /// The broker, of a client that came so often.
    Flapping,
}

impl Subject {
    /// Whoever comes from there.
    pub fn ip(address: IpAddr) -> Self {
        Self::Ip(network(address))
    }

    /// Which kind of thing it is: `client`, `user`, `ip`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::User(_) => "user",
            Self::Ip(_) => "ip",
        }
    }

    /// What it is called.
    pub fn name(&self) -> String {
        match self {
            Self::Client(client) => client.to_string(),
            Self::User(user) => user.to_string(),
            Self::Ip(address) => address.to_string(),
        }
    }

    /// The other way round.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(kind: &str, name: &str) -> Result<Self, &'static str> {
        if name.is_empty() {
            return Err("a name is needed");
        }
        match kind {
            "client" => Ok(Self::Client(ClientId::new(name))),
            "user" => Ok(Self::User(UserName::new(name))),
            "ip" => match name.parse() {
                Ok(address) => Ok(Self::ip(address)),
                Err(_) => Err("an address is needed, such as 192.0.2.7 or 2001:db8::1"),
            },
            _ => Err("client, user or ip is needed"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind(), self.name())
    }
}

impl Ban {
    /// Whether it is over.
    pub fn is_over(&self, now: WallMs) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Author {
    /// For views and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hand => "hand",
            Self::Failures => "auth_failures",
            Self::Flapping => "flapping",
        }
    }
}

/// Whose address that is: of IPv6, a customer has a /64 to choose from, so that is what is counted and what is banned. An
/// address of IPv4 is the same however it is written.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_an_address_is_a_network() {
        for (kind, name, read) in [
            ("client", "a:b/c", "a:b/c"),
            ("user", "ann", "ann"),
            ("ip", "192.0.2.7", "192.0.2.7"),
            ("ip", "::ffff:192.0.2.7", "192.0.2.7"),
            ("ip", "2001:db8::7", "2001:db8::"),
        ] {
            let subject = Subject::parse(kind, name).expect(name);
            assert_eq!((subject.kind(), subject.name().as_str()), (kind, read));
            assert_eq!(Subject::parse(kind, read), Ok(subject));
        }
        for (kind, name) in [("ip", "nowhere"), ("ip", "192.0.2.0/24"), ("host", "x"), ("user", "")] {
            assert!(Subject::parse(kind, name).is_err(), "{kind} {name}");
        }
    }
}
