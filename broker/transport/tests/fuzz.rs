//! The corpus of what fuzzing threw at connections that begin with HTTP, or with a PROXY header.

#[path = "../../../tests/fuzz/proxy_header.rs"]
pub mod proxy_header;
#[path = "../../../tests/fuzz/replay.rs"]
pub mod replay;
#[path = "../../../tests/fuzz/sockjs_frames.rs"]
pub mod sockjs_frames;
#[path = "../../../tests/fuzz/web.rs"]
pub mod web;

use replay::replay;

#[test]
fn a_connection_that_begins_with_http_ends_and_hands_on_no_more_than_came() {
    replay("web", web::run);
}

#[test]
fn frames_of_sockjs_that_are_read_can_be_written_and_read_again() {
    replay("sockjs_frames", sockjs_frames::run);
}

#[test]
fn a_proxy_header_is_known_at_its_last_byte_and_its_client_can_be_written_again() {
    replay("proxy_header", proxy_header::run);
}
