//! Carriers: how bytes reach a client and come back, whatever lies between.
//!
//! Whoever holds a [`carrier::Carrier`] reads and writes one stream of bytes and need not know whether it is a TCP
//! connection, the messages of a WebSocket or the polls of a SockJS client. Nothing in here knows MQTT or STOMP beyond the names by which a WebSocket
//! client asks for them.

pub mod peer;

pub mod tcp;

mod rekeying;

pub mod secure;

pub mod stream;

pub mod linger;

pub mod proxy_protocol;

pub mod files;

pub mod tls;

pub mod http;

pub mod websocket;

pub mod sockjs;

pub mod carrier;

pub mod web;

pub mod ws_client;

pub mod http_client;

pub mod tls_client;
