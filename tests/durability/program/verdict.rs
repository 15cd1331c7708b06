//! Verdict: what the notes say about the promises.

use std::fmt;

use crate::ledger::{Heard, Ledger, Promise, Publisher, Rules, Subscriber};

/// What was found, each with a few examples.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Acknowledged, and missing at a subscriber.
    pub(crate) lost: Findings,
    /// Came twice where it may come once.
    pub(crate) doubled: Findings,
    /// Came first after a newer one of the same publisher.
    pub(crate) reordered: Findings,
    /// Settled, confirmed, and came again.
    pub(crate) came_back: Findings,
    /// Came again, and did not say so.
    pub(crate) unflagged: Findings,
    /// Came, and was never sent, or not like this.
    pub(crate) invented: Findings,
    /// Everything else.
    pub(crate) complaints: Findings,
    summary: Vec<String>,
}

/// How many, and the first of them.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) count: u64,
    pub(crate) examples: Vec<String>,
}

impl Findings {
    fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < 5 {
            self.examples.push(example());
        }
    }
}

impl Verdict {
    /// Reads the notes.
    pub(crate) fn of(ledger: &Ledger) -> Self {
        let mut verdict = Self::default();
        for publisher in &ledger.publishers {
            verdict.summary.push(summary_of(publisher));
        }
        for subscriber in &ledger.subscribers {
            verdict.summary.push(summary_of_subscriber(subscriber));
            for (publisher, heard) in ledger.publishers.iter().zip(&subscriber.heard) {
                verdict.compare(publisher, subscriber, heard);
            }
            for (publisher, number) in &subscriber.came_back {
                let publisher = ledger.publishers.get(*publisher).map_or("?", |publisher| publisher.name);
                verdict.came_back.add(|| format!("{publisher} to {}: {number}", subscriber.name));
            }
            for _ in 0..subscriber.damaged {
                verdict.invented.add(|| format!("{} got bytes that nobody sent", subscriber.name));
            }
        }
        for (name, remark) in &ledger.remarks {
            verdict.summary.push(format!("{name}: {remark}"));
        }
        for (name, owed) in ledger.owed.iter().filter(|(_, owed)| **owed > 0) {
            verdict.lost.add(|| format!("{name}: {owed} that had to come"));
        }
        for complaint in &ledger.complaints {
            verdict.complaints.add(|| complaint.clone());
        }
        verdict
    }

    /// Whether every promise was kept.
    pub(crate) fn is_good(&self) -> bool {
        self.findings().iter().all(|(_, findings)| findings.count == 0)
    }

    fn compare(&mut self, publisher: &Publisher, subscriber: &Subscriber, heard: &Heard) {
        let way = |number: u64| format!("{} to {}: {number}", publisher.name, subscriber.name);
        let once = (publisher.promise, subscriber.promise) == (Promise::ExactlyOnce, Promise::ExactlyOnce);
        for (number, acknowledged) in (1_u64..).zip(&publisher.acknowledged) {
            let times = heard.times(number);
            if *acknowledged && times == 0 && subscriber.rules.complete {
                self.lost.add(|| way(number));
            }
            if once && times > 1 {
                self.doubled.add(|| format!("{} came {times} times", way(number)));
            }
        }
        for ((number, fresh), sent) in (1_u64..).zip(&heard.fresh).zip(&publisher.sent) {
            if fresh > sent {
                self.unflagged.add(|| format!("{} came as new {fresh} times, sent {sent}", way(number)));
            }
        }
        // Who was not there the whole time may have missed the first of two that were sent, and heard what came after it.
        let sent_once = |number: u64| publisher.sent_once(number);
        let Rules { ordered, complete } = subscriber.rules;
        for number in heard.late.iter().filter(|number| ordered && (complete || sent_once(**number))) {
            self.reordered.add(|| format!("{} after a newer one", way(*number)));
        }
        for number in &heard.unknown {
            self.invented.add(|| format!("{} was not sent", way(*number)));
        }
    }

