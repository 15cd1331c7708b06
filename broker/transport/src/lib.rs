//! Carriers: how bytes reach a client and come back, whatever lies between.
//!
//! Whoever holds a [`carrier::Carrier`] reads and writes one stream of bytes and need not know whether it is a TCP
//! connection or the messages of a WebSocket. Nothing in here knows MQTT or STOMP beyond the names by which a WebSocket
//! client asks for them.

pub mod peer;

pub mod tcp;

pub mod http;

pub mod websocket;

pub mod carrier;

pub mod ws_client;
