//! The files of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use harness::binary::root;

use crate::source::plain;

/// A file of Rust.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the workspace.
    pub(crate) path: PathBuf,
    /// As it is.
    pub(crate) text: String,
    /// With comments and literals blanked, line for line.
    pub(crate) plain: String,
}

/// A member of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    /// What it is called.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) folder: PathBuf,
}

/// Every member of the workspace, by the root manifest.
pub(crate) fn crates() -> Result<Vec<Member>> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let list = manifest.split_once("members = [").context("no members")?.1;
    let list = list.split_once(']').context("no end of the members")?.0;
    let folders =
        list.split(',').map(|entry| entry.trim().trim_matches('"')).filter(|entry| !entry.is_empty());
    folders.map(member).collect()
}

fn member(folder: &str) -> Result<Member> {
    let folder = root().join(folder);
    let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
    let name =
        name.with_context(|| format!("{} has no name", folder.display()))?.trim_matches('"').to_owned();
    Ok(Member { name, folder })
}

/// Every file of Rust that is ours.
pub(crate) fn sources() -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for member in crates()? {
        walk(&member.folder, &mut found)?;
    }
    anyhow::ensure!(found.len() > 50, "only {} files found", found.len());
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<Source>) -> Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && name != "node_modules" && name != "target" {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(read(&path)?);
        }
    }
    Ok(())
}

/// One file.
pub(crate) fn read(path: &Path) -> Result<Source> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let plain = plain(&text);
    Ok(Source { path: path.strip_prefix(root()).unwrap_or(path).to_owned(), plain, text })
}
