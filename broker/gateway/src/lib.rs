//! Where clients come in: listeners, and the loop that each connection lives in.
//!
//! [`listener::Gateway`] listens, finds out what a new connection speaks and gives it a session. From then on one task per
//! connection reads, lets the session work, asks the broker, takes deliveries and writes. Nothing in here knows a packet
//! or a frame, and nothing here decides about a message.

mod doorman;

mod rates;

pub mod options;

mod pacing;

mod writer;

mod workbench;

mod detect;

mod precedence;

mod connection;

mod visit;

mod reception;

pub mod listener;

pub use crate::doorman::Crowding;
pub use crate::listener::Gateway;
pub use crate::options::{Kind, ListenerOptions, Options, Web};
pub use crate::precedence::worker_is_free;
pub use crate::rates::{PublishRates, Rate};
pub use transport::http::subprotocol::Protocol;
pub use transport::proxy_protocol;
pub use transport::sockjs::options::Options as SockJsOptions;
pub use transport::tcp::BindError;
pub use transport::tls;
