//! Vhosts: a store for each, side by side below the data directory
//!
//! `vhosts/NAME/` is a whole store, and `limits` in it says that it is a vhost, and how much there may be in it. What begins with
//! a dot was given up.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use model::name::VhostName;
use model::vhost::VhostLimits;

use crate::directory::replace;
use crate::error::StoreError;
use crate::segment::{random, sync_directory};

/// Where the stores of the vhosts of one broker lie, but for the default one's.
#[derive(Debug, Clone)]
pub struct VhostPlaces {
    data: PathBuf,
    root: PathBuf,
}

impl VhostPlaces {
    /// Of the broker whose data directory that is.
    pub fn of(data: &Path) -> Self {
        Self { data: data.to_path_buf(), root: data.join("vhosts") }
    }

    /// Where that one is.
    pub fn directory(&self, name: &VhostName) -> PathBuf {
        self.root.join(written(name))
    }

    /// All that there are, by name.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn names(&self) -> Result<Vec<VhostName>, StoreError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("list", &self.root)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StoreError::io("list", &self.root))?;
            // Whatever else is there is not ours.
            let name = entry.file_name().to_str().and_then(read);
            names.extend(name.filter(|_| entry.path().join(LIMITS).exists()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes what is left of vhosts that were deleted when the process ended.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn sweep(&self) -> Result<(), StoreError> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Ok(()) };
        for entry in entries {
            let path = entry.map_err(StoreError::io("list", &self.root))?.path();
            if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(GONE)) {
                fs::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Makes one, or gives one that there is other limits. It is on disk when this returns.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn write(&self, name: &VhostName, limits: &VhostLimits) -> Result<(), StoreError> {
        let directory = self.directory(name);
        make(&self.root)?;
        sync_directory(&self.data)?;
        make(&directory)?;
        sync_directory(&self.root)?;
        write_limits(&directory, limits)
    }

    /// How much there may be in one.
    ///
    /// # Errors
    ///
    /// Its file is not understood, or what the system says.
    pub fn read(&self, name: &VhostName) -> Result<VhostLimits, StoreError> {
        read_limits(&self.directory(name))
    }

    /// Deletes one, with its store, which is closed. Whatever happens, it is there as a whole or not at all.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn remove(&self, name: &VhostName) -> Result<(), StoreError> {
        let (directory, gone) = (self.directory(name), self.root.join(format!("{GONE}{:016x}", random())));
        fs::rename(&directory, &gone).map_err(StoreError::io("rename", &directory))?;
        sync_directory(&self.root)?;
        fs::remove_dir_all(&gone).map_err(StoreError::io("remove", &gone))
    }
}

fn make(directory: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(StoreError::io("make", directory))
}

pub(crate) fn write_limits(directory: &Path, limits: &VhostLimits) -> Result<(), StoreError> {
    let line = |name, limit: Option<u64>| limit.map(|most| format!("{name} {most}\n")).unwrap_or_default();
    let text =
        format!("{FIRST}\n{}{}", line(CONNECTIONS, limits.connections_max), line(QUEUES, limits.queues_max));
    replace(directory, LIMITS, &text)
}

pub(crate) fn read_limits(directory: &Path) -> Result<VhostLimits, StoreError> {
    let path = directory.join(LIMITS);
    let text = fs::read_to_string(&path).map_err(StoreError::io("read", &path))?;
    let mut lines = text.lines();
    if lines.next() != Some(FIRST) {
        return Err(StoreError::damaged(&path, 0, "its first line is not understood"));
    }
    let mut limits = VhostLimits::default();
    for line in lines {
        let (name, most) = line.split_once(' ').unwrap_or((line, ""));
        let most = most.parse().ok();
        match name {
            CONNECTIONS if most.is_some() => limits.connections_max = most,
            QUEUES if most.is_some() => limits.queues_max = most,
            _ => return Err(StoreError::damaged(&path, 0, "a line of it is not understood")),
        }
    }
    Ok(limits)
}

/// As the name of a directory: whatever is no letter, digit, `-` or `_` is written as `%2F`.
fn written(name: &VhostName) -> String {
    let mut text = String::new();
    for byte in name.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Reads that; `None`: it is no such name.
fn read(text: &str) -> Option<VhostName> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        if *first == b'%' {
            let [high, low, behind @ ..] = behind else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(*high)? << 4 | digit(*low)?);
            rest = behind;
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    let name = VhostName::parse(std::str::from_utf8(&bytes).ok()?)?;
    // One name is written in one way.
    (written(&name) == text).then_some(name)
}

/// The file that says that it is a vhost, and how much there may be in it.
pub(crate) const LIMITS: &str = "limits";
/// How the names begin of what was given up.
const GONE: &str = ".gone-";
const FIRST: &str = "DuetMQ vhost, version 1";
const CONNECTIONS: &str = "connections";
const QUEUES: &str = "queues";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_directory_whatever_is_in_it() {
        for name in ["shop", "a-b_C9", "..", "a/b", "x%2F", "한국", " ", ".gone-1"] {
            let name = VhostName::parse(name).expect("a name");
            let text = written(&name);
            assert!(!text.contains(['/', '.']), "{text}");
            assert_eq!(read(&text), Some(name));
        }
        for text in ["", "%", "%2", "%2f", "%41", "%FF", "a.b", "%0A", ".gone-1"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_made_is_found_until_it_is_removed() {
        let data = tempfile::tempdir().expect("a directory");
        let places = VhostPlaces::of(data.path());
        assert!(places.names().expect("none yet").is_empty());
        let (shop, odd) = (VhostName::new("shop"), VhostName::new("a/b"));
        let limits = VhostLimits { connections_max: Some(7), queues_max: None };
        places.write(&shop, &limits).expect("made");
        places.write(&odd, &VhostLimits::default()).expect("made");
        assert_eq!(places.names().expect("two"), [odd.clone(), shop.clone()]);
        assert_eq!(places.read(&shop).expect("its limits"), limits);
        let other = VhostLimits { connections_max: None, queues_max: Some(3) };
        places.write(&shop, &other).expect("others");
        assert_eq!(places.read(&shop).expect("its limits"), other);
        // A crash may leave a directory that is none yet.
        fs::create_dir(data.path().join("vhosts/begun")).expect("a directory");
        fs::create_dir(data.path().join("vhosts/.gone-1")).expect("a directory");
        places.remove(&odd).expect("removed");
        places.sweep().expect("swept");
        assert_eq!(places.names().expect("one"), std::slice::from_ref(&shop));
        assert!(!data.path().join("vhosts/.gone-1").exists());
        fs::write(places.directory(&shop).join(LIMITS), "DuetMQ vhost, version 1\nqueues many\n")
            .expect("written");
        assert!(matches!(places.read(&shop), Err(StoreError::Damaged { .. })));
    }
}
