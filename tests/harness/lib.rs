//! The house seen from outside: a real broker in a process of its own, and clients that say exactly what they are told to.
//!
//! A test starts a [`broker::Broker`] on free ports of this machine with a data directory of its own, talks to it with
//! [`mqtt::Client`] and [`stomp::Client`], which send any bytes and hide nothing of what comes back, or with a
//! [`script::Script`] around somebody else's client, and reads what the broker wrote to its log. The clients here share no
//! line with the broker's own codecs: what both got wrong in the same way would not be seen.

pub mod admin;
pub mod binary;
pub mod broker;
pub mod certificates;
pub mod dice;
pub mod door;
pub mod faults;
pub mod hook;
pub mod journal;
pub mod mqtt;
pub mod process;
pub mod prometheus;
pub mod relay;
pub mod script;
pub mod socket;
pub mod stomp;
pub mod token;
pub mod undone;
pub mod wait;
pub mod websocket;
