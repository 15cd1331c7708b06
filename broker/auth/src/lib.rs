//! Who may enter.
//!
//! [`Guard`] answers [`model::access::AccessControl`]. It is closed by default to everybody who is not on this machine:
//! there is no password in it, and nothing that a remote client could show opens it unless the configuration says so.
//! Passwords are in a file of their own, and not even there: what a line holds is enough to check one. Whoever shows a token
//! that is signed by somebody whom the configuration names is whom the token names, for as long as it says.

mod cache;
mod chain;
mod claimed;
mod clock;
mod file;
mod hasher;
mod issuer;
mod jwt;
mod place;
mod rules;
mod scram;
mod token_exchange;
mod users;
mod verifier;
mod webhook;

pub use crate::chain::{Anonymous, Guard, GuardError, Options};
pub use crate::file::FileError;
pub use crate::issuer::Issuer;
pub use crate::jwt::claims::{ClaimRules, Shown};
pub use crate::jwt::key::{Encoding, JwtKey, KeyError, KeySource};
pub use crate::jwt::secret::Secret;
pub use crate::jwt::{JwksList, JwksSource, JwtOptions, is_shared, shown};
pub use crate::place::Place;
pub use crate::rules::{NOT_AUTHORIZED, Rule, Rules, Vhosts, Whom};
pub use crate::users::{LineFault, Users, UsersError, listed, prepared};
pub use crate::verifier::{ITERATIONS, ITERATIONS_MAX, ITERATIONS_MIN, Verifier, VerifierError};
pub use jsonwebtoken::Algorithm;
pub use transport::http_client::trust::TrustError;
pub use transport::http_client::url::Url as HookUrl;

pub use crate::webhook::options::{Events, HookOptions, OnError, Payload};
