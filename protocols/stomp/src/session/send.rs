//! SEND, now or in a transaction; BEGIN, COMMIT, ABORT.

use std::time::Instant;

use bytestring::ByteString;
use model::outbox::Outbox;
use model::request::{Operation, Publish, Settle};
use smallvec::SmallVec;

use crate::ack::Unsettled;
use crate::convert::sent;
use crate::error_frame::Fault;
use crate::frame::Frame;
use crate::receipt::Mandatory;
use crate::session::online::{Online, receipts_of};
use crate::session::replies;
use crate::transaction::Step;

/// SEND.
///
/// # Errors
///
/// No destination, a wrong one, or a header that means nothing.
pub(super) fn send(online: &mut Online, frame: &mut Frame, out: &mut Outbox) -> Result<(), Fault> {
    let (publish, mandatory) = publish(online, frame, out)?;
    if let Some(name) = frame.header("transaction") {
        let transaction = online.transactions.find(name)?;
        if mandatory {
            transaction.remember_mandatory(&frame.headers);
        }
        transaction.add([Step::Publish(publish)], frame.header("receipt"), &online.options)?;
        return Ok(());
    }
    let (headers, body) = (&frame.headers, &frame.body);
    let one = || Mandatory { operation: 0, headers: headers.clone(), body: body.clone() };
    let mandatory = mandatory.then(one).into_iter().collect();
    online.submit(
        SmallVec::from_buf([Operation::Publish(publish)]),
        receipts_of(frame),
        mandatory,
        frame,
        out,
    );
    Ok(())
}

/// What is to be published, and whether the client is told if no queue takes it.
fn publish(online: &mut Online, frame: &Frame, out: &mut Outbox) -> Result<(Publish, bool), Fault> {
    let destination = frame
        .header("destination")
        .ok_or_else(|| Fault::missing(frame.command, "destination", online.version))?;
    let address = online.address(destination)?;
    let mut sent = sent(&frame.headers, &online.options.destinations)?;
    if address.hides_destination {
        sent.tell_destination(destination);
    }
    let declare = address.declares.map(|name| online.declaration(name, &frame.headers)).transpose()?;
    // Last of all: what is refused leaves no queue behind.
    if let Some(name) = sent.replies_at.take() {
        let address = replies::address(online, &name, frame, out)?;
        sent.properties.get_or_insert_default().reply_to = Some(address);
    }
    let publish = Publish {
        exchange: address.exchange,
        key: address.key,
        payload: frame.body.clone(),
        qos: sent.qos,
        retain: sent.retain,
        persistent: sent.persistent,
        expiry_ms: sent.expiry_ms,
        delay_ms: sent.delay_ms,
        properties: sent.properties,
        remember: None,
        publication: sent.publication,
        declare,
    };
    Ok((publish, sent.mandatory))
}

/// BEGIN.
///
/// # Errors
///
/// No name, one that is open, or too many.
pub(super) fn begin(online: &mut Online, frame: &Frame, now: Instant, out: &mut Outbox) -> Result<(), Fault> {
    online.transactions.begin(&name(frame)?, now, &online.options)?;
    online.receipt(frame, out);
    Ok(())
}

/// COMMIT: one submit for all. Its receipt, and those of the frames in it, come when that is done.
///
/// # Errors
///
/// No name, or none that is open.
pub(super) fn commit(online: &mut Online, frame: &mut Frame, out: &mut Outbox) -> Result<(), Fault> {
    let transaction = online.transactions.take(&name(frame)?)?;
    let mut operations = SmallVec::with_capacity(transaction.steps.len());
    let mut asked = transaction.mandatory.into_iter().peekable();
    let mut mandatory = Vec::new();
    for (at, step) in transaction.steps.into_iter().enumerate() {
        match step {
            Step::Publish(publish) => {
                if let Some((_, headers)) = asked.next_if(|(step, _)| *step == at) {
                    let operation = u32::try_from(operations.len()).unwrap_or(u32::MAX);
                    mandatory.push(Mandatory { operation, headers, body: publish.payload.clone() });
                }
                operations.push(Operation::Publish(publish));
            }
            // What a subscription that has ended since had on loan is back in its queue already.
            Step::Settle { unsettled: Unsettled { consumer, tag, number: _ }, outcome } => {
                if online.subscriptions.goes_on(consumer) {
                    operations.push(Operation::Settle(Settle { consumer, tag, outcome }));
                }
            }
        }
    }
    let mut receipts = transaction.receipts;
    receipts.extend(receipts_of(frame));
    online.submit(operations, receipts, mandatory, frame, out);
    Ok(())
}

/// ABORT: nothing of it happens. What it would have settled waits for its ACK again; its receipts never come.
///
/// # Errors
///
/// No name, or none that is open.
pub(super) fn abort(online: &mut Online, frame: &Frame, out: &mut Outbox) -> Result<(), Fault> {
    let transaction = online.transactions.take(&name(frame)?)?;
    for step in transaction.steps {
        match step {
            Step::Publish(_) => {}
            Step::Settle { unsettled, outcome: _ } => online.subscriptions.put_back(unsettled),
        }
    }
    online.receipt(frame, out);
    Ok(())
}

fn name(frame: &Frame) -> Result<ByteString, Fault> {
    frame.header("transaction").cloned().ok_or_else(|| {
        Fault::new("Missing transaction", format!("{} needs header transaction.", frame.command))
    })
}
