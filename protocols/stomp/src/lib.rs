//! STOMP 1.0, 1.1 and 1.2: codec and session.
//!
//! The codec serves both sides: [`decode::decode`] cuts a [`frame::Frame`] out of bytes, [`encode::encode`] writes one.
//! There is no socket, no clock and no await in here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, clippy::expect_used)
)]

pub mod decode;
pub mod encode;
pub mod escape;
pub mod frame;
pub mod headers;
pub mod version;
