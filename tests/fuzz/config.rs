//! Configurations: what is taken can be printed, and what is printed is taken and says the same.

use std::fs;
use std::path::{Path, PathBuf};

use server::arguments::ServeArgs;
use server::config::{Config, Surroundings};

/// All of it is the file.
pub fn run(data: &[u8]) {
    let path = std::env::temp_dir().join(format!(
        "duetmq-fuzz-{}-{:?}.toml",
        std::process::id(),
        std::thread::current().id()
    ));
    if let Some(config) = load(&path, data) {
        let printed = config.print();
        // A secret is not shown, so it cannot be read again.
        if !printed.contains("***") {
            let again = load(&path, printed.as_bytes());
            let again = again.unwrap_or_else(|| panic!("it is printed like this and refused:\n{printed}"));
            assert_eq!(values(&again.print()), values(&printed));
        }
    }
    let _ = fs::remove_file(&path);
}

fn load(path: &Path, data: &[u8]) -> Option<Config> {
    fs::write(path, data).expect("a file");
    let arguments = ServeArgs { config: Some(PathBuf::from(path)), ..ServeArgs::default() };
    Config::load(&arguments, &Surroundings::default()).ok()
}

/// Without where each comes from.
fn values(printed: &str) -> Vec<&str> {
    printed.lines().map(|line| line.rsplit_once("  # ").map_or(line, |(value, _)| value).trim_end()).collect()
}
