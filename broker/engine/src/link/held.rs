//! What is published while publishers are held waits; what settles does not.

use model::event::Event;
use model::refusal::Refusal;
use model::request::{Request, Submit};

use super::{Link, State, Turn};
use crate::clock;
use crate::parked::must_wait;
use crate::pressure::DISK;

impl Link {
    /// Submits, now or when publishers are not held any more.
    pub(super) fn submit_or_park(&mut self, submit: &mut Submit, turn: &mut Turn<'_>) {
        let alarms = self.core.pressure.now();
        let others_wait = self.parked.is_some();
        if (alarms.hold_lasting() || others_wait)
            && matches!(self.state, State::In(_))
            && must_wait(
                submit,
                &self.core.parts.vhost.options.levels,
                alarms.hold_lasting(),
                alarms.hold_all(),
                others_wait,
            )
        {
            if !others_wait {
                self.core.pressure.wait(self.id, &self.mailbox);
            }
            let parked = self.parked.get_or_insert_default();
            let Submit { ticket, answer, operations } = submit;
            let submit = Submit { ticket: *ticket, answer: *answer, operations: std::mem::take(operations) };
            return parked.push(Request::Submit(submit), clock::instant());
        }
        self.submit(submit, turn);
    }

    /// Goes on with what waits, if it need not any more; tells the client if it has waited too long.
    pub(super) fn poll_parked(&mut self, events: &mut Vec<Event>) {
        let Some(mut parked) = self.parked.take() else { return };
        let mut turn = Turn::new(events);
        let hold_max = self.core.parts.vhost.options.watermarks.hold_max;
        loop {
            let alarms = self.core.pressure.now();
            let is_over = !alarms.hold_lasting();
            let is_late = self.says_no && parked.is_due(clock::instant(), hold_max);
            if !(is_over || is_late) {
                break;
            }
            let Some(Request::Submit(mut submit)) = parked.pop() else { break };
            if is_over || submit.operations.is_empty() {
                self.submit(&mut submit, &mut turn);
            } else {
                self.core.parts.metrics.publishes_held_too_long.increment();
                let what = if alarms.hold_all() {
                    "memory ([limits] memory_hold); publish again later"
                } else if alarms.has(DISK) {
                    "room on the disk ([limits] disk_free); publish again later"
                } else {
                    "what a failing disk lets be written (store.behind in the log); publish again later"
                };
                let result = Err(Refusal::LimitReached(what));
                self.answer(Event::Submitted { ticket: submit.ticket, result }, &mut turn);
            }
        }
        if parked.is_empty() {
            self.core.pressure.leave(self.id);
        } else {
            self.parked = Some(parked);
        }
        turn.wakes.flush();
        self.commit_removals();
    }
}
