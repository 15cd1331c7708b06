//! libFuzzer and `drive::stomp_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::stomp_decode::run(data));
