//! libFuzzer and `drive::mqtt_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::mqtt_session::run(data));
