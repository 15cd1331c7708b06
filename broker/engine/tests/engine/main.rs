//! What the engine promises, asked through its public door, against a real store.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets anything else has failed"
)]

mod authors;
mod client;
mod commands;
mod delayed;
mod due;
mod hooks;
mod laws;
mod owners;
mod paging;
mod policies;
mod portions;
mod presence;
mod proving;
mod publications;
mod races;
mod replay;
mod retained;
mod rights;
mod seeded;
mod terms;
mod topology;
mod unroutable;
mod users;
