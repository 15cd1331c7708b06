//! Who may enter.
//!
//! [`Guard`] answers [`model::access::AccessControl`]. It is closed by default to everybody who is not on this machine:
//! there is no password in it, and nothing that a remote client could show opens it unless the configuration says so.
//! Passwords are in a file of their own, and not even there: what a line holds is enough to check one.

mod cache;
mod chain;
mod file;
mod hasher;
mod rules;
mod scram;
mod users;
mod verifier;

pub use crate::chain::{Anonymous, Guard, GuardError, Options};
pub use crate::file::FileError;
pub use crate::rules::Rule;
pub use crate::users::{LineFault, Users, UsersError, listed};
pub use crate::verifier::{ITERATIONS, ITERATIONS_MAX, ITERATIONS_MIN, Verifier, VerifierError};
