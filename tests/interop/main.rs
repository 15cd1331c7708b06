//! In by one door, out by the other: the broker with raw packets and with other people's clients.

mod auto;
mod browser;
mod clients;
mod delivery;
mod exchanges;
mod exchanges_setup;
mod mapping;
mod once;
mod retained;
mod room;
mod sessions;
mod stomp_acks;
mod stomp_basics;
mod topics;
mod transactions;
mod wills;
mod wills_restart;
