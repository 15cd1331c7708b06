//! Version: 1.0, 1.1, 1.2, and the choice.

use std::fmt;

/// A version of the protocol. Ordered: a later one is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// No escapes, no heart-beats, no NACK.
    V1_0,
    /// Escapes, heart-beats, virtual hosts.
    V1_1,
    /// CRLF, `ack` headers.
    V1_2,
}

impl Version {
    /// All of them, in the order that lists of versions are written in.
    pub const ALL: [Self; 3] = [Self::V1_0, Self::V1_1, Self::V1_2];

    /// As `version` and `accept-version` write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    /// The highest of `ours` that `accept-version` lists; a client that lists none speaks 1.0 only (STOMP 1.2, "Protocol
    /// Negotiation"). Blanks around the commas are tolerated.
    pub fn choose(accept_version: Option<&str>, ours: &[Self]) -> Option<Self> {
        let theirs = accept_version.unwrap_or("1.0");
        let listed = |version: &Self| theirs.split(',').any(|item| item.trim() == version.as_str());
        ours.iter().copied().filter(listed).max()
    }

    /// `versions` as a header lists them.
    pub fn list(versions: &[Self]) -> String {
        let names: Vec<&str> = versions.iter().map(|version| version.as_str()).collect();
        names.join(",")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_chosen() {
        // STOMP 1.2, "Protocol Negotiation"
        check(None, Some(Version::V1_0));
        check(Some("1.0,1.1,2.0"), Some(Version::V1_1));
        check(Some("1.2,1.0"), Some(Version::V1_2));
        check(Some("1.1, 1.2"), Some(Version::V1_2));
        check(Some("2.0"), None);
        check(Some(""), None);
        assert_eq!(Version::choose(Some("1.2"), &[Version::V1_0, Version::V1_1]), None);
    }

    #[track_caller]
    fn check(accept_version: Option<&str>, expected: Option<Version>) {
        assert_eq!(Version::choose(accept_version, &Version::ALL), expected, "{accept_version:?}");
    }
}
