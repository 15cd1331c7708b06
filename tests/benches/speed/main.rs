//! How fast single parts are: codecs, matches, a queue, a commit. `cargo bench -p benches -- --save-baseline before`, then after a
//! change `-- --baseline before`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that meets anything else has failed"
)]

mod codecs;
mod commit;
mod matching;
mod queue;

use criterion::{criterion_group, criterion_main};

criterion_group!(all, codecs::mqtt, codecs::stomp, matching::topics, queue::through, commit::commits);
criterion_main!(all);
