//! A check names all damage, and a repair keeps all that is sound.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use storage::{Checked, Store, StoreError, check};

use crate::changes::{commit, copy, declare, enqueue, message, open, place, without_follower};

#[test]
fn a_sound_store_is_sound_and_its_unfinished_tail_is_no_damage() {
    let written = Written::new();
    let whole = written.check(|_| {});
    assert!(whole.damages.is_empty() && whole.segments >= 3 && whole.records > MESSAGES, "{whole:?}");
    let (file, last) = written.groups().pop().unwrap();
    let torn = written.check(|home| {
        let file = OpenOptions::new().write(true).open(home.join(&file)).unwrap();
        file.write_all_at(b"????????", last + 60).unwrap();
    });
    assert!(torn.damages.is_empty(), "{torn:?}");
}

#[test]
fn damage_of_each_kind_is_named_and_a_repair_keeps_the_rest() {
    let written = Written::new();
    let groups = written.groups();
    let (second, at) = groups.iter().find(|(file, _)| file.ends_with("0000000002.seg")).unwrap().clone();
    let flipped = |home: &Path| flip(&home.join(&second), at + 60);
    let lost = written.repair(flipped, &second, at, "a group fails its checksum");
    assert_eq!(lost, 1);
    let header = |home: &Path| flip(&home.join(&second), at + 3);
    assert_eq!(written.repair(header, &second, at, "a group fails its checksum"), 1);
    // The first record declares the queue, so look at the second.
    let (first, at_first) = groups.iter().find(|(file, _)| file.ends_with("0000000001.seg")).unwrap().clone();
    let start = |home: &Path| flip(&home.join(&first), at_first + 45);
    written.repair(start, &first, at_first, "a group fails its checksum");
    // Cut short: what was behind is gone.
    let cut = |home: &Path| {
        OpenOptions::new().write(true).open(home.join(&second)).unwrap().set_len(at + 8).unwrap();
    };
    let behind = groups.iter().filter(|(file, _)| *file == second).count() as u64;
    assert_eq!(written.repair(cut, &second, at, "a group fails its checksum"), behind);
    let empty = |home: &Path| {
        OpenOptions::new().write(true).open(home.join(&second)).unwrap().set_len(0).unwrap();
    };
    assert_eq!(written.repair(empty, &second, 64, "it is no journal file"), behind);
    let missing = |home: &Path| fs::remove_file(home.join(&second)).unwrap();
    assert_eq!(written.repair(missing, &second, 64, "the file is missing"), behind);
    // Nothing is lost with a header, and with the name of the store.
    let header = |home: &Path| flip(&home.join(&second), 9);
    assert_eq!(written.repair(header, &second, 0, "its header fails its checksum"), 0);
    let format = |home: &Path| fs::write(home.join("format"), "what?").unwrap();
    assert_eq!(written.repair(format, Path::new("format"), 0, "its first line is not understood"), 0);
    let format = |home: &Path| fs::remove_file(home.join("format")).unwrap();
    assert_eq!(written.repair(format, Path::new("format"), 0, "it is missing, and there is a journal"), 0);
}

#[test]
fn what_a_damaged_group_held_is_told_as_far_as_it_can_be_read() {
    let written = Written::new();
    let (file, at) = written.groups().into_iter().find(|(file, _)| file.ends_with("0000000002.seg")).unwrap();
    // In the middle of the body: its place can still be read.
    let checked = written.check(|home| flip(&home.join(&file), at + 2000));
    let text = checked.damages[0].to_string();
    assert!(text.contains("still legible: 1 records: 1 messages for queue 1"), "{text}");
}

#[test]
fn a_journal_that_sled_knew_longer_is_damaged_and_opens_after_a_repair() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(without_follower(home.path()));
    commit(&store, [declare(1)]);
    commit(&store, [declare(2)]);
    drop(store);
    let path = home.path().join("journal/0000000001.seg");
    let bytes = fs::read(&path).unwrap();
    let last = (0..bytes.len()).rev().find(|at| bytes[*at..].starts_with(b"DMQG")).unwrap() as u64;
    OpenOptions::new().write(true).open(&path).unwrap().set_len(last).unwrap();
    let found = check(home.path(), false).unwrap();
    assert_eq!(found.damages[0].what, "the journal ends here, and it once was longer");
    assert!(check(home.path(), true).unwrap().quarantine.is_some());
    let (_, recovered) = open(without_follower(home.path()));
    assert_eq!(recovered.queues.len(), 1);
}

