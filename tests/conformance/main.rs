//! Our conformance cases against our own broker, and the pages that say what they show.

mod crossing;
mod mqtt;
mod profile;
mod stomp;
