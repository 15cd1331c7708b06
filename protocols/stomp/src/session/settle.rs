//! ACK and NACK, now or later.

use model::delivery::Outcome;
use model::outbox::Outbox;
use model::request::{Operation, Settle};
use smallvec::SmallVec;

use crate::ack::Unsettled;
use crate::error_frame::Fault;
use crate::frame::{Command, Frame};
use crate::session::online::{Online, receipts_of};
use crate::transaction::Step;
use crate::version::Version;

/// ACK and NACK. NACK gives the message back to its queue, or, with `requeue:false`, away.
///
/// # Errors
///
/// No id, or one that means no message that waits.
pub(super) fn settle(online: &mut Online, frame: &mut Frame, out: &mut Outbox) -> Result<(), Fault> {
    let header = match online.version {
        Version::V1_0 | Version::V1_1 => "message-id",
        Version::V1_2 => "id",
    };
    let id =
        frame.header(header).ok_or_else(|| Fault::missing(frame.command, header, online.version))?.clone();
    if let Some(name) = frame.header("transaction") {
        // Asked before anything is taken: an ACK for a transaction that is not open settles nothing.
        online.transactions.find(name)?;
    }
    let settled = online.subscriptions.take(&id, &online.connection)?;
    let outcome = outcome(frame);
    let Some(name) = frame.header("transaction") else {
        let operations: SmallVec<[Operation; 1]> = settled
            .into_iter()
            .map(|Unsettled { consumer, tag, number: _ }| {
                Operation::Settle(Settle { consumer, tag, outcome })
            })
            .collect();
        online.submit(operations, receipts_of(frame), Vec::new(), frame, out);
        return Ok(());
    };
    let steps = settled.into_iter().map(|unsettled| Step::Settle { unsettled, outcome });
    online.transactions.find(name)?.add(steps, frame.header("receipt"), &online.options)?;
    Ok(())
}

fn outcome(frame: &Frame) -> Outcome {
    let is_ack = frame.command == Command::Ack;
    match (is_ack, frame.header("requeue").map(|value| &**value)) {
        (true, _) => Outcome::Accepted,
        (false, Some("false")) => Outcome::Rejected,
        (false, Some(_) | None) => Outcome::Requeued,
    }
}
