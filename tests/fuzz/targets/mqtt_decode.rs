//! libFuzzer and `drive::mqtt_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::mqtt_decode::run(data));
