//! Bad input at every door, and everybody else undisturbed.

mod abuse;
mod bad_frames;
mod failing_disk;
mod farewells;
mod full_disk;
mod garbage;
mod healthy;
mod hello;
mod machine;
mod malformed;
mod memory;
mod oversize;
mod renegotiation;
mod stomp_limits;
mod truncated;
mod withheld;
