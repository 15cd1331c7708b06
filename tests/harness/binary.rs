//! Where the program is that is being tested.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};

/// The `duetmq` program: what DUETMQ_BIN names, or else what `cargo build -p server` makes, once per process.
///
/// # Errors
///
/// If it does not exist or does not build.
pub fn duetmq() -> Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    found.clone().map_err(|error| anyhow!(error))
}

fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("DUETMQ_BIN") {
        return PathBuf::from(&path)
            .canonicalize()
            .with_context(|| format!("DUETMQ_BIN is {}", path.display()));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--package", "server", "--bin", "duetmq", "--message-format=json"])
        .current_dir(root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(built.status.success(), "the broker does not build");
    let messages = String::from_utf8_lossy(&built.stdout).into_owned();
    messages.lines().find_map(executable).context("cargo named no program")
}

/// The folder with the root `Cargo.toml`.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

fn executable(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = PathBuf::from(message.get("executable")?.as_str()?);
    path.file_stem().is_some_and(|name| name == "duetmq").then_some(path)
}
