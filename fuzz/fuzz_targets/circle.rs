#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| curia_realtime_fuzz::circle(input));
