//! In by one door, out by the other: the broker with raw packets and with other people's clients.

mod adapter;
mod auto;
mod browser;
mod clients;
mod delivery;
mod exchanges;
mod exchanges_setup;
mod mapping;
mod mqtt_clients;
mod once;
mod prefixes;
mod relay;
mod retained;
mod room;
mod sessions;
mod stomp_acks;
mod stomp_basics;
mod stomp_clients;
mod table;
mod topics;
mod transactions;
mod wills;
mod wills_restart;
