//! Who is picked.

use model::grant::Grant;
use model::name::{ConsumerId, QueueId};

use super::*;
use crate::queue::Queue;
use crate::queue::consumers::{ConsumerOptions, Settles};
use crate::queue::owner::Owner;
use crate::testing::options;
use crate::wake::{Readiness, Wakes};

#[test]
fn members_are_picked_in_turn() {
    // MQTT 5.0, 4.8.2: each message goes to one of them.
    assert_eq!(picks(&[PRESENT, PRESENT, PRESENT], 9), [3, 3, 3]);
}

#[test]
fn an_absent_members_turns_are_spread_over_those_present() {
    assert_eq!(picks(&[ABSENT, PRESENT, DURABLE, PRESENT], 80), [0, 40, 0, 40]);
    assert_eq!(picks(&[ABSENT, PRESENT, PRESENT], 60), [0, 30, 30]);
}

#[test]
fn an_absent_member_is_picked_only_if_nobody_is_present_and_a_durable_one_first() {
    assert_eq!(picks(&[ABSENT, DURABLE, DURABLE], 60), [0, 30, 30]);
    assert_eq!(picks(&[ABSENT, ABSENT], 6), [3, 3]);
}

#[test]
fn picks_see_who_joined_and_left() {
    let share = Arc::new(Share::new(0));
    assert!(share.pick().next().is_none());
    let member = |id| Route { queue: member(id, PRESENT), grant: Grant::default(), via: None };
    share.join(1, member(1));
    share.join(2, member(2));
    share.join(1, member(3));
    assert_eq!(share.ids(), [1, 2]);
    let ids: Vec<_> = share.pick().members().iter().map(|route| route.queue.id().0).collect();
    assert_eq!(ids, [3, 2]);
    assert!(!share.leave(1));
    assert!(share.leave(2));
}

#[test]
fn publishers_take_turns_together() {
    let share = Arc::new(Share::new(0));
    for id in 0..2 {
        share.join(id, Route { queue: member(id, PRESENT), grant: Grant::default(), via: None });
    }
    let first = |pick: Pick| pick.next().map(|route| route.queue.id().0);
    assert_ne!(first(share.pick()), first(share.pick()));
}

#[derive(Clone, Copy)]
struct Kind {
    present: bool,
    durable: bool,
}

const PRESENT: Kind = Kind { present: true, durable: false };
const ABSENT: Kind = Kind { present: false, durable: false };
const DURABLE: Kind = Kind { present: false, durable: true };

/// How often each member is picked.
fn picks(kinds: &[Kind], count: usize) -> Vec<usize> {
    let share = Arc::new(Share::new(0));
    for (id, kind) in (0..).zip(kinds) {
        share.join(id, Route { queue: member(id, *kind), grant: Grant::default(), via: None });
    }
    let pick = share.pick();
    let mut picked = vec![0; kinds.len()];
    for _ in 0..count {
        picked[pick.next().unwrap().queue.id().0 as usize] += 1;
    }
    picked
}

fn member(id: u64, kind: Kind) -> Arc<Queue> {
    let mut options = options(&id.to_string());
    options.durable = kind.durable;
    let queue = Queue::new(QueueId(id), options, Owner::Nobody);
    if kind.present {
        let consumer =
            ConsumerOptions { id: ConsumerId(0), settles: Settles::ByQos, prefetch: None, link: id };
        queue.attach(consumer, &Readiness::new(), &mut Wakes::default()).unwrap();
    }
    queue
}
