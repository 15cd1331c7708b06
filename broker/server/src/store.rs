//! The store, opened and told to the world what went wrong with it.

use std::path::Path;
use std::process;
use std::sync::Arc;

use storage::{Options, Recovered, Store, StoreError};

use crate::failure::{Code, Failure, tell};

/// Opens the store. Takes as long as there is to read.
///
/// # Errors
///
/// In words for people, with the code to end with.
pub(crate) fn open(options: Options) -> Result<(Arc<Store>, Recovered), Failure> {
    let directory = options.directory.clone();
    let opened = Store::open(options, Box::new(end));
    let (store, recovered) = opened.map_err(|error| open_failure(&directory, &error))?;
    Ok((Arc::new(store), recovered))
}

/// Why a store was not opened, in words for people; `data_dir`: that of the broker, whose stores are checked together.
pub(crate) fn open_failure(data_dir: &Path, error: &StoreError) -> Failure {
    let mut failure = failure(error);
    if matches!(error, StoreError::Damaged { .. }) {
        let directory = data_dir.display();
        failure.text += &format!(
            "; `duetmq fsck {directory}` names all that is damaged, and `duetmq fsck --repair {directory}` puts it aside and \
             keeps the rest"
        );
    }
    failure
}

/// The disk failed while the broker was running: nothing more is acknowledged, and only a new start reads what the disk
/// really has.
pub(crate) fn end(error: &StoreError) {
    tell(&format!(
        "disk error: {error}; nothing was acknowledged that is not on disk; start again once the disk is well"
    ));
    process::exit(Code::Disk as i32);
}

/// The same in words for people, with the code to end with.
pub(crate) fn failure(error: &StoreError) -> Failure {
    match error {
        StoreError::Locked { directory, pid } => Failure::new(
            Code::Locked,
            format!(
                "data dir {} locked by pid {pid}; a second broker needs its own --data-dir",
                directory.display()
            ),
        ),
        StoreError::NotEmpty { .. } => Failure::new(Code::Usage, error.to_string()),
        StoreError::NoStore { .. } => Failure::new(Code::NotFound, error.to_string()),
        StoreError::Damaged { .. } | StoreError::UnknownVersion { .. } | StoreError::Behind => {
            Failure::new(Code::Damaged, error.to_string())
        }
        StoreError::Io { .. } | StoreError::State { .. } => Failure::new(Code::Disk, error.to_string()),
        StoreError::TooLarge { .. } | StoreError::Fenced | StoreError::Ended { .. } => {
            Failure::new(Code::Other, error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn each_trouble_has_its_exit_code() {
        let directory = PathBuf::from("d");
        let locked = failure(&StoreError::Locked { directory: directory.clone(), pid: "900".to_owned() });
        assert_eq!(locked.code, Code::Locked);
        assert_eq!(locked.text, "data dir d locked by pid 900; a second broker needs its own --data-dir");
        let damaged = StoreError::Damaged { file: directory.clone(), offset: 1, what: "checksum" };
        assert_eq!(failure(&damaged).code, Code::Damaged);
        let full = StoreError::Io { doing: "write", path: directory, source: io::Error::other("full") };
        assert_eq!(failure(&full).code, Code::Disk);
    }

    #[test]
    fn a_second_broker_is_told_who_has_the_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        let options = || Options::new(directory.path().join("data"));
        let (first, _) = open(options()).expect("free");
        let error = open(options()).map(drop).expect_err("taken");
        assert_eq!(error.code, Code::Locked);
        assert!(error.text.contains(&format!("locked by pid {}", process::id())), "{error}");
        first.close();
        assert!(open(options()).is_ok(), "free again");
    }
}
