//! Bad input at every door, and everybody else undisturbed.

mod bad_frames;
mod full_disk;
mod garbage;
mod healthy;
mod memory;
mod oversize;
mod stomp_limits;
mod truncated;
mod withheld;
