//! STOMP 1.0, 1.1 and 1.2: codec and session.
//!
//! The codec serves both sides: [`decode::decode`] cuts a [`frame::Frame`] out of bytes, [`encode::encode`] writes one.
//! [`session::Session`] is the broker's side of one connection: frames in, the house's requests out, and back again. There is
//! no socket, no clock and no await in here, so a test is a list of calls.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, clippy::expect_used)
)]

mod ack;
mod arguments;
mod convert;
pub mod decode;
pub mod destination;
pub mod encode;
mod error_frame;
pub mod escape;
pub mod frame;
mod header_error;
pub mod headers;
pub mod heart_beat;
pub mod options;
mod receipt;
pub mod session;
mod transaction;
pub mod version;
