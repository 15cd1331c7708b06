//! The admin listener: what people and their tools see of the broker, over HTTP.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `headers` | what every answer says of itself |
//! | `health` | alive |
//! | `demo` | chat rooms in the browser, over each protocol, built in |
//! | `login` | tokens for those pages |
//! | `ask` | what a request asks of a list |
//! | `caller` | who asks, and how much he may ask for |
//! | `clients` | who is there and who listens to what, as JSON |
//! | `words` | what a destination means |
//! | `explain` | the way that a message would take, as JSON |
//! | `local` | the socket for whoever owns the broker |
//! | `answer` | JSON, and refusals |
//! | `failures` | wrong logins are slowed down |
//! | `gate` | who asks over TCP logs in |
//! | `exposition` | numbers as Prometheus reads them |
//! | `metrics` | which numbers |
//! | `door` | who comes in at an admin listener, by TLS where it has that |
//! | `api` | routes, and who may call them |
//!
//! `GET /healthz` always answers. All about the broker is for those who log in with the name and password, or the token, of a user
//! who has a [`Tag`]; on the socket nobody has to, and the metrics
//! are shown as [`Anonymous`] says. The demo pages are served only where [`Options::dev`] says so: they are meant for the
//! first ten minutes with the broker, on one machine. They find the broker's WebSocket listeners through
//! `/demo/config.json`, so they work on whatever ports it was told to use.

mod answer;
mod api;
mod ask;
mod bans;
mod caller;
mod clients;
mod definitions;
mod delayed;
mod demo;
mod door;
mod explain;
mod exposition;
mod failures;
mod gate;
mod headers;
mod health;
mod listing;
mod local;
mod login;
mod metrics;
mod policies;
mod shape;
mod streams;
mod topology;
mod vhost;
mod vhosts;
mod words;

pub use api::{Options, serve, serve_socket};
pub use caller::Tag;
pub use demo::{SOCKJS_CLIENT, WebEndpoint};
pub use door::Door;
pub use gate::{Admins, Anonymous, Entry};
pub use local::Socket;
pub use login::Login;
pub use metrics::Measured;
pub use words::{Spoken, Words};
