//! The corpus of what fuzzing threw at connections that begin with HTTP.

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
