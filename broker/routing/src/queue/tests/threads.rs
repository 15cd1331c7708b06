//! A queue between threads: nobody sleeps while there is something to take.

use std::task::{Wake, Waker};
use std::thread::{self, Thread};

use super::*;

const PUBLISHERS: usize = 3;
const CONSUMERS: usize = 2;
const EACH: usize = 20_000;

#[test]
fn no_wake_is_lost_between_threads() {
    let queue = queue(1, "q");
    let left = AtomicUsize::new(PUBLISHERS * EACH);
    thread::scope(|scope| {
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|_| {
                let (taker, left) = (Taker::attach(&queue, Settles::Always, Some(7)), &left);
                scope.spawn(move || consume(&taker, left))
            })
            .collect();
        for _ in 0..PUBLISHERS {
            scope.spawn(|| {
                for _ in 0..EACH / 10 {
                    let mut wakes = Wakes::default();
                    (0..10).for_each(|_| queue.push(item("a"), &mut wakes).unwrap());
                }
            });
        }
        for consumer in consumers {
            consumer.join().unwrap();
        }
    });
    assert_eq!(left.into_inner(), 0);
}

/// As the task of a link does it: register, drain, take, put back what has more.
fn consume(taker: &Taker, left: &AtomicUsize) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut called = Vec::new();
    while left.load(Ordering::Acquire) > 0 {
        taker.readiness.register(&waker);
        taker.readiness.drain(&mut called);
        if called.is_empty() {
            thread::park();
        }
        for id in called.drain(..) {
            let mut taken = Taken::default();
            if taker.queue.take(taker.key, 3, NOW, &mut taken) {
                taker.readiness.mark(id);
            }
            for delivery in &taken.deliveries {
                taker.settle(delivery.tag.0, Outcome::Accepted);
            }
            let count = taken.deliveries.len();
            if left.fetch_sub(count, Ordering::AcqRel) == count {
                // The others wait for more, and none will come.
                taker.queue.close().iter().for_each(|(readiness, _)| readiness.wake());
                return;
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
