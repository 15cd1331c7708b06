//! MQTT 3.1, 3.1.1 and 5.0: the codec, and the session that speaks for one client.
//!
//! [`codec::decode`] cuts packets out of a read buffer without copying and refuses whatever the specification refuses, in
//! one place for all transports; [`codec::encode`] is its way back. Both know both directions, so a client stands on them
//! as well as a broker. [`session::Session`] fulfils the contract of `model::session::Session`: bytes become requests,
//! events and deliveries become bytes. There is no socket, no clock, no file and no thread in here.
//!
//! Statement numbers such as `[MQTT-3.3.1-4]` are those of MQTT 5.0, unless "3.1.1" stands beside them.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod codec;
pub mod limits;
pub mod packet;
pub mod reason;
pub mod session;
pub mod topic;
pub mod version;

mod alias;
mod convert;
mod dedup;
mod inflight;

pub use limits::{Options, Redirect, When};
pub use session::Session;
