//! What the fuzz targets do with their bytes. Each module is one target, or something that one leans on; `run` panics where a law
//! is broken.

pub mod config;
pub mod mqtt_client;
pub mod mqtt_decode;
pub mod mqtt_session;
pub mod mqtt_watch;
pub mod proxy_header;
pub mod script;
pub mod sockjs_frames;
pub mod stomp_client;
pub mod stomp_decode;
pub mod stomp_session;
pub mod stomp_watch;
pub mod tokens;
pub mod web;
pub mod written;
