//! Reason codes of 5.0, return codes of 3.x, and where each may stand.

use std::borrow::Cow;

/// Where a reason code stands. DISCONNECT counts twice: some codes are the server's alone (3.14.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Place {
    /// CONNACK (3.2.2.2).
    Connack = 1,
    /// PUBACK (3.4.2.1).
    Puback = 1 << 1,
    /// PUBREC (3.5.2.1).
    Pubrec = 1 << 2,
    /// PUBREL (3.6.2.1).
    Pubrel = 1 << 3,
    /// PUBCOMP (3.7.2.1).
    Pubcomp = 1 << 4,
    /// SUBACK (3.9.3).
    Suback = 1 << 5,
    /// UNSUBACK (3.11.3).
    Unsuback = 1 << 6,
    /// DISCONNECT from a client.
    DisconnectByClient = 1 << 7,
    /// DISCONNECT from a server.
    DisconnectByServer = 1 << 8,
    /// AUTH (3.15.2.1).
    Auth = 1 << 9,
}

const CONNACK: u16 = Place::Connack as u16;
/// PUBACK and PUBREC have the same codes.
const PUBLISHED: u16 = Place::Puback as u16 | Place::Pubrec as u16;
/// PUBREL and PUBCOMP have the same codes.
const RELEASED: u16 = Place::Pubrel as u16 | Place::Pubcomp as u16;
const SUBACK: u16 = Place::Suback as u16;
const UNSUBACK: u16 = Place::Unsuback as u16;
const BY_CLIENT: u16 = Place::DisconnectByClient as u16;
const BY_SERVER: u16 = Place::DisconnectByServer as u16;
const DISCONNECT: u16 = BY_CLIENT | BY_SERVER;
const AUTH: u16 = Place::Auth as u16;

macro_rules! reasons {
    ($($name:ident = $code:literal, $text:literal, $places:expr;)*) => {
        /// What became of a request, or why a connection ends (2.4). In 3.x most of them have no code of their own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = concat!("`", stringify!($code), "`: ", $text, ".")] $name = $code,)*
        }

        impl Reason {
            /// The name that the specification gives it.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            const fn of_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            const fn places(self) -> u16 {
                match self {
                    $(Self::$name => $places,)*
                }
            }
        }
    };
}

reasons! {
    Success = 0x00, "Success", CONNACK | PUBLISHED | RELEASED | SUBACK | UNSUBACK | DISCONNECT | AUTH;
    GrantedQos1 = 0x01, "Granted QoS 1", SUBACK;
    GrantedQos2 = 0x02, "Granted QoS 2", SUBACK;
    DisconnectWithWill = 0x04, "Disconnect with Will Message", BY_CLIENT;
    NoMatchingSubscribers = 0x10, "No matching subscribers", PUBLISHED;
    NoSubscriptionExisted = 0x11, "No subscription existed", UNSUBACK;
    ContinueAuthentication = 0x18, "Continue authentication", AUTH;
    ReAuthenticate = 0x19, "Re-authenticate", AUTH;
    UnspecifiedError = 0x80, "Unspecified error", CONNACK | PUBLISHED | SUBACK | UNSUBACK | DISCONNECT;
    MalformedPacket = 0x81, "Malformed Packet", CONNACK | DISCONNECT;
    ProtocolError = 0x82, "Protocol Error", CONNACK | DISCONNECT;
    ImplementationSpecific = 0x83, "Implementation specific error",
        CONNACK | PUBLISHED | SUBACK | UNSUBACK | DISCONNECT;
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version", CONNACK;
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid", CONNACK;
    BadUserNameOrPassword = 0x86, "Bad User Name or Password", CONNACK;
    NotAuthorized = 0x87, "Not authorized", CONNACK | PUBLISHED | SUBACK | UNSUBACK | BY_SERVER;
    ServerUnavailable = 0x88, "Server unavailable", CONNACK;
    ServerBusy = 0x89, "Server busy", CONNACK | BY_SERVER;
    Banned = 0x8A, "Banned", CONNACK;
    ServerShuttingDown = 0x8B, "Server shutting down", BY_SERVER;
    BadAuthenticationMethod = 0x8C, "Bad authentication method", CONNACK | DISCONNECT;
    KeepAliveTimeout = 0x8D, "Keep Alive timeout", BY_SERVER;
    SessionTakenOver = 0x8E, "Session taken over", BY_SERVER;
    TopicFilterInvalid = 0x8F, "Topic Filter invalid", SUBACK | UNSUBACK | BY_SERVER;
    TopicNameInvalid = 0x90, "Topic Name invalid", CONNACK | PUBLISHED | DISCONNECT;
    PacketIdentifierInUse = 0x91, "Packet Identifier in use", PUBLISHED | SUBACK | UNSUBACK;
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found", RELEASED;
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded", DISCONNECT;
    TopicAliasInvalid = 0x94, "Topic Alias invalid", DISCONNECT;
    PacketTooLarge = 0x95, "Packet too large", CONNACK | DISCONNECT;
    MessageRateTooHigh = 0x96, "Message rate too high", DISCONNECT;
    QuotaExceeded = 0x97, "Quota exceeded", CONNACK | PUBLISHED | SUBACK | DISCONNECT;
    AdministrativeAction = 0x98, "Administrative action", DISCONNECT;
    PayloadFormatInvalid = 0x99, "Payload format invalid", CONNACK | PUBLISHED | DISCONNECT;
    RetainNotSupported = 0x9A, "Retain not supported", CONNACK | BY_SERVER;
    QosNotSupported = 0x9B, "QoS not supported", CONNACK | BY_SERVER;
    UseAnotherServer = 0x9C, "Use another server", CONNACK | BY_SERVER;
    ServerMoved = 0x9D, "Server moved", CONNACK | BY_SERVER;
    SharedSubscriptionsNotSupported = 0x9E, "Shared Subscriptions not supported", SUBACK | BY_SERVER;
    ConnectionRateExceeded = 0x9F, "Connection rate exceeded", CONNACK | BY_SERVER;
    MaximumConnectTime = 0xA0, "Maximum connect time", BY_SERVER;
    SubscriptionIdentifiersNotSupported = 0xA1, "Subscription Identifiers not supported", SUBACK | BY_SERVER;
    WildcardSubscriptionsNotSupported = 0xA2, "Wildcard Subscriptions not supported", SUBACK | BY_SERVER;
}

