//! Durability: what an acknowledged message outlives

/// How far a message has got when its acknowledgement leaves, and so what it outlives. The stricter one is the greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Durability {
    /// Nothing of it is written: it goes with the process.
    Memory,
    /// Written to the journal: it outlives the process (`kill -9`), and not a loss of power.
    Os,
    /// `fdatasync` is done: it outlives both.
    #[default]
    Disk,
}

impl Durability {
    /// What a message, a subscription or a queue says of itself: a header in STOMP, a user property in MQTT 5.0, an argument
    /// of a queue. Without `x-` it would be a word that applications have a meaning of their own for.
    pub const HEADER: &str = "x-durability";

    /// The levels there are, in words.
    pub const EXPECTED: &str = "disk, os or memory";

    /// Its name, in declarations and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Os => "os",
            Self::Disk => "disk",
        }
    }

    /// The level of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Memory, Self::Os, Self::Disk].into_iter().find(|level| level.as_str() == name)
    }
}
