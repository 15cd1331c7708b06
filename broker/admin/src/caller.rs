//! Caller: who asks, and how much he may ask for

use model::name::UserName;

/// How much somebody may do here, under the names that RabbitMQ has for it. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// Looks at everything but messages, and changes nothing.
    Monitoring,
    /// Declares, binds, deletes, purges, publishes, and takes messages out.
    Management,
    /// Does what is about the broker as a whole: imports definitions, sets policies.
    Administrator,
}

impl Tag {
    /// Every one, by its name.
    pub const NAMES: [&'static str; 3] = ["monitoring", "management", "administrator"];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "monitoring" => Some(Self::Monitoring),
            "management" => Some(Self::Management),
            "administrator" => Some(Self::Administrator),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monitoring => "monitoring",
            Self::Management => "management",
            Self::Administrator => "administrator",
        }
    }
}

/// Whoever makes a request, once it is known who he is. It travels with the request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// `None`: whoever owns the broker, by its socket.
    pub(crate) user: Option<UserName>,
    /// How much he may do here.
    pub(crate) tag: Tag,
}

impl Caller {
    /// Whoever can open a socket of mode 0600.
    pub(crate) const fn owner() -> Self {
        Self { user: None, tag: Tag::Administrator }
    }
}
