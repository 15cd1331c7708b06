//! Keep: backups of a store, and the way back.

use std::io::{self, Write};
use std::path::PathBuf;

use storage::{backup, restore};

use crate::arguments::KeepArgs;
use crate::failure::Failure;
use crate::store::failure;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the data directory to the backup.
    There,
    /// From the backup to the data directory.
    Back,
}

/// Runs `duetmq backup` or `duetmq restore`. `configured` says where the data is, if the command line does not.
///
/// # Errors
///
/// The store or the backup is damaged or not there; the place for it is not empty.
pub fn run(
    way: Way,
    arguments: &KeepArgs,
    configured: impl FnOnce() -> Result<PathBuf, Failure>,
) -> Result<(), Failure> {
    let data = match &arguments.data_dir {
        Some(directory) => directory.clone(),
        None => configured()?,
    };
    let (from, to) = match way {
        Way::There => (&data, &arguments.dir),
        Way::Back => (&arguments.dir, &data),
    };
    let done = match way {
        Way::There => backup(from, to),
        Way::Back => restore(from, to),
    };
    let checked = done.map_err(|error| failure(&error))?;
    let text = format!(
        "{} to {}: {} files, {} bytes, {} groups and {} records, all checked\n",
        from.display(),
        to.display(),
        checked.segments,
        checked.bytes,
        checked.groups,
        checked.records
    );
    // Whoever reads it may have seen enough before the end.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}
