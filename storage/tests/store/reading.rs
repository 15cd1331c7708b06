//! Messages are read back by their numbers, while everything else goes on.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use model::change::Change;
use model::name::QueueId;
use storage::{Found, Options, Store, StoreError};

use crate::changes::{changeset, commit, declare, enqueue, message, open, options, place, without_follower};

#[test]
fn what_was_committed_is_read_at_once() {
    let home = tempfile::tempdir().unwrap();
    // Its follower would not come by itself for long.
    let (store, _) =
        open(Options { apply_wait: std::time::Duration::from_secs(3600), ..options(home.path()) });
    commit(&store, [declare(1), declare(2)]);
    for number in 1..=300 {
        let body = message(number, &format!("key/{number}"), vec![number as u8; number as usize * 10]);
        let places = [place(1, number), place(2, number + 1000)];
        store.commit(changeset([enqueue(&body, &places)]), storage::Urgency::Soon, None);
    }
    commit(&store, [Change::Remove(place(1, 7))]);
    for wanted in [vec![300], (1..=300).collect(), vec![5, 6, 7, 8, 400], (1..300).step_by(29).collect()] {
        let found = read(&store, 1, &wanted).unwrap();
        let expected: Vec<u64> = wanted.into_iter().filter(|number| *number != 7 && *number <= 300).collect();
        check(&found, &expected, 0);
    }
    check(&read(&store, 2, &[1001, 1300]).unwrap(), &[1001, 1300], 1000);
    check(&read(&store, 3, &[1]).unwrap(), &[], 0);
}

#[test]
fn what_is_written_and_not_synced_yet_is_read_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    let long = std::time::Duration::from_secs(3600);
    let (store, _) = open(Options { soon_sync_wait_max: long, ..options(home.path()) });
    commit(&store, [declare(1)]);
    for number in 1..=30 {
        let (done, wait) = crossbeam_channel::bounded(1);
        let body = message(number, &format!("key/{number}"), vec![number as u8; number as usize * 10]);
        let changes = changeset([enqueue(&body, &[place(1, number)])]);
        store.commit(changes, storage::Urgency::Written, Some(Box::new(crate::changes::Send(done))));
        wait.recv().unwrap();
        // Whoever has been told of it may let go of it, and want it back.
        check(&read(&store, 1, &[number]).unwrap(), &[number], 0);
    }
}

#[test]
fn portion_after_portion_is_read_forwards_and_backwards() {
    let home = tempfile::tempdir().unwrap();
    // Several files, many groups in each.
    let (store, _) = open(Options { segment_bytes: 64 << 10, ..options(home.path()) });
    commit(&store, [declare(1)]);
    for number in 1..=900 {
        let body = message(number, &format!("key/{number}"), vec![number as u8; 300]);
        store.commit(changeset([enqueue(&body, &[place(1, number)])]), storage::Urgency::Soon, None);
        if number % 25 == 0 {
            commit(&store, []);
        }
    }
    let all: Vec<u64> = (1..=900).collect();
    for size in [1, 7, 25, 60] {
        let portions = all.chunks(size);
        for portion in portions.clone().chain(portions.clone().rev()).chain(portions.step_by(13)) {
            check(&read(&store, 1, portion).unwrap(), portion, 0);
        }
    }
}

#[test]
fn what_moves_is_found_where_it_went() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(Options { surplus_bytes_max: 64 << 10, ..options(home.path()) });
    commit(&store, [declare(1), declare(2)]);
    let mut stays = BTreeSet::new();
    for number in 1..=6000 {
        let body = message(number, &format!("key/{number}"), vec![number as u8; 500]);
        let place = place(1, number);
        store.commit(changeset([enqueue(&body, &[place])]), storage::Urgency::Soon, None);
        if number % 40 == 0 {
            stays.insert(number);
        } else {
            store.commit(changeset([Change::Remove(place)]), storage::Urgency::Soon, None);
        }
        if number % 200 == 0 {
            commit(&store, []);
            let wanted: Vec<u64> = stays.iter().copied().collect();
            check(&read(&store, 1, &wanted).unwrap(), &wanted, 0);
        }
    }
    assert!(store.statistics().trimmed.value() > 10, "{}", store.statistics().trimmed.value());
    assert_eq!(store.statistics().state_failures.value(), 0);
}

