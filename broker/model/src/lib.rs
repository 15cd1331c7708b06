//! The words of the house: messages, names, requests, and the contract of a session.
//!
//! Nothing in here does anything. These are the nouns that the wings of the house exchange, so that none of them needs
//! to know another: a protocol speaks in [`request::Request`]s and is answered in [`event::Event`]s, routing moves
//! [`message::Message`]s, storage keeps [`change::Changeset`]s. There is no clock, no socket, no file and no thread.

pub mod access;
pub mod author;
pub mod ban;
pub mod change;
pub mod delivery;
pub mod durability;
pub mod event;
pub mod grant;
pub mod hook;
pub mod key;
pub mod message;
pub mod name;
pub mod outbox;
pub mod personal;
pub mod policy;
pub mod principal;
pub mod properties;
pub mod qos;
pub mod queue;
pub mod reach;
pub mod refusal;
pub mod request;
pub mod rights;
pub mod scan;
pub mod session;
pub mod shard;
pub mod stream;
pub mod time;
pub mod vhost;
pub mod wire_cache;
