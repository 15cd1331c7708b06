//! A corpus, played again: what was found once is never found twice.

use std::fs;
use std::path::Path;

/// Every input that is kept for `target`, one after the other.
///
/// # Panics
///
/// If one of them breaks a law, or if there are none.
pub fn replay(target: &str, run: fn(&[u8])) {
    // Crates of the house are two folders deep.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("a name").path()).collect();
    paths.sort();
    assert!(paths.len() >= 20, "only {} inputs for {target}", paths.len());
    for path in paths {
        let data = fs::read(&path).expect("an input");
        let played = std::panic::catch_unwind(|| run(&data));
        assert!(played.is_ok(), "{} breaks a law: see above", path.display());
    }
}
