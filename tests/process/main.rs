//! The process itself: what it says, what it refuses, how it ends, and its commands.

mod acl;
mod bench;
mod check;
mod commands;
mod definitions;
mod explain;
mod files;
mod fsck;
mod guided;
mod keep;
mod list;
mod login;
mod metrics;
mod policies;
mod refusals;
mod reload;
mod run;
mod start;
mod stop;
mod streams;
mod topology;
mod users;
mod vhosts;
