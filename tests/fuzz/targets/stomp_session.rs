//! libFuzzer and `drive::stomp_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::stomp_session::run(data));
