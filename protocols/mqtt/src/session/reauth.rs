//! AUTH exchanges: none are offered, and that is said in the right words (4.12).

use crate::packet::Connect;
use crate::reason::{Fault, Reason};

/// A client that asks for enhanced authentication is refused [MQTT-4.12.0-1].
///
/// # Errors
///
/// CONNECT names an authentication method.
pub(crate) fn check(connect: &Connect) -> Result<(), Fault> {
    let asks =
        connect.properties.as_ref().is_some_and(|properties| properties.authentication_method.is_some());
    if asks { Err(NO_METHOD) } else { Ok(()) }
}

/// Nobody is let in with a method, so nobody may send AUTH [MQTT-4.12.0-7].
pub(crate) const UNASKED: Fault =
    Fault::new(Reason::ProtocolError, "[MQTT-4.12.0-7] AUTH without an authentication method in CONNECT");

const NO_METHOD: Fault = Fault::new(
    Reason::BadAuthenticationMethod,
    "[MQTT-4.12.0-1] no authentication method is supported; use user name and password",
);
