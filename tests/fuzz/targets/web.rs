//! libFuzzer and `drive::web`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::web::run(data));