#[test]
fn what_is_damaged_is_never_handed_out_and_the_rest_is() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(options(home.path()));
    commit(&store, [declare(1)]);
    for number in 1..=20 {
        commit(
            &store,
            [enqueue(
                &message(number, &format!("key/{number}"), vec![number as u8; 400]),
                &[place(1, number)],
            )],
        );
    }
    let path = home.path().join("journal/0000000001.seg");
    // Where it lies is known before it is damaged.
    check(&read(&store, 1, &[20]).unwrap(), &[20], 0);
    damage(&path, 13);
    let found = read(&store, 1, &(1..=20).collect::<Vec<_>>()).unwrap();
    assert_eq!(found.damaged, [13]);
    let expected: Vec<u64> = (1..=20).filter(|number| *number != 13).collect();
    check(&found, &expected, 0);
}

#[test]
fn what_lies_behind_damage_that_nobody_gets_past_is_refused_and_the_rest_is_read() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(without_follower(home.path()));
    commit(&store, [declare(1), declare(2)]);
    let put = |queue, number: u64| {
        let body = message(number, &format!("key/{number}"), vec![number as u8; 400]);
        commit(&store, [enqueue(&body, &[place(queue, number)])]);
    };
    put(1, 1);
    check(&read(&store, 1, &[1]).unwrap(), &[1], 0);
    put(2, 13);
    put(2, 14);
    damage(&home.path().join("journal/0000000001.seg"), 13);
    for _ in 0..2 {
        let refused = read(&store, 2, &[14]);
        assert!(matches!(refused, Err(StoreError::Behind)), "{refused:?}");
        check(&read(&store, 1, &[1]).unwrap(), &[1], 0);
    }
}

/// Changes a byte of the message whose payload is that number, again and again.
fn damage(segment: &Path, number: u8) {
    let bytes = fs::read(segment).unwrap();
    let at = bytes.windows(100).position(|window| *window == [number; 100]).unwrap();
    let file = fs::File::options().write(true).open(segment).unwrap();
    file.write_all_at(&[number - 1], at as u64).unwrap();
}

#[test]
fn at_the_start_only_what_a_client_has_begun_to_receive_is_read() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(options(home.path()));
    commit(&store, [declare(1)]);
    for number in 1..=50 {
        let body = message(number, &format!("key/{number}"), vec![number as u8; 400]);
        commit(&store, [enqueue(&body, &[place(1, number)])]);
    }
    commit(&store, [Change::Receive(place(1, 9)), Change::Remove(place(1, 10))]);
    store.close();
    drop(store);

    let (store, recovered) = open(Options { reads_bodies: false, ..options(home.path()) });
    let queue = &recovered.queues[0];
    let read_already: Vec<u64> = queue.entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!((read_already, queue.entries[0].received), (vec![9], true));
    let unread: Vec<u64> = queue.unread.iter().map(|entry| entry.sequence).collect();
    let expected: Vec<u64> = (1..=50).filter(|number| !(9..=10).contains(number)).collect();
    assert_eq!((&unread, recovered.report.entries), (&expected, 49));
    for entry in &queue.unread {
        let size = 400 + format!("key/{}", entry.sequence).len();
        assert_eq!((entry.size_bytes as usize, entry.published_at.0), (size, entry.sequence));
    }
    check(&read(&store, 1, &unread).unwrap(), &expected, 0);
}

#[test]
fn who_asks_a_store_that_is_closed_gets_no_answer() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(without_follower(home.path()));
    store.close();
    let (answer, answered) = crossbeam_channel::bounded(1);
    store.read(QueueId(1), vec![1], Box::new(move |found| answer.send(found.is_ok()).unwrap()));
    assert!(answered.recv().is_err());
}

fn read(store: &Store, queue: u64, sequences: &[u64]) -> Result<Found, StoreError> {
    let (answer, answered) = crossbeam_channel::bounded(1);
    store.read(QueueId(queue), sequences.to_vec(), Box::new(move |found| answer.send(found).unwrap()));
    answered.recv().unwrap()
}

/// `offset`: how much further the numbers in this queue are than the messages'.
#[track_caller]
fn check(found: &Found, expected: &[u64], offset: u64) {
    let sequences: Vec<u64> = found.entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, expected);
    for entry in &found.entries {
        let number = entry.sequence - offset;
        assert_eq!(entry.message.key.as_str(), format!("key/{number}"));
        assert!(entry.message.payload.iter().all(|byte| *byte == number as u8));
    }
}
