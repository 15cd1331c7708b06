//! QoS, and how two grants combine.

/// How hard a message is to be delivered (MQTT 5.0, 4.3). Ordered: a later one promises more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Qos {
    /// At most once: never stored, never acknowledged.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl Qos {
    /// Reads the two bits of a packet or a record.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// The two bits of a packet or a record.
    pub const fn bits(self) -> u8 {
        self as u8
    }
}
