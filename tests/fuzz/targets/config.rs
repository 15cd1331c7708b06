//! libFuzzer and `drive::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::config::run(data));
