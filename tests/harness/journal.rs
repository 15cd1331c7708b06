//! Journal: what a process wrote, kept in a file, so that it can be read while it runs and after it was killed.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait::until;

/// The output of one broker, over all its lives.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// A new one, beside the test program and named after the test, where it stays when the test has failed.
    ///
    /// # Errors
    ///
    /// If the file cannot be made.
    pub fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("broker").replace("::", ".");
        let folder = folder()?;
        let path = folder.join(format!("{test}-{}-{number}.log", std::process::id()));
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        // Shown with a test that failed.
        eprintln!("the broker's log: {}", path.display());
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle for a process to write to.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened.
    pub fn writer(&self) -> Result<File> {
        Ok(OpenOptions::new().append(true).open(&self.path)?)
    }

    /// All of it so far.
    pub fn text(&self) -> String {
        fs::read(&self.path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The lines that contain all of `words`.
    pub fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        lines.map(ToOwned::to_owned).collect()
    }

    /// The first line that contains all of `words`, waited for.
    ///
    /// # Errors
    ///
    /// If none comes within `within`.
    pub fn wait_for(&self, words: &[&str], within: Duration) -> Result<String> {
        let what = format!("a line with {words:?} in {}", self.path.display());
        until(&what, within, || self.lines_with(words).into_iter().next())
    }
}

fn folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    let folder = target.map_or_else(std::env::temp_dir, Path::to_path_buf).join("tmp").join("logs");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
