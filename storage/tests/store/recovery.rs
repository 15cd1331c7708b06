//! What is found at the next start.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::change::Change;
use model::qos::Qos;
use storage::{Options, Recovered};

use crate::changes::{
    bind, commit, copy, declare, enqueue, exchange, forget, message, open, options, place, remember, retain,
    session, without_follower,
};
use crate::naive::picture;

#[test]
fn entries_of_one_message_share_it() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(options(home.path()));
    let body = message(1, "k", vec![7; 300]);
    commit(&store, [declare(1), declare(2), enqueue(&body, &[place(1, 1), place(2, 1)]), retain(body, None)]);
    drop(store);
    let (_, recovered) = open(options(home.path()));
    let messages: Vec<_> = recovered.queues.iter().map(|queue| &queue.entries[0].message).collect();
    assert!(Arc::ptr_eq(messages[0], messages[1]));
    assert_eq!(recovered.retained.len(), 1);
}

#[test]
fn without_sled_the_journal_says_the_same() {
    let (home, expected) = everything();
    fs::remove_dir_all(home.path().join("state")).unwrap();
    let (store, recovered) = open(options(home.path()));
    assert_eq!(picture(&recovered), expected);
    assert!(recovered.report.state_rebuilt);
    drop(store);
    let (_, recovered) = open(options(home.path()));
    assert_eq!(picture(&recovered), expected);
    assert!(!recovered.report.state_rebuilt);
}

#[test]
fn a_sled_full_of_garbage_is_set_aside() {
    for garbage in [vec![], vec![0; 5000], vec![0xff; 600_000]] {
        for file in ["db", "conf"] {
            let (home, expected) = everything();
            fs::write(home.path().join("state").join(file), &garbage).unwrap();
            let (_, recovered) = open(options(home.path()));
            assert_eq!(picture(&recovered), expected, "{file} with {} bytes", garbage.len());
        }
    }
}

#[test]
fn the_sled_of_another_store_is_set_aside() {
    let (home, expected) = everything();
    let (other, _) = everything();
    fs::remove_dir_all(home.path().join("state")).unwrap();
    fs::rename(other.path().join("state"), home.path().join("state")).unwrap();
    let (_, recovered) = open(options(home.path()));
    assert_eq!(picture(&recovered), expected);
    assert!(home.path().join("state.damaged").exists());
}

#[test]
fn each_life_has_a_number_of_its_own_also_after_a_crash() {
    let home = tempfile::tempdir().unwrap();
    let mut directory = home.path().join("0");
    for life in 1..5 {
        let (store, recovered) = open(without_follower(&directory));
        assert_eq!(recovered.incarnation.0, life);
        let next = home.path().join(life.to_string());
        copy(&directory, &next, life % 2 == 0);
        drop(store);
        directory = next;
    }
}

#[test]
fn a_large_object_is_found_though_sled_has_no_copy_of_it() {
    let home = tempfile::tempdir().unwrap();
    let body = message(1, "large", vec![5; 200_000]);
    for clean in [true, false] {
        let directory = home.path().join(clean.to_string());
        let (store, _) = open(options(&directory));
        commit(&store, [retain(Arc::clone(&body), None)]);
        store.close();
        if !clean {
            fs::remove_dir_all(directory.join("state")).unwrap();
        }
        drop(store);
        let (_, recovered) = open(options(&directory));
        assert_eq!(recovered.retained[0].message.payload, body.payload);
    }
}

#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("data");
    let (store, _) = open(options(&directory));
    commit(&store, [declare(1)]);
    let mode = |path: &str| fs::metadata(directory.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("journal")), (0o700, 0o700));
    assert_eq!((mode("lock"), mode("format"), mode("journal/0000000001.seg")), (0o600, 0o600, 0o600));
}

/// A closed store with one of everything, and what is in it.
fn everything() -> (tempfile::TempDir, Vec<String>) {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(options(home.path()));
    commit(&store, [exchange("x"), declare(1), declare(2), session("ann", 1, 60), remember("ann", 7)]);
    commit(&store, [bind("x", 1, "a/b", Qos::AtLeastOnce), bind("x", 2, "c", Qos::ExactlyOnce)]);
    for number in 1..=50 {
        let body = message(number, &format!("key/{number}"), vec![1; 100]);
        commit(&store, [enqueue(&body, &[place(1, number), place(2, number)]), retain(body, Some("kim"))]);
    }
    commit(&store, [Change::Receive(place(1, 5)), Change::Remove(place(1, 6)), Change::Remove(place(2, 50))]);
    drop(store);
    let (store, recovered): (_, Recovered) = open(options(home.path()));
    drop(store);
    let expected = picture(&recovered);
    assert_eq!(expected.len(), 1 + 2 + 2 + 1 + 98 + 50);
    (home, expected)
}

#[test]
fn what_a_start_has_to_read_does_not_grow_from_one_kill_to_the_next() {
    let home = tempfile::tempdir().unwrap();
    let mut directory = home.path().join("0");
    // In all less than one file has room for.
    for life in 1..=30_u64 {
        let options = Options { segment_bytes: 512 << 10, surplus_bytes_max: 1 << 30, ..options(&directory) };
        let (store, recovered) = open(options);
        if life == 1 {
            commit(&store, [declare(1)]);
        }
        assert_eq!(recovered.report.entries as u64, life - 1);
        for number in 0..60_u16 {
            commit(&store, [remember(&format!("client {}", number % 3), number + 1)]);
            commit(&store, [forget(&format!("client {}", number % 3), number + 1)]);
        }
        commit(&store, [enqueue(&message(life, "k", vec![7; 100]), &[place(1, life)])]);
        let start = Instant::now();
        while groups_without_digest(&directory) > 1400 {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "life {life}: {}",
                groups_without_digest(&directory)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let next = home.path().join(life.to_string());
        copy(&directory, &next, false);
        drop(store);
        directory = next;
    }
}

/// How many groups are in files that have no digest.
fn groups_without_digest(directory: &Path) -> usize {
    let entries = fs::read_dir(directory.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let without = entries.filter(|path| {
        path.extension().is_some_and(|end| end == "seg") && !path.with_extension("dig").exists()
    });
    let groups = |path: &std::path::PathBuf| {
        let bytes = fs::read(path).unwrap();
        (0..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"DMQG")).count()
    };
    without.map(|path| groups(&path)).sum()
}
