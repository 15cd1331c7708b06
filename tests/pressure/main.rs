//! Bad input at every door, and everybody else undisturbed.

mod abuse;
mod bad_frames;
mod full_disk;
mod garbage;
mod healthy;
mod machine;
mod malformed;
mod memory;
mod oversize;
mod stomp_limits;
mod truncated;
mod withheld;
