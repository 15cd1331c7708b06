//! The process itself: what it says, what it refuses, how it ends, and its commands.

mod check;
mod commands;
mod fsck;
mod list;
mod login;
mod metrics;
mod refusals;
mod run;
mod start;
mod stop;
mod users;
