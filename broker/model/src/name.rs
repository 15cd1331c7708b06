//! ClientId, ExchangeName, QueueName and the other names and numbers that things go by.

use std::fmt;

use arcstr::{ArcStr, literal};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        // One word each, for an idle client is known by a dozen of them; a copy is a count. Of two that are one text that is
        // seen first.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(ArcStr);

        impl $name {
            /// A name from outside; whoever reads it has checked its length.
            pub fn new(text: &str) -> Self {
                Self(ArcStr::from(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    )*};
}

names! {
    /// What an MQTT client calls itself (MQTT 5.0, 3.1.3.1). Names its session.
    ClientId;
    /// What an exchange is called; the empty name is the default exchange's.
    ExchangeName;
    /// What a queue is called.
    QueueName;
    /// A user, as access control knows him.
    UserName;
    /// The members of one shared subscription (MQTT 5.0, 4.8.2).
    ShareName;
    /// Under whose name the ids of publications are remembered: a user's, or what stands for one.
    PublisherName;
    /// What a publisher calls one message, so that it is taken in once, however often it is sent.
    PublicationId;
    /// What a policy is called.
    PolicyName;
    /// A namespace: what is in one meets nothing of another.
    VhostName;
}

impl VhostName {
    /// The one that is always there, and where everybody is who asks for none.
    pub const DEFAULT: Self = Self(literal!("/"));

    /// The longest one, in bytes.
    pub const BYTES_MAX: usize = 64;

    /// What is wrong with a text that [`Self::parse`] does not take.
    pub const EXPECTED: &str = "1 to 64 bytes, without control characters";

    /// Reads one; `None`: it is empty, longer than [`Self::BYTES_MAX`], or has control characters.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = (1..=Self::BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
        is_name.then(|| Self::new(text))
    }

    /// Whether it is the one that is always there.
    pub fn is_default(&self) -> bool {
        *self == Self::DEFAULT
    }
}

impl PublicationId {
    /// The header of STOMP, and the user property of MQTT 5.0, that carries one.
    pub const HEADER: &str = "x-dedup-id";

    /// The longest one, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// What is wrong with a text that [`Self::parse`] does not take.
    pub const EXPECTED: &str = "1 to 256 bytes";

    /// Reads one; `None`: it is empty, or longer than [`Self::BYTES_MAX`].
    pub fn parse(text: &str) -> Option<Self> {
        (1..=Self::BYTES_MAX).contains(&text.len()).then(|| Self::new(text))
    }
}

impl UserName {
    /// Whoever comes from this machine may be that one.
    pub const GUEST: Self = Self(literal!("guest"));
}

impl PublisherName {
    /// Nobody's: what the broker itself publishes for somebody.
    pub const NOBODY: Self = Self(literal!(""));
    /// All that neither are a user nor call themselves something.
    pub const ANONYMOUS: Self = Self(literal!("anonymous"));
    /// The broker's, where it tells who comes and goes.
    pub const EVENTS: Self = Self(literal!("$events"));
}

impl QueueName {
    /// Under which the store keeps what waits for its time. It is no queue: nobody can name it.
    pub const DELAYED: Self = Self(literal!(""));

    /// How the names of queues begin that wait for replies: only the broker makes such.
    pub const FOR_REPLIES: &str = "amq.gen-";

    /// Whether it is the name of a queue that waits for replies.
    pub fn is_for_replies(name: &str) -> bool {
        name.starts_with(Self::FOR_REPLIES)
    }
}

impl ExchangeName {
    /// Routes by queue name, to every queue.
    pub const DEFAULT: Self = Self(literal!(""));
    /// Where MQTT topics and STOMP's `/topic/…` live.
    pub const TOPIC: Self = Self(literal!("amq.topic"));
    /// The direct exchange that is always there.
    pub const DIRECT: Self = Self(literal!("amq.direct"));
    /// The fanout exchange that is always there.
    pub const FANOUT: Self = Self(literal!("amq.fanout"));
    /// The headers exchange that is always there.
    pub const HEADERS: Self = Self(literal!("amq.headers"));
    /// What is meant for all sessions of one user; the first level of each key says whom ([`crate::personal`]).
    pub const USER: Self = Self(literal!("$user"));
    /// What is meant for one session; the first level of each key says which ([`crate::personal`]).
    pub const SESSION: Self = Self(literal!("$session"));
}

/// One node of the broker. A single node is number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NodeId(pub u16);

/// Counts the starts of a node, so that what one life numbered is never numbered again by the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Incarnation(pub u32);

/// Names one message for ever: who made it, in which life, as which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MessageId {
    /// The node that took the message in.
    pub node: NodeId,
    /// The life of that node.
    pub incarnation: Incarnation,
    /// Counts up from 1 within that life.
    pub number: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.node.0, self.incarnation.0, self.number)
    }
}

/// Names a queue in the journal. Never used again for another queue, also not for one of the same name:
/// the upper half is the incarnation that declared it, the lower half counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

/// A consumer of one link. Chosen by the session that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId(pub u32);

impl ConsumerId {
    /// The consumer of an MQTT session's own queue: it exists from CONNECT on.
    pub const SESSION: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_whether_it_is_there_or_not() {
        assert_eq!((size_of::<ClientId>(), size_of::<Option<ClientId>>()), (8, 8));
    }

    #[test]
    fn a_known_name_equals_the_same_name_from_outside() {
        assert_eq!(ExchangeName::TOPIC, ExchangeName::new("amq.topic"));
        assert_ne!(ExchangeName::DEFAULT, ExchangeName::TOPIC);
    }
}
