//! libFuzzer and `drive::proxy_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::proxy_header::run(data));
