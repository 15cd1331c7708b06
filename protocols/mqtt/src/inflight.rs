//! Ids out, and how far each has come.

use std::collections::HashMap;
use std::num::NonZeroU16;

use model::delivery::DeliveryTag;
use model::name::ConsumerId;

use crate::packet::PacketId;

/// The deliveries at QoS 1 and QoS 2 that the client has not settled, by packet id.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    // The ids are ours, so nobody can choose them to collide.
    flights: HashMap<PacketId, Flight, foldhash::fast::RandomState>,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    lent: Lent,
    stage: Stage,
}

/// A delivery, as the broker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lent {
    /// Whose: the session's own, or one that reads a stream.
    pub(crate) consumer: ConsumerId,
    /// Which.
    pub(crate) tag: DeliveryTag,
}

/// How far a delivery has come (4.3.2, 4.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// QoS 1: PUBACK is due.
    Puback,
    /// QoS 2: PUBREC is due.
    Pubrec,
    /// PUBREC came, and that is not durable yet.
    Receiving,
    /// PUBREL was sent, PUBCOMP is due. PUBLISH is never sent again [MQTT-4.3.3-6].
    Pubcomp,
}

/// What a client says of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// PUBACK, with whatever reason.
    Puback,
    /// PUBREC without an error.
    Pubrec,
    /// PUBREC with a reason of 0x80 or above, which ends the exchange (4.3.3).
    PubrecError,
    /// PUBCOMP, with whatever reason.
    Pubcomp,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Done; the id is free.
    Accept(Lent),
    /// The client has it; PUBREL follows once that is durable.
    Receive(Lent),
    /// It is known to be durable: PUBREL, again.
    Pubrel,
    /// It came too early or twice.
    Ignore,
    /// No delivery has this id.
    Unknown,
    /// The answer belongs to another QoS.
    Violation,
}

impl Inflight {
    /// The id that a delivery always has: a client that comes back after a restart knows it by that.
    pub(crate) fn id_of(tag: DeliveryTag) -> PacketId {
        let id = tag.0.saturating_sub(1) % u64::from(u16::MAX) + 1;
        PacketId(NonZeroU16::new(id as u16).unwrap_or(NonZeroU16::MIN))
    }

    pub(crate) fn len(&self) -> usize {
        self.flights.len()
    }

    pub(crate) fn is_busy(&self, id: PacketId) -> bool {
        self.flights.contains_key(&id)
    }

    pub(crate) fn start(&mut self, id: PacketId, lent: Lent, stage: Stage) {
        self.flights.insert(id, Flight { lent, stage });
    }

    /// An id for a delivery that has none for ever, behind the last one of these: far from those that the session's own
    /// deliveries begin with, which would wait for it.
    pub(crate) fn free_id(&self, last: u16) -> PacketId {
        let below = (1..last).rev().chain((last.max(1)..=u16::MAX).rev());
        let all = below.filter_map(NonZeroU16::new).map(PacketId);
        all.into_iter().find(|id| !self.is_busy(*id)).unwrap_or(PacketId(NonZeroU16::MAX))
    }

    /// Takes a delivery one step further.
    pub(crate) fn answered(&mut self, id: PacketId, answer: Answer) -> Step {
        let Some(flight) = self.flights.get_mut(&id) else {
            return Step::Unknown;
        };
        let lent = flight.lent;
        match (flight.stage, answer) {
            (Stage::Puback, Answer::Puback)
            | (Stage::Pubrec, Answer::PubrecError)
            | (Stage::Pubcomp, Answer::Pubcomp) => {
                self.flights.remove(&id);
                Step::Accept(lent)
            }
            (Stage::Pubrec, Answer::Pubrec) => {
                flight.stage = Stage::Receiving;
                Step::Receive(lent)
            }
            // A 3.x client may repeat its PUBREC; the answer stays the same.
            (Stage::Pubcomp, Answer::Pubrec) => Step::Pubrel,
            (Stage::Receiving, Answer::Pubrec | Answer::PubrecError | Answer::Pubcomp)
            | (Stage::Pubcomp, Answer::PubrecError)
            | (Stage::Pubrec, Answer::Pubcomp) => Step::Ignore,
            (Stage::Puback, Answer::Pubrec | Answer::PubrecError | Answer::Pubcomp)
            | (Stage::Pubrec | Stage::Receiving | Stage::Pubcomp, Answer::Puback) => Step::Violation,
        }
    }

    /// PUBREC is durable. Whether PUBREL is to be sent.
    pub(crate) fn received(&mut self, id: PacketId) -> bool {
        match self.flights.get_mut(&id) {
            Some(flight) if flight.stage == Stage::Receiving => {
                flight.stage = Stage::Pubcomp;
                true
            }
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_run_from_1_to_65535_and_around() {
        // 2.2.1
        let id = |tag: u64| Inflight::id_of(DeliveryTag(tag)).get();
        assert_eq!([id(1), id(2), id(65_535), id(65_536), id(131_071)], [1, 2, 65_535, 1, 1]);
    }

    #[test]
    fn each_stage_has_its_answer() {
        // 4.3.2, 4.3.3
        let tag = DeliveryTag(7);
        let lent = Lent { consumer: ConsumerId::SESSION, tag };
        let check = |stage: Stage, answer: Answer, expected: Step| {
            let mut inflight = Inflight::default();
            inflight.start(Inflight::id_of(tag), lent, stage);
            assert_eq!(inflight.answered(Inflight::id_of(tag), answer), expected, "{stage:?} {answer:?}");
        };
        check(Stage::Puback, Answer::Puback, Step::Accept(lent));
        check(Stage::Puback, Answer::Pubrec, Step::Violation);
        check(Stage::Pubrec, Answer::Pubrec, Step::Receive(lent));
        check(Stage::Pubrec, Answer::PubrecError, Step::Accept(lent));
        check(Stage::Pubrec, Answer::Pubcomp, Step::Ignore);
        check(Stage::Pubrec, Answer::Puback, Step::Violation);
        check(Stage::Receiving, Answer::Pubrec, Step::Ignore);
        check(Stage::Pubcomp, Answer::Pubrec, Step::Pubrel);
        check(Stage::Pubcomp, Answer::Pubcomp, Step::Accept(lent));
        let mut none = Inflight::default();
        assert_eq!(none.answered(Inflight::id_of(tag), Answer::Puback), Step::Unknown);
    }

    #[test]
    fn an_id_that_is_free_is_found_from_the_top_down() {
        let mut inflight = Inflight::default();
        let lent = Lent { consumer: ConsumerId(1), tag: DeliveryTag(1) };
        let mut last = 0;
        for expected in [65_535, 65_534, 65_533] {
            let id = inflight.free_id(last);
            assert_eq!(id.get(), expected);
            inflight.start(id, lent, Stage::Puback);
            last = id.get();
        }
        assert_eq!((inflight.free_id(2).get(), inflight.free_id(1).get()), (1, 65_532));
    }
}
