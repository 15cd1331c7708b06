//! Digests of sealed segments: a start that reads them finds what one that reads the records does, and none is believed that
//! is not what it should be.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::change::Change;
use model::name::{ClientId, QueueId};
use model::qos::Qos;
use storage::{Options, Recovered, Store, StoreError, check};

use crate::changes::{
    bind, commit, declare, enqueue, exchange, forget, message, open, options, place, remember, retain,
    session, without_follower,
};
use crate::naive::picture;

#[test]
fn a_start_from_digests_finds_what_one_from_records_does() {
    let written = Written::new();
    let digests = written.digests();
    assert!(digests.len() > 8, "{digests:?}");
    let with = written.copied(|_| {});
    let without =
        written.copied(|home| digests.iter().for_each(|one| fs::remove_file(home.join(one)).unwrap()));
    for reads_bodies in [true, false] {
        let [with, without] = [&with, &without].map(|home| reopen(home.path(), reads_bodies));
        assert_eq!(with.report.segments, without.report.segments);
        same(&with, &without, "from digests");
    }
}

#[test]
fn digests_say_what_is_gone_from_files_whose_records_are_read() {
    let written = Written::new();
    let digests = written.digests();
    let expected = reopen(written.copied(|_| {}).path(), false);
    // None of them, then every third from each of three on, then only the last ones, and only the first ones.
    let removed: [fn(usize, usize) -> bool; 6] = [
        |_, _| true,
        |at, _| at % 3 == 0,
        |at, _| at % 3 == 1,
        |at, _| at % 3 == 2,
        |at, count| at < count - 2,
        |at, _| at > 2,
    ];
    for (index, is_removed) in removed.into_iter().enumerate() {
        let home = written.copied(|home| {
            for (at, digest) in digests.iter().enumerate() {
                if is_removed(at, digests.len()) {
                    fs::remove_file(home.join(digest)).unwrap();
                }
            }
        });
        same(&reopen(home.path(), false), &expected, &format!("choice {index}"));
        same(
            &reopen(home.path(), true),
            &reopen(written.path(), true),
            &format!("choice {index}, with bodies"),
        );
    }
}

#[test]
fn a_damaged_digest_is_not_believed() {
    let written = Written::new();
    let expected = reopen(written.copied(|_| {}).path(), false);
    let digest = &written.digests()[3];
    let length = fs::read(written.path().join(digest)).unwrap().len();
    for at in (0..length).step_by(length / 40) {
        let home = written.copied(|home| change(&home.join(digest), |bytes| bytes[at] ^= 1 << (at % 8)));
        same(&reopen(home.path(), false), &expected, &format!("byte {at} of {length}"));
    }
    for cut in [0, 3, 60, length / 2, length - 1] {
        let home = written.copied(|home| change(&home.join(digest), |bytes| bytes.truncate(cut)));
        same(&reopen(home.path(), false), &expected, &format!("cut at {cut}"));
    }
    // Whole, but of another segment.
    let other = written.copied(|home| {
        fs::copy(home.join(&written.digests()[4]), home.join(digest)).unwrap();
    });
    same(&reopen(other.path(), false), &expected, "another one's");
}

#[test]
fn a_digest_of_another_version_is_not_believed() {
    let written = Written::new();
    let expected = reopen(written.copied(|_| {}).path(), false);
    let home = written.copied(|home| {
        for digest in written.digests() {
            forge(&home.join(digest), |bytes| bytes[8] = 2);
        }
    });
    same(&reopen(home.path(), false), &expected, "version 2");
}

#[test]
fn a_digest_that_is_not_of_its_segments_groups_is_found_out() {
    let written = Written::new();
    let expected = reopen(written.copied(|_| {}).path(), false);
    let digest = &written.digests()[2];
    // The checksum of the groups; what it has of waiting messages is another segment's, too.
    let home = written.copied(|home| {
        let other = fs::read(home.join(&written.digests()[5])).unwrap();
        forge(&home.join(digest), |bytes| {
            bytes.truncate(HEADING_BYTES);
            bytes[CRC] ^= 1;
            bytes.extend_from_slice(&other[HEADING_BYTES..]);
        });
    });
    let found = reopen(home.path(), false);
    assert!(found.report.state_rebuilt);
    same(&found, &expected, "a forged one");
}

#[test]
fn damage_in_a_segment_is_refused_though_its_digest_is_sound() {
    let written = Written::new();
    let segment = written.digests()[3].with_extension("seg");
    let bytes = fs::read(written.path().join(&segment)).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in [200, last / 2, last - 20] {
        let home = written.copied(|home| change(&home.join(&segment), |bytes| bytes[at] ^= 4));
        let refused = Store::open(options(home.path()), Box::new(|_| ())).map(drop);
        let is_named = |file: &Path| *file == home.path().join(&segment);
        assert!(
            matches!(&refused, Err(StoreError::Damaged { file, .. }) if is_named(file)),
            "{at}: {refused:?}"
        );
    }
}

#[test]
fn a_journal_that_is_shorter_than_its_digests_know_is_refused() {
    let written = Written::new();
    let last = written.segments().pop().unwrap();
    let home = written.copied(|home| {
        fs::remove_file(home.join(&last)).unwrap();
        fs::remove_dir_all(home.join("state")).unwrap();
    });
    let refused = Store::open(options(home.path()), Box::new(|_| ())).map(drop);
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
}

