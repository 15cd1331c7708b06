//! Version: what each version of MQTT has and lacks.

/// A version of the protocol, as CONNECT names it (3.1.2.1, 3.1.2.2). Ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1, which calls itself `MQIsdp`, level 3.
    V31,
    /// MQTT 3.1.1, level 4.
    V311,
    /// MQTT 5.0, level 5.
    V5,
}

impl Version {
    /// The protocol name in CONNECT.
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Self::V31 => "MQIsdp",
            Self::V311 | Self::V5 => "MQTT",
        }
    }

    /// Its number, as people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5.0",
        }
    }

    /// The protocol level in CONNECT.
    pub const fn level(self) -> u8 {
        match self {
            Self::V31 => 3,
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }

    /// Properties, reason codes, AUTH, and a DISCONNECT that the server may send too.
    pub const fn has_properties(self) -> bool {
        matches!(self, Self::V5)
    }

    /// Whether CONNACK can say that a session was there before (3.1.1, 3.2.2.2).
    pub const fn has_session_present(self) -> bool {
        matches!(self, Self::V311 | Self::V5)
    }

    /// Whether SUBACK can refuse a single filter (3.1.1, 3.9.3).
    pub const fn has_subscribe_failure(self) -> bool {
        matches!(self, Self::V311 | Self::V5)
    }
}

/// As people write it.
impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
