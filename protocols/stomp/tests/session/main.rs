//! The session, from outside: lists of calls, no socket, no clock.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests; clippy knows only the tests themselves"
)]

mod connect;
mod harness;
mod heart_beat;
mod leave;
mod message;
mod replies;
mod send;
mod settle;
mod soup;
mod subscribe;
mod tokens;
mod transaction;
