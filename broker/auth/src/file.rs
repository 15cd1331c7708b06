//! The password file: read with care, replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use transport::files;

use crate::users::{Users, UsersError, prepared};
use crate::verifier::Verifier;

/// Why a password file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written, or not be trusted.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// It is not text.
    #[error("{path}: not UTF-8", path = .0.display())]
    NotText(PathBuf),
    /// A line of it.
    #[error("{path}: {error}", path = path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, and why.
        error: UsersError,
    },
    /// Another command is at it, or was interrupted.
    #[error(
        "{path} is there: another `duetmq passwd` is at work; if none is, remove that file",
        path = .0.display()
    )]
    Busy(PathBuf),
}

impl Users {
    /// Those of this file, which belongs to its reader alone.
    ///
    /// # Errors
    ///
    /// It cannot be read, or not be trusted, or not be understood.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        parsed(path, &text(path)?)
    }

    /// Writes a new file in place of this one, in which that user has that verifier; `None`: is no user any more. The other
    /// lines stay as they are. Where there is no file, one is made that its owner alone may read. Says whether there was
    /// such a user.
    ///
    /// # Errors
    ///
    /// As [`Self::read`], and if the new file cannot be written; then the old one stays.
    pub fn replace(path: &Path, name: &str, verifier: Option<&Verifier>) -> Result<bool, FileError> {
        let other = |error| files::FileError::Io { path: path.to_owned(), error };
        let new = path.with_added_extension("new");
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
        let mut file = made.map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                FileError::Busy(new.clone())
            } else {
                files::FileError::Io { path: new.clone(), error }.into()
            }
        })?;
        let written = (|| {
            let (old, owner) = match text(path) {
                Ok(text) => (text, Some(fs::metadata(path).map_err(other)?)),
                Err(FileError::File(files::FileError::Io { error, .. }))
                    if error.kind() == io::ErrorKind::NotFound =>
                {
                    (String::new(), None)
                }
                Err(error) => return Err(error),
            };
            parsed(path, &old)?;
            let (text, existed) = edited(&old, name, verifier);
            file.write_all(text.as_bytes()).map_err(other)?;
            if let Some(owner) = owner {
                // Whoever administers it need not be whom it belongs to.
                fchown(&file, Some(owner.uid()), Some(owner.gid())).map_err(other)?;
            }
            file.sync_all().map_err(other)?;
            fs::rename(&new, path).map_err(other)?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new("."))).and_then(|it| it.sync_all()).map_err(other)?;
            Ok(existed)
        })();
        if written.is_err() {
            // Whatever went wrong is told; the next attempt must not find this one at work.
            let _ = fs::remove_file(&new);
        }
        written
    }
}

fn parsed(path: &Path, text: &str) -> Result<Users, FileError> {
    Users::parse(text).map_err(|error| FileError::Line { path: path.to_owned(), error })
}

fn text(path: &Path) -> Result<String, FileError> {
    read(path, true, FILE_BYTES_MAX)
}

/// What is in a file of at most `bytes_max` bytes; a private one is its owner's alone.
///
/// # Errors
///
/// It cannot be read, or not be trusted, or is no text.
pub(crate) fn read(path: &Path, is_private: bool, bytes_max: u64) -> Result<String, FileError> {
    String::from_utf8(files::read(path, is_private, bytes_max)?)
        .map_err(|_| FileError::NotText(path.to_owned()))
}

/// The file with another line for that user, and whether there was one.
fn edited(old: &str, name: &str, verifier: Option<&Verifier>) -> (String, bool) {
    let line = verifier.map(|verifier| format!("{name}:{verifier}"));
    let mut existed = false;
    let mut text = String::new();
    let mut put = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    for old in old.lines() {
        let is_it =
            old.trim().split_once(':').is_some_and(|(found, _)| prepared(found).as_deref() == Some(name));
        if !is_it || old.trim().starts_with('#') {
            put(old);
        } else {
            existed = true;
            line.iter().for_each(|line| put(line));
        }
    }
    if !existed {
        line.iter().for_each(|line| put(line));
    }
    (text, existed)
}

/// A hundred thousand users, and room for comments.
const FILE_BYTES_MAX: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_user_is_added_changed_and_removed_and_all_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        let verifier = |password: &str| Verifier::new(password.as_bytes(), b"saltsalt", 4096);
        let is = |name: &str, password: &str| {
            Users::read(&path).unwrap().verifier(name, false).is_of(password.as_bytes())
        };
        assert!(!Users::replace(&path, "alice", Some(&verifier("one"))).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let with_people = format!("# people\n\n{}", fs::read_to_string(&path).unwrap());
        fs::write(&path, with_people).unwrap();
        assert!(!Users::replace(&path, "bob", Some(&verifier("two"))).unwrap());
        assert!(is("alice", "one") && is("bob", "two"));
        assert!(Users::replace(&path, "alice", Some(&verifier("three"))).unwrap());
        assert!(is("alice", "three") && !is("alice", "one") && is("bob", "two"));
        assert!(Users::replace(&path, "alice", None).unwrap());
        assert!(!Users::replace(&path, "alice", None).unwrap());
        assert!(!is("alice", "three") && is("bob", "two"));
        assert!(fs::read_to_string(&path).unwrap().starts_with("# people\n\nbob:"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        fs::write(&path, "").unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620, 0o602, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Users::read(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:04o}")) && error.contains("chmod 600"), "{error}");
            assert!(Users::replace(&path, "alice", None).is_err());
        }
        for mode in [0o600, 0o400, 0o700] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(Users::read(&path).is_ok());
        }
    }

    #[test]
    fn a_file_that_cannot_be_understood_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        let bytes = [&b"alice:secret\n"[..], b"\xFF\n"];
        for bytes in bytes {
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(Users::read(&path).is_err());
            assert!(Users::replace(&path, "bob", None).is_err());
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        fs::write(directory.path().join("passwd.new"), "").unwrap();
        assert!(matches!(Users::replace(&path, "bob", None), Err(FileError::Busy(_))));
    }
}
