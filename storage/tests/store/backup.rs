//! A backup of a store in use is that store at a moment.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::change::Change;
use storage::{StoreError, backup, restore};

use crate::changes::{commit, declare, enqueue, message, open, options, place};

#[test]
fn a_backup_under_load_is_a_moment_with_all_that_was_acknowledged_before_it() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let (store, _) = open(options(&data));
    commit(&store, [declare(1), declare(2)]);
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Always in both queues, and only the last twenty stay: files come and go all the time.
            for number in 1.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let body = message(number, "k", vec![number as u8; 3000]);
                let mut changes = vec![enqueue(&body, &[place(1, number), place(2, number)])];
                if number > KEPT {
                    changes.push(Change::Remove(place(1, number - KEPT)));
                    changes.push(Change::Remove(place(2, number - KEPT)));
                }
                commit(&store, changes);
                done.store(number, Ordering::SeqCst);
            }
        });
        for round in 0..5 {
            while done.load(Ordering::SeqCst) < (round + 1) * 60 {
                std::thread::yield_now();
            }
            let before = done.load(Ordering::SeqCst);
            let kept = home.path().join(format!("backup {round}"));
            backup(&data, &kept).unwrap();
            let after = done.load(Ordering::SeqCst) + 1;
            let back = home.path().join(format!("back {round}"));
            restore(&kept, &back).unwrap();
            let (_, recovered) = open(options(&back));
            let numbers: Vec<BTreeSet<u64>> = recovered
                .queues
                .iter()
                .map(|queue| queue.entries.iter().map(|entry| entry.sequence).collect())
                .collect();
            assert_eq!(numbers[0], numbers[1], "no half of a transaction");
            let last = *numbers[0].last().unwrap();
            assert!((before..=after).contains(&last), "{last} of {before} to {after}");
            let expected: BTreeSet<u64> = (last.saturating_sub(KEPT) + 1..=last).collect();
            assert_eq!(numbers[0], expected, "round {round}");
        }
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn nothing_is_overwritten_and_damage_is_neither_copied_nor_restored() {
    let home = tempfile::tempdir().unwrap();
    let (data, kept) = (home.path().join("data"), home.path().join("kept"));
    assert!(matches!(backup(&data, &kept), Err(StoreError::NoStore { .. })));
    let (store, _) = open(options(&data));
    commit(&store, [declare(1)]);
    drop(store);
    backup(&data, &kept).unwrap();
    assert!(matches!(backup(&data, &kept), Err(StoreError::NotEmpty { .. })));
    assert!(matches!(restore(&kept, &data), Err(StoreError::NotEmpty { .. })));
    let path = kept.join("journal/0000000001.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let back = home.path().join("back");
    assert!(matches!(restore(&kept, &back), Err(StoreError::Damaged { .. })));
    assert!(!back.exists());
}

const KEPT: u64 = 20;
