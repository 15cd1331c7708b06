//! The corpus of what fuzzing showed as signed tokens.

#[path = "../../../tests/fuzz/replay.rs"]
pub mod replay;
#[path = "../../../tests/fuzz/tokens.rs"]
pub mod tokens;

use replay::replay;

#[test]
fn nobody_is_let_in_by_a_token_that_was_not_signed() {
    replay("tokens", tokens::run);
}
