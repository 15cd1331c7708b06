//! Bad input at every door, and everybody else undisturbed.

mod garbage;
mod healthy;
mod oversize;
mod truncated;
mod withheld;
