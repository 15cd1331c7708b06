//! Wires the house, holds no opinion.
//!
//! Reads the arguments, the environment and one file into a [`config::Config`], builds the house from it, ground floor
//! first, and waits for a signal to take it down again in order.

pub mod acl;
pub mod arguments;
pub mod config;
pub mod failure;
pub mod fsck;
pub mod guarantees;
pub mod keep;
pub mod passwd;
pub mod wiring;

mod banner;
mod certificates;
mod doors;
pub mod files;
mod options;
mod reload;
mod shutdown;
mod store;
mod watch;
mod words;
