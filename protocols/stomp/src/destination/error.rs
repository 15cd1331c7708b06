//! Why a text is no destination

/// Why a text is no destination. The client gets an ERROR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The prefix is known, what follows is not what it wants.
    #[error(
        "'{rest}' is not a valid {kind} destination. One name follows /{kind}/; write a slash inside it as %2F, or \
         configure a prefix with the separator \"/\" ([[stomp.prefix]])."
    )]
    Invalid {
        /// What follows.
        rest: String,
        /// What the prefix is called.
        kind: String,
    },
    /// All of it goes to one queue, which has one name.
    #[error(
        "'{destination}' is for the application, which consumes /queue/{queue}: SEND to it, and SUBSCRIBE to where the \
         application answers."
    )]
    Application {
        /// What was named.
        destination: String,
        /// Where it leads.
        queue: String,
    },
    /// No such prefix.
    #[error(
        "'{0}' is not a valid destination.\nValid destination types are: /topic/, /queue/, /amq/queue/, /exchange/, \
         /reply-queue/, /temp-queue/ (in reply-to), \
         /user/, /session/, and what the configuration adds ([[stomp.prefix]])."
    )]
    Unknown(String),
    /// A user's, and it does not say which user.
    #[error(
        "'{0}' does not say for whom: SEND to /user/NAME/queue/x reaches all sessions of the user NAME (a slash in the \
         name is %2F); SUBSCRIBE to /user/queue/x hears what is for oneself."
    )]
    Whose(String),
    /// An exchange of the broker's own.
    #[error(
        "the exchange {0:?} is the broker's own; what is for users and sessions goes by /user/ and /session/."
    )]
    Own(String),
    /// It is where this connection waits for replies.
    #[error(
        "'{0}' can stand in the header reply-to of SEND and nowhere else. Replies come without SUBSCRIBE, as MESSAGE with \
         that subscription; whoever replies sends to the reply-to that he received, /reply-queue/…."
    )]
    Temporary(String),
    /// Too long.
    #[error("the {what} of the destination is longer than {max} bytes.")]
    TooLong {
        /// A key or a name.
        what: &'static str,
        /// In bytes.
        max: usize,
    },
    /// Too long for the configuration.
    #[error("the key of the destination is longer than the {max} bytes of limits.topic_bytes.")]
    BeyondLimit {
        /// In bytes.
        max: usize,
    },
    /// Too many levels.
    #[error("the destination has more than {max} levels.")]
    TooDeep {
        /// How many are allowed.
        max: usize,
    },
    /// Not UTF-8 behind its `%XX`, or with a NUL.
    #[error("'{0}' is not UTF-8 text without NULs after its %XX are resolved.")]
    NotText(String),
    /// Nobody may speak for the broker.
    #[error(
        "'{0}' is a topic that starts with $: those are the broker's own, and can only be subscribed to."
    )]
    Reserved(String),
    /// A message has one key.
    #[error("'{0}' has a wildcard character (+ or #): a message is sent to one destination.")]
    Wildcard(String),
}

impl DestinationError {
    pub(super) fn invalid(rest: &str, kind: &str) -> Self {
        Self::Invalid { rest: rest.into(), kind: kind.into() }
    }

    /// A few words for the `message` header, RabbitMQ's where it has some.
    pub const fn summary(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "Unknown destination",
            Self::Temporary(_) | Self::Application { .. } => "Unsupported destination",
            Self::Own(_) => "Access refused",
            Self::Invalid { .. }
            | Self::Whose(_)
            | Self::TooLong { .. }
            | Self::BeyondLimit { .. }
            | Self::TooDeep { .. }
            | Self::NotText(_)
            | Self::Reserved(_)
            | Self::Wildcard(_) => "Invalid destination",
        }
    }
}