impl Reason {
    /// The code of 5.0.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Reads a code of 5.0; `None` if there is no such code in that place (2.4).
    pub fn read(code: u8, place: Place) -> Option<Self> {
        Self::of_code(code).filter(|reason| reason.may_stand_in(place))
    }

    /// Whether the specification lists it there.
    pub const fn may_stand_in(self, place: Place) -> bool {
        self.places() & place as u16 != 0
    }

    /// Whether it says no: 0x80 and above (2.4).
    pub const fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// The return code that comes nearest in CONNACK of 3.x (3.1.1, 3.2.2.3).
    pub const fn return_code(self) -> u8 {
        if !self.is_error() {
            return 0;
        }
        if matches!(self, Self::UnsupportedProtocolVersion) {
            1
        } else if matches!(self, Self::ClientIdentifierNotValid) {
            2
        } else if matches!(self, Self::BadUserNameOrPassword) {
            4
        } else if matches!(
            self,
            Self::NotAuthorized | Self::Banned | Self::BadAuthenticationMethod | Self::TopicNameInvalid
        ) {
            5
        } else {
            3
        }
    }

    /// What a return code of 3.x means (3.1.1, 3.2.2.3); codes above 5 do not exist.
    pub const fn of_return_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (0x{:02X})", self.text(), self.code())
    }
}

/// Why a connection is ended from our side: the code that a 5.0 peer is told, and the words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// For DISCONNECT, or CONNACK before that.
    pub reason: Reason,
    /// Names the statement that was broken.
    pub text: Cow<'static, str>,
}

impl Fault {
    /// A fault with a text that is written in our own code.
    pub const fn new(reason: Reason, text: &'static str) -> Self {
        Self { reason, text: Cow::Borrowed(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_only_where_the_specification_lists_it() {
        // 2.4, 3.14.2.1
        assert_eq!(Reason::read(0x10, Place::Puback), Some(Reason::NoMatchingSubscribers));
        assert_eq!(Reason::read(0x10, Place::Pubrel), None);
        assert_eq!(Reason::read(0x04, Place::DisconnectByClient), Some(Reason::DisconnectWithWill));
        assert_eq!(Reason::read(0x04, Place::DisconnectByServer), None);
        assert_eq!(Reason::read(0x8E, Place::DisconnectByClient), None);
        assert_eq!(Reason::read(0x05, Place::Connack), None);
    }

    #[test]
    fn each_return_code_of_3_x_means_one_reason() {
        for code in 0..=5 {
            assert_eq!(Reason::of_return_code(code).map(Reason::return_code), Some(code));
        }
        assert_eq!(Reason::of_return_code(6), None);
        assert_eq!(Reason::QuotaExceeded.return_code(), 3);
    }
}