    fn findings(&self) -> [(&'static str, &Findings); 7] {
        [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("reordered", &self.reordered),
            ("came back", &self.came_back),
            ("unflagged", &self.unflagged),
            ("invented", &self.invented),
            ("complaints", &self.complaints),
        ]
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.summary {
            writeln!(f, "{line}")?;
        }
        for (name, findings) in self.findings() {
            writeln!(f, "{name} {}", findings.count)?;
            for example in &findings.examples {
                writeln!(f, "    {example}")?;
            }
        }
        Ok(())
    }
}

fn summary_of(publisher: &Publisher) -> String {
    let acknowledged = publisher.acknowledged.iter().filter(|acknowledged| **acknowledged).count();
    let again: u64 = publisher.sent.iter().map(|times| u64::from(times.saturating_sub(1))).sum();
    format!(
        "publisher {}: {} sent, {again} sent again, {} sent again under their ids, {acknowledged} acknowledged",
        publisher.name,
        publisher.sent.len(),
        publisher.repeated,
    )
}

fn summary_of_subscriber(subscriber: &Subscriber) -> String {
    let distinct: u64 = subscriber.heard.iter().map(|heard| heard.distinct).sum();
    let times: u64 =
        subscriber.heard.iter().flat_map(|heard| &heard.times).map(|times| u64::from(*times)).sum();
    let confirmed = subscriber.confirmed();
    let again = times - distinct;
    format!(
        "subscriber {}: {distinct} heard, {again} heard again, {confirmed} settled and told so",
        subscriber.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledged_message_that_never_came_is_lost() {
        let mut ledger = ledger();
        ledger.hear(0, 0, 1, false);
        ledger.hear(0, 0, 3, false);
        let verdict = Verdict::of(&ledger);
        assert_eq!((verdict.lost.count, verdict.is_good()), (1, false));
        assert_eq!(verdict.lost.examples, ["p to s: 2"]);
    }

    #[test]
    fn a_message_that_was_not_acknowledged_may_be_missing() {
        let mut ledger = ledger();
        ledger.send(0);
        for number in 1..=3 {
            ledger.hear(0, 0, number, false);
        }
        assert!(Verdict::of(&ledger).is_good());
    }

    #[test]
    fn a_message_at_qos_2_that_comes_twice_is_doubled() {
        let mut ledger = full();
        ledger.hear(0, 0, 2, true);
        let verdict = Verdict::of(&ledger);
        assert_eq!((verdict.doubled.count, verdict.is_good()), (1, false));
    }

    #[test]
    fn at_least_once_may_come_again_if_it_says_so() {
        let mut ledger = full();
        ledger.subscribers[0].promise = Promise::AtLeastOnce;
        ledger.hear(0, 0, 2, true);
        assert!(Verdict::of(&ledger).is_good());
        ledger.hear(0, 0, 2, false);
        assert_eq!(Verdict::of(&ledger).unflagged.count, 1);
        // It was sent twice: then it may come as new twice.
        ledger.send_again(0, 2);
        assert!(Verdict::of(&ledger).is_good());
    }

    #[test]
    fn a_first_arrival_after_a_newer_one_is_reordered() {
        let mut ledger = ledger();
        for number in [1, 3, 2] {
            ledger.hear(0, 0, number, false);
        }
        let verdict = Verdict::of(&ledger);
        assert_eq!((verdict.reordered.count, verdict.is_good()), (1, false));
    }

    #[test]
    fn what_comes_again_later_is_no_reordering() {
        let mut ledger = full();
        ledger.subscribers[0].promise = Promise::AtLeastOnce;
        ledger.hear(0, 0, 1, true);
        assert!(Verdict::of(&ledger).is_good());
    }

    #[test]
    fn what_was_settled_and_confirmed_does_not_come_back_on_a_later_connection() {
        let mut ledger = full();
        ledger.subscribers[0].promise = Promise::AtLeastOnce;
        let before = ledger.moment();
        ledger.settle(0, [(0, 2)]);
        // It was on its way before that.
        ledger.hear_since(0, (0, 2), true, before);
        assert!(Verdict::of(&ledger).is_good());
        ledger.hear_since(0, (0, 2), true, ledger.moment());
        assert_eq!(Verdict::of(&ledger).came_back.count, 1);
        assert_eq!(Verdict::of(&ledger).came_back.examples, ["p to s: 2"]);
    }

    #[test]
    fn rules_take_order_and_completeness_away_and_nothing_else() {
        let mut ledger = ledger();
        ledger.hear(0, 0, 3, false);
        ledger.hear(0, 0, 2, false);
        ledger.subscribers[0].rules = Rules::SHARED;
        let verdict = Verdict::of(&ledger);
        assert_eq!((verdict.lost.count, verdict.reordered.count), (1, 0));
        ledger.subscribers[0].rules = Rules::FLEETING;
        let verdict = Verdict::of(&ledger);
        assert_eq!((verdict.lost.count, verdict.reordered.count), (0, 1));
        // Somebody who missed it when it was sent first hears it in the place of the second.
        ledger.send_again(0, 2);
        assert_eq!(Verdict::of(&ledger).reordered.count, 0);
        ledger.hear(0, 0, 2, false);
        assert_eq!(Verdict::of(&ledger).doubled.count, 1);
    }

    #[test]
    fn what_is_owed_in_the_end_is_lost() {
        let mut ledger = full();
        ledger.owed.insert("somebody", 2);
        assert_eq!(Verdict::of(&ledger).lost.examples, ["somebody: 2 that had to come"]);
    }

    #[test]
    fn what_nobody_sent_is_invented() {
        let mut ledger = full();
        ledger.hear(0, 0, 9, false);
        ledger.hear(0, 7, 1, false);
        ledger.hear_damaged(0);
        assert_eq!(Verdict::of(&ledger).invented.count, 3);
    }

    /// A publisher and a subscriber, both exactly once; three messages sent and acknowledged.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.add_publisher("p", Promise::ExactlyOnce);
        ledger.add_subscriber("s", Promise::ExactlyOnce, Rules::ALL);
        for _ in 0..3 {
            let number = ledger.send(0);
            ledger.acknowledge(0, number);
        }
        ledger
    }

    fn full() -> Ledger {
        let mut ledger = ledger();
        for number in 1..=3 {
            ledger.hear(0, 0, number, false);
        }
        ledger
    }
}
