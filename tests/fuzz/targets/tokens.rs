//! libFuzzer and `drive::tokens`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::tokens::run(data));
