//! How long entries stay by terms that came later than they.

use super::*;
use crate::queue::terms::Usual;

#[test]
fn what_is_too_old_by_terms_that_came_later_goes_though_its_page_goes_on() {
    // One page: two hundred entries, one each ten milliseconds.
    let stream = filled(1..=200);
    assert_eq!(stream.ask_expiry(), None);
    stay(&stream, Some(1000));
    let first = stream.ask_expiry().unwrap();
    assert!((WallMs(1010)..=WallMs(1050)).contains(&first), "{first:?}");
    assert_eq!(expire(&stream, 1500), (1..50).collect::<Vec<_>>());
    assert_eq!(
        stream.stream_ends().unwrap().ends.unwrap().map(|(number, at)| (number, at.0)),
        [(50, 500), (200, 2000)]
    );
    let next = stream.ask_expiry().unwrap();
    assert!((WallMs(1500)..=WallMs(1550)).contains(&next), "{next:?}");
    assert_eq!(expire(&stream, 1500), [0; 0]);
    // As those that come then do.
    (201..=300).for_each(|number| push(&stream, number, true));
    let gone = expire(&stream, 3300).len();
    assert!((177..=180).contains(&gone), "{gone}");
    let gone = gone + expire(&stream, 3500).len();
    assert!((197..=200).contains(&gone), "{gone}");
    stay(&stream, None);
    assert_eq!((stream.ask_expiry(), expire(&stream, u64::MAX)), (None, vec![]));
}

#[test]
fn a_page_that_is_not_here_is_brought_to_be_cut_and_again_if_it_did_not_come() {
    let stream = small(2000);
    stay(&stream, Some(1000));
    assert!(stream.ask_expiry().is_some());
    let mut taken = Taken::default();
    stream.expire(WallMs(1500), &mut taken);
    assert!(taken.absent && taken.removed.is_empty());
    assert_eq!(stream.ask_expiry(), None, "it waits for the page");
    assert!(stream.begin_fetch(0, 0).is_some());
    stream.fetch_failed(&mut Wakes::default());
    assert!(stream.ask_expiry().is_some(), "it did not come");
    stream.expire(WallMs(1500), &mut taken);
    assert!(bring(&stream));
    assert!(stream.ask_expiry().is_some(), "it has come");
    assert_eq!(expire(&stream, 1500), (1..50).collect::<Vec<_>>());
    // Pages of a hundred go as they are, and of the next one what is too old.
    assert_eq!(expire(&stream, 11_000), (50..=900).collect::<Vec<_>>());
    assert!(bring(&stream));
    assert_eq!(expire(&stream, 11_000), (901..1000).collect::<Vec<_>>());
    stream.expire(WallMs(u64::MAX), &mut taken);
    assert_eq!(stream.stats().ready, 0);
}

#[test]
fn a_reader_of_the_page_that_is_cut_goes_on_behind_what_is_gone() {
    let stream = small(2000);
    let one = Taker::attach(&stream, Start::First, Settles::BySending, None);
    assert_eq!(one.take(9), [0; 0]);
    stay(&stream, Some(1000));
    // It is on its way already.
    let mut taken = Taken::default();
    let asked = stream.begin_fetch(0, 0).unwrap();
    stream.expire(WallMs(1500), &mut taken);
    assert!(!taken.absent, "it is on its way");
    let found = asked.iter().map(|number| (*number, entry(*number, true))).collect();
    stream.fill(&asked, found, &mut Wakes::default());
    assert_eq!(one.take(3), [1, 2, 3]);
    assert_eq!(expire(&stream, 1500), (1..50).collect::<Vec<_>>());
    assert_eq!(one.take(3), [50, 51, 52]);
}

/// From now on its entries stay so long.
fn stay(stream: &Queue, age_max_ms: Option<u64>) {
    let terms = Terms::new(stream.options(), stream.owner(), None, Usual::default());
    stream.amend(Terms { age_max_ms, ..terms });
}

/// What goes then.
fn expire(stream: &Queue, now_ms: u64) -> Vec<u64> {
    let mut taken = Taken::default();
    stream.expire(WallMs(now_ms), &mut taken);
    taken.removed.into_iter().map(|place| place.sequence).collect()
}
