//! Who may enter.
//!
//! [`Guard`] answers [`model::access::AccessControl`]. It is closed by default to everybody who is not on this machine:
//! there is no password in it, and nothing that a remote client could show opens it unless the configuration says so.

mod chain;
mod scram;
mod users;
mod verifier;

pub use crate::chain::{Anonymous, Guard, Options};
pub use crate::users::{LineFault, Users, UsersError};
pub use crate::verifier::{ITERATIONS, ITERATIONS_MAX, ITERATIONS_MIN, Verifier, VerifierError};
