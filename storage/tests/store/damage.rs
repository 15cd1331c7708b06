//! What a crash tears is cut off; what was acknowledged and is damaged is never passed over in silence.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use storage::{Store, StoreError};

use crate::changes::{commit, copy, declare, enqueue, message, open, place, without_follower};
use crate::naive::picture;

#[test]
fn an_unfinished_group_is_cut_off_wherever_it_ends() {
    let written = Written::new();
    let (_, all) = written.reopen(|_| {});
    assert_eq!(all, 4);
    for cut in written.last.clone() {
        let (cut_bytes, entries) = written.reopen(|file| file.set_len(cut).unwrap());
        assert_eq!(entries, 3, "file ends at {cut}");
        assert!(cut_bytes <= written.last.end - written.last.start);
    }
    for cut in written.last.clone().step_by(7).take_while(|cut| cut + 8 < written.last.end) {
        let zeros = vec![0; (written.last.end - cut) as usize];
        let (_, entries) = written.reopen(|file| file.write_all_at(&zeros, cut).unwrap());
        assert_eq!(entries, 3, "zeros from {cut}");
    }
}

#[test]
fn a_store_goes_on_behind_what_was_cut_off() {
    let written = Written::new();
    let home = written.damaged(|file| file.set_len(written.last.end - 9).unwrap());
    for life in 0..3 {
        let (store, recovered) = open(without_follower(home.path()));
        assert_eq!(recovered.report.entries, 3 + life);
        commit(&store, [enqueue(&message(9, "k", vec![9; 50]), &[place(1, 10 + life as u64)])]);
    }
}

#[test]
fn a_flipped_bit_before_the_end_is_an_error_that_says_where() {
    let written = Written::new();
    let before = written.starts[written.starts.len() - 2]..written.last.start;
    for at in before.clone() {
        let home = written.damaged(|file| flip(file, at));
        let error = refused(home.path());
        let named = matches!(&error, StoreError::Damaged { file, offset, .. }
            if *file == journal(home.path()) && *offset == before.start);
        assert!(named, "a bit of byte {at}: {error}");
    }
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(without_follower(home.path()));
    commit(&store, [declare(1)]);
    for number in 1..=60 {
        commit(&store, [enqueue(&message(number, "k", vec![1; 4000]), &[place(1, number)])]);
    }
    drop(store);
    let gone = home.path().join("journal/0000000002.seg");
    fs::remove_file(&gone).unwrap();
    assert!(matches!(refused(home.path()), StoreError::Damaged { file, .. } if file == gone));
}

#[test]
fn a_journal_that_lost_what_sled_once_held_for_certain_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(without_follower(home.path()));
    commit(&store, [declare(1)]);
    store.close();
    drop(store);
    let path = journal(home.path());
    let last = *starts(&fs::read(&path).unwrap()).last().unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(last).unwrap();
    assert!(
        matches!(refused(home.path()), StoreError::Damaged { file, offset, .. } if file == path && offset == last)
    );
}

#[test]
fn another_versions_files_are_refused() {
    let home = tempfile::tempdir().unwrap();
    drop(open(without_follower(home.path())));
    let path = home.path().join("format");
    let text = fs::read_to_string(&path).unwrap().replace("version 1", "version 2");
    fs::write(&path, text).unwrap();
    assert!(
        matches!(refused(home.path()), StoreError::UnknownVersion { file, found: 2, known: 1 } if file == path)
    );
    fs::write(&path, "what?").unwrap();
    assert!(matches!(refused(home.path()), StoreError::Damaged { .. }));
}

/// A store with four entries in one file, each in a group of its own.
struct Written {
    home: tempfile::TempDir,
    starts: Vec<u64>,
    last: std::ops::Range<u64>,
}

impl Written {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let original = home.path().join("original");
        let (store, _) = open(without_follower(&original));
        commit(&store, [declare(1)]);
        for number in 1..=4 {
            commit(&store, [enqueue(&message(number, "k", vec![number as u8; 50]), &[place(1, number)])]);
        }
        copy(&original, &home.path().join("copy"), false);
        drop(store);
        let bytes = fs::read(journal(&home.path().join("copy"))).unwrap();
        let starts = starts(&bytes);
        let start = *starts.last().unwrap();
        let length = bytes[start as usize..].iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
        let length = length.next_multiple_of(8);
        Self { home, starts, last: start..start + length }
    }

    fn damaged(&self, damage: impl FnOnce(&fs::File)) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        copy(&self.home.path().join("copy"), home.path(), false);
        damage(&OpenOptions::new().read(true).write(true).open(journal(home.path())).unwrap());
        home
    }

    /// How many bytes were cut off, and how many entries are left.
    fn reopen(&self, damage: impl FnOnce(&fs::File)) -> (u64, usize) {
        let home = self.damaged(damage);
        let (_store, recovered) = open(without_follower(home.path()));
        assert_eq!(picture(&recovered).len(), 1 + recovered.report.entries);
        (recovered.report.cut_bytes, recovered.report.entries)
    }
}

fn journal(directory: &Path) -> PathBuf {
    directory.join("journal/0000000001.seg")
}

fn starts(bytes: &[u8]) -> Vec<u64> {
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"DMQG")).map(|at| at as u64).collect()
}

fn flip(file: &fs::File, at: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1 << (at % 8);
    file.write_all_at(&byte, at).unwrap();
}

fn refused(directory: &Path) -> StoreError {
    match Store::open(without_follower(directory), Box::new(|_| ())) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}
