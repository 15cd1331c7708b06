//! The corpus of what fuzzing wrote as configurations.

#[path = "../../../tests/fuzz/config.rs"]
pub mod config;
#[path = "../../../tests/fuzz/replay.rs"]
pub mod replay;

use replay::replay;

#[test]
fn a_configuration_that_is_taken_says_the_same_when_it_is_printed() {
    replay("config", config::run);
}