#[test]
fn a_store_without_digests_gets_them_while_it_is_used() {
    let written = Written::new();
    let home = written.copied(|home| {
        written.digests().iter().for_each(|one| fs::remove_file(home.join(one)).unwrap());
    });
    let (store, _) = open(options(home.path()));
    let start = Instant::now();
    for number in 0.. {
        commit(&store, [enqueue(&message(number, "k", vec![5; 100]), &[place(1, 100_000 + number)])]);
        if names(home.path(), "dig").len() > 8 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", names(home.path(), "dig"));
    }
    store.close();
    drop(store);
    let found = check(home.path(), false).unwrap();
    assert_eq!((found.digests_useless, found.damages.len()), (0, 0));
}

#[test]
fn fsck_holds_digests_against_the_records() {
    let written = Written::new();
    assert_eq!(check(written.copied(|_| {}).path(), false).unwrap().digests_useless, 0);
    let digest = &written.digests()[3];
    let damaged = written.copied(|home| change(&home.join(digest), |bytes| bytes[70] ^= 1));
    let found = check(damaged.path(), false).unwrap();
    assert_eq!((found.digests_useless, found.damages.len()), (1, 0));
    // Sound in itself, and of other messages.
    let forged = written.copied(|home| {
        let other = fs::read(home.join(&written.digests()[5])).unwrap();
        forge(&home.join(digest), |bytes| {
            bytes.truncate(HEADING_BYTES);
            bytes.extend_from_slice(&other[HEADING_BYTES..]);
        });
    });
    assert_eq!(check(forged.path(), false).unwrap().digests_useless, 1);
    assert_eq!(check(forged.path(), true).unwrap().quarantine, None);
    assert_eq!(check(forged.path(), false).unwrap().digests_useless, 0);
    same(&reopen(forged.path(), false), &reopen(written.copied(|_| {}).path(), false), "repaired");
}

/// A store in many files, of everything something, closed in order.
struct Written {
    home: tempfile::TempDir,
}

impl Written {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        // Nothing is given up.
        let (store, _) = open(without_follower(home.path()));
        commit(&store, [declare(1), declare(2), declare(3), exchange("other")]);
        for number in 1..=400_u64 {
            let client = format!("client {}", number % 7);
            let body = message(number, &format!("key/{number}"), vec![number as u8; 1000 + number as usize]);
            commit(&store, [enqueue(&body, &[place(1, number), place(2 + number % 2, number)])]);
            let earlier = place(1, number.saturating_sub(number % 90));
            let large = message(number, "large", vec![3; 6000]);
            commit(
                &store,
                match number % 12 {
                    0 => vec![Change::Remove(earlier), Change::Remove(place(1, number))],
                    1 => vec![Change::Receive(earlier), Change::Receive(place(1, number))],
                    2 => vec![session(&client, 1, number as u32)],
                    3 => vec![remember(&client, number as u16)],
                    4 => vec![forget(&client, number as u16 - 1)],
                    5 => vec![retain(large, Some("kim")), retain(body, None)],
                    6 => vec![bind("other", 2, &client, Qos::AtLeastOnce)],
                    7 if number > 300 => vec![Change::DropSession(ClientId::new(&client))],
                    8 if number > 300 => vec![Change::DeleteQueue(QueueId(3))],
                    // Of an earlier file.
                    _ => vec![Change::Remove(place(2, number.saturating_sub(50)))],
                },
            );
        }
        store.close();
        Self { home }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn digests(&self) -> Vec<PathBuf> {
        names(self.path(), "dig")
    }

    fn segments(&self) -> Vec<PathBuf> {
        names(self.path(), "seg")
    }

    fn copied(&self, then: impl FnOnce(&Path)) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        crate::changes::copy(self.path(), home.path(), true);
        then(home.path());
        home
    }
}

/// Files of the journal that end like that, in order.
fn names(home: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.join("journal")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<PathBuf> = entries.map(|name| Path::new("journal").join(name)).collect();
    names.retain(|name| name.extension().is_some_and(|found| found == extension));
    names.sort();
    names
}

fn reopen(home: &Path, reads_bodies: bool) -> Recovered {
    let copy = tempfile::tempdir().unwrap();
    crate::changes::copy(home, copy.path(), home.join("state").exists());
    open(Options { reads_bodies, ..without_follower(copy.path()) }).1
}

#[track_caller]
fn same(found: &Recovered, expected: &Recovered, when: &str) {
    assert!(picture(found) == picture(expected), "{when}");
    let unread = |recovered: &Recovered| {
        let mut unread: Vec<_> =
            recovered.queues.iter().map(|queue| (queue.record.id.0, queue.unread.clone())).collect();
        unread.sort_by_key(|(queue, _)| *queue);
        unread
    };
    assert_eq!(unread(found), unread(expected), "{when}");
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Changes a digest so that its checksum is right again.
fn forge(path: &Path, forge: impl FnOnce(&mut Vec<u8>)) {
    change(path, |bytes| {
        forge(bytes);
        bytes.truncate(bytes.len() - 4);
        let crc = crc32c::crc32c(bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
    });
}

/// What a digest says of its segment, and where in that the checksum of the groups stands.
const HEADING_BYTES: usize = CRC + 4 + 8;
const CRC: usize = 8 + 4 + 4 + 8 + 8 + 4 + 8 + 8;
