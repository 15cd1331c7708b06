//! The store seen from outside: what was committed is there, whatever happened in between.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod backup;
mod bound;
mod changes;
mod check;
mod damage;
mod digest;
mod failure;
mod naive;
mod order;
mod random;
mod reading;
mod recovery;
