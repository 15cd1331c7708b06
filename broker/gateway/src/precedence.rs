//! Who goes first: a message that comes alone is written to its consumer before its publisher is answered
//!
//! Both are written by one worker nearly always. Answered first, a publisher on the same machine wakes up and wants a core
//! while the message is still to be written: at 2,000 messages a second at QoS 1 that was an eighth of the median latency
//! (docs/performance.md). So the publisher's task ends its turn, and the next connection that has its turn on this worker,
//! which is the consumer just woken, wakes it when it is done. That way the runtime polls the two one after the other; a
//! task that yields by itself has it wake another worker.

use std::task::Waker;

use crate::workbench::{GaveWay, Workbench};

/// A turn begins.
pub(crate) fn count_turn(bench: &mut Workbench) {
    bench.turns = bench.turns.map(|turns| turns.saturating_add(1));
}

/// Has the connection behind `waker` come back after the next one on this worker, if it is to: it wants to write no more
/// than one answer, and the worker had nothing to do a moment ago. Whoever has much to write would only write later, and
/// no less; and where much waits, one turn more for each message is what it costs. Whether it is to end its turn now.
pub(crate) fn gives_way(bench: &mut Workbench, waker: &Waker) -> bool {
    let is_lone_answer = bench.out.wire.packets() == 1 && bench.out.close.is_none();
    let gives_way = is_lone_answer && bench.turns.is_some_and(|turns| turns <= QUIET_TURNS_MAX);
    if gives_way {
        bench.gave_way = Some(GaveWay(waker.clone()));
    }
    gives_way
}

/// To be called on every worker of a runtime when it starts, and whenever it has nothing more to do: then whoever gave way
/// to a connection that had its turn on another worker has its own. On threads on which nobody calls this, answers are
/// written at once.
pub fn worker_is_free() {
    let mut bench = Workbench::borrow();
    bench.turns = Some(0);
    let waits = bench.gave_way.take();
    bench.give_back();
    drop(waits);
}

/// With more turns than that since it had nothing to do, a worker is busy: the messages of two or three publishers that came together are no more.
const QUIET_TURNS_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use model::outbox::By;

    use super::*;

    #[test]
    fn only_one_answer_gives_way_and_only_where_there_is_little_to_do() {
        for (packets, turns, expected) in [
            (1, Some(1), true),
            (1, Some(QUIET_TURNS_MAX), true),
            (1, Some(QUIET_TURNS_MAX + 1), false),
            (1, None, false),
            (0, Some(1), false),
            (2, Some(1), false),
        ] {
            let mut bench = after(turns);
            (0..packets).for_each(|_| bench.out.wire.count_packet());
            assert_eq!(gives_way(&mut bench, Waker::noop()), expected, "{packets} {turns:?}");
            assert_eq!(bench.gave_way.is_some(), expected);
        }
    }

    #[test]
    fn a_last_word_is_said_at_once() {
        let mut bench = after(Some(1));
        bench.out.wire.count_packet();
        bench.out.hang_up(By::Broker, "over");
        assert!(!gives_way(&mut bench, Waker::noop()));
    }

    fn after(turns: Option<u32>) -> Workbench {
        let mut bench = Workbench::default();
        bench.turns = turns;
        bench
    }
}
