//! Fsck: a store that no broker has open is checked, and repaired if that is wanted.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use storage::{Checked, StoreError, VhostPlaces, check};

use crate::arguments::FsckArgs;
use crate::failure::{Code, Failure};
use crate::store::failure;

/// Runs `duetmq fsck`. `configured` says where the data is, if the command line does not.
///
/// # Errors
///
/// The store is damaged, in use, of another version, or not there.
pub fn run(
    arguments: &FsckArgs,
    configured: impl FnOnce() -> Result<PathBuf, Failure>,
) -> Result<(), Failure> {
    let directory = match &arguments.data_dir {
        Some(directory) => directory.clone(),
        None => configured()?,
    };
    let mut left = 0;
    for store in stores(&directory)? {
        let checked = match check(&store, arguments.repair) {
            // A vhost that was made, and never opened.
            Err(StoreError::NoStore { .. }) if store != directory => continue,
            checked => checked.map_err(|error| failure(&error))?,
        };
        // Whoever reads it may have seen enough before the end.
        let _ = io::stdout().write_all(report(&store, &checked).as_bytes());
        left += if checked.quarantine.is_some() { 0 } else { checked.damages.len() };
    }
    match left {
        0 => Ok(()),
        count => Err(Failure::new(
            Code::Damaged,
            format!(
                "{count} {} damaged; `duetmq fsck --repair {}` puts aside what is damaged and keeps the rest",
                if count == 1 { "place is" } else { "places are" },
                directory.display()
            ),
        )),
    }
}

/// That of the default vhost, and those of all others.
fn stores(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let places = VhostPlaces::of(directory);
    let names = places.names().map_err(|error| failure(&error))?;
    let others = names.iter().map(|name| places.directory(name));
    Ok(std::iter::once(directory.to_path_buf()).chain(others).collect())
}

fn report(directory: &Path, checked: &Checked) -> String {
    let mut lines: Vec<String> = checked.damages.iter().map(|damage| format!("damaged: {damage}")).collect();
    let lost: u64 = checked.damages.iter().map(|damage| damage.groups).sum();
    if checked.torn_bytes > 0 {
        lines.push(format!(
            "unfinished: {} bytes at the end of the journal, of a write that a crash cut short and nobody was told of; the \
             next start cuts them off",
            checked.torn_bytes
        ));
    }
    if checked.gaps > 0 {
        lines.push(format!("gaps that earlier repairs left: {}", checked.gaps));
    }
    if checked.digests_useless > 0 {
        let count = checked.digests_useless;
        lines.push(format!(
            "digests of journal files that are of no use: {count}; the next start reads the records"
        ));
    }
    if checked.state_useless {
        lines
            .push("sled is of no use; the next start sets it aside and fills it from the journal".to_owned());
    }
    if let Some(quarantine) = &checked.quarantine {
        lines.push(format!(
            "repaired: {} damaged {}, {lost} groups lost; what was damaged is in {}",
            checked.damages.len(),
            if checked.damages.len() == 1 { "place" } else { "places" },
            quarantine.display()
        ));
        lines.push(
            "what was published in lost groups is gone; what was settled in them may be delivered again"
                .to_owned(),
        );
    }
    lines.push(format!(
        "{}: {} files, {} bytes, {} groups and {} records sound, {} damaged",
        directory.display(),
        checked.segments,
        checked.bytes,
        checked.groups,
        checked.records,
        checked.damages.len()
    ));
    lines.join("\n") + "\n"
}
