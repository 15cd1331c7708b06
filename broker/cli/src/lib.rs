//! Commands for people: what they ask of a broker from outside, in either protocol.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `failure` | why a command ends before its time, and its exit code |
//! | `message` | a message, whatever the protocol |
//! | `output` | messages as lines, by a format or as JSON |
//! | `client` | a small MQTT and STOMP client |
//! | `pubsub` | pub and sub |
//! | `command` | arguments to commands |
//! | `manage` | what a broker that runs tells of itself |
//! | `conform` | what a specification asks, case by case |
//!
//! Nothing but `manage` knows our broker: the other commands work against any broker that speaks the protocols.

mod client;
mod command;
mod conform;
mod failure;
mod manage;
mod message;
mod output;
#[cfg(test)]
mod peer;
mod pubsub;

pub use command::{PubArgs, SubArgs, run_pub, run_sub};
pub use conform::{ConformArgs, run_conform};
pub use manage::{ListArgs, run_list};
