//! libFuzzer and `drive::sockjs_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::sockjs_frames::run(data));
