//! SockJS as its client library wants it, rule by rule, against the services of `examples/sockjs_echo.rs`.

mod http;

mod ends;

mod limits;

mod pages;

mod polling;

mod streaming;

mod websocket;

#[path = "../../examples/sockjs_echo.rs"]
#[expect(dead_code, unreachable_pub, reason = "an example has a main of its own")]
mod sockjs_echo;