#[test]
fn a_repair_that_was_interrupted_begins_again() {
    let written = Written::new();
    let (file, at) = written.groups().into_iter().find(|(file, _)| file.ends_with("0000000002.seg")).unwrap();
    let home = written.damaged(|home| flip(&home.join(&file), at + 60));
    // As far as it can come: half a new file, and everything that goes aside is aside.
    fs::write(home.path().join(&file).with_extension("repaired"), b"half").unwrap();
    fs::create_dir_all(home.path().join("quarantine/1-0")).unwrap();
    fs::hard_link(home.path().join(&file), home.path().join("quarantine/1-0/0000000002.seg")).unwrap();
    assert_eq!(check(home.path(), true).unwrap().damages.len(), 1);
    assert!(check(home.path(), false).unwrap().damages.is_empty());
    let (_, recovered) = open(without_follower(home.path()));
    assert_eq!(recovered.report.entries as u64, MESSAGES - 1);
}

#[test]
fn an_open_store_is_not_checked_and_none_is_made() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(without_follower(home.path()));
    assert!(matches!(check(home.path(), true), Err(StoreError::Locked { .. })));
    drop(store);
    let nothing = home.path().join("nothing");
    assert!(matches!(check(&nothing, true), Err(StoreError::NoStore { .. })));
    assert!(!nothing.exists());
}

/// A store with messages in several files.
struct Written {
    home: tempfile::TempDir,
}

impl Written {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let original = home.path().join("original");
        let (store, _) = open(without_follower(&original));
        commit(&store, [declare(1)]);
        for number in 1..=MESSAGES {
            commit(&store, [enqueue(&message(number, "k", vec![1; 4000]), &[place(1, number)])]);
        }
        copy(&original, &home.path().join("copy"), false);
        drop(store);
        Self { home }
    }

    /// Where each group starts, but for the one that declares the queue and what the journal notes before it.
    fn groups(&self) -> Vec<(PathBuf, u64)> {
        let copy = self.home.path().join("copy");
        let mut names: Vec<_> =
            fs::read_dir(copy.join("journal")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let mut found = Vec::new();
        for name in names {
            let name = Path::new("journal").join(name);
            let bytes = fs::read(copy.join(&name)).unwrap();
            let starts = (0..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"DMQG"));
            found.extend(starts.map(|at| (name.clone(), at as u64)));
        }
        found.split_off(2)
    }

    fn damaged(&self, damage: impl FnOnce(&Path)) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        copy(&self.home.path().join("copy"), home.path(), false);
        damage(home.path());
        home
    }

    fn check(&self, damage: impl FnOnce(&Path)) -> Checked {
        let home = self.damaged(damage);
        check(home.path(), false).unwrap()
    }

    /// Checks, repairs, checks again, opens; how many groups, with a message each, were lost.
    #[track_caller]
    fn repair(&self, damage: impl FnOnce(&Path), file: &Path, offset: u64, what: &str) -> u64 {
        let home = self.damaged(damage);
        let refused = Store::open(without_follower(home.path()), Box::new(|_| ())).map(drop);
        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{what}: {refused:?}");
        let found = check(home.path(), false).unwrap();
        let named: Vec<_> =
            found.damages.iter().map(|damage| (damage.file.clone(), damage.offset, damage.what)).collect();
        assert_eq!(named, [(home.path().join(file), offset, what)]);
        assert_eq!(found.quarantine, None);

        let was = fs::read(home.path().join(file)).ok();
        let repaired = check(home.path(), true).unwrap();
        assert_eq!(repaired.damages, found.damages);
        let kept = repaired.quarantine.unwrap().join(file.file_name().unwrap());
        assert_eq!(fs::read(kept).ok(), was, "{what}: what was damaged is kept");
        let again = check(home.path(), false).unwrap();
        assert!(again.damages.is_empty(), "{what}: {again:?}");

        let lost: u64 = found.damages.iter().map(|damage| damage.groups).sum();
        for life in 0..2 {
            let (store, recovered) = open(without_follower(home.path()));
            assert_eq!(recovered.report.entries as u64, MESSAGES - lost + life, "{what}, life {life}");
            commit(&store, [enqueue(&message(99, "k", vec![9; 50]), &[place(1, 1000 + life)])]);
        }
        lost
    }
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1 << (at % 8);
    file.write_all_at(&byte, at).unwrap();
}

const MESSAGES: u64 = 60;
