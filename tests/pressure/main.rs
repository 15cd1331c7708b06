//! Bad input at every door, and everybody else undisturbed.

mod bad_frames;
mod garbage;
mod healthy;
mod oversize;
mod stomp_limits;
mod truncated;
mod withheld;
