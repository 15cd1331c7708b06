//! `reply-to` that names a temporary queue.
//!
//! A client chooses a name, such as `/temp-queue/answers`. The first time it stands in `reply-to`, a queue is made for this
//! connection alone, and consumed by it; who receives the message finds the queue's own name instead. Replies come as
//! MESSAGE with the client's name for `subscription`, settled by being sent. UNSUBSCRIBE with that id ends it, and so does
//! the end of the connection.

use bytestring::ByteString;
use model::key::RoutingKey;
use model::name::{ExchangeName, QueueName};
use model::outbox::Outbox;
use model::properties::ReplyTo;
use model::request::{Consumer, Replay, Request, Subscribe, Subscription, Target};

use crate::ack::{AckMode, Name, Shape};
use crate::error_frame::Fault;
use crate::frame::Frame;
use crate::receipt::{Kind, Work};
use crate::session::online::Online;
use crate::session::subscribe::{ID_BYTES_MAX, check_room, unguessable};

/// What others are to see in place of `name`, which begins with `/temp-queue/`. Makes the queue if this is the first time.
///
/// # Errors
///
/// There are too many, or the name is too long.
pub(super) fn address(
    online: &mut Online,
    name: &ByteString,
    frame: &Frame,
    out: &mut Outbox,
) -> Result<ReplyTo, Fault> {
    if let Some(key) = online.temporary.key(name) {
        return Ok(ReplyTo::Address { exchange: ExchangeName::DEFAULT, key: key.clone() });
    }
    let max = online.options.temporary_queues_max;
    if online.temporary.len() >= max {
        let detail = format!(
            "a connection has at most {max} temporary queues (stomp.temporary_queues). Use one name for many requests and \
             tell replies apart by correlation-id, or end one by UNSUBSCRIBE with its name as id."
        );
        return Err(Fault::new("Too many temporary queues", detail));
    }
    if name.len() > ID_BYTES_MAX {
        let detail = format!("header reply-to is longer than {ID_BYTES_MAX} bytes.");
        return Err(Fault::new("Invalid header", detail));
    }
    check_room(online)?;
    let escapes = online.escapes();
    let shape = Shape { shown_by: None, durable: false, numbers: false, errors: false };
    let ids = (&*online.connection, escapes);
    let Some(id) = online.subscriptions.open(Name::Id(name), AckMode::Auto, shape, ids) else {
        let detail = format!("a subscription with id '{name}' goes on already.");
        return Err(Fault::new("Duplicated subscription identifier", detail));
    };
    let queue = format!("{}{}", QueueName::FOR_REPLIES, unguessable());
    let key = RoutingKey::from(queue.as_str());
    let consumer = Consumer { id, acknowledges: false, prefetch: None, start: None };
    let target = Target::Replies(QueueName::new(&queue));
    let subscription =
        Subscription { source: None, queue: target, consumer: Some(consumer), retained: Replay::Never };
    let (command, headers) = (frame.command, frame.headers.clone());
    let work =
        Work { kind: Kind::Subscribe(id), receipts: Vec::new(), command, headers, mandatory: Vec::new() };
    let ticket = online.pending.wait(work);
    out.requests.push(Request::Subscribe(Box::new(Subscribe { ticket, subscriptions: vec![subscription] })));
    online.temporary.add(name, key.clone(), id);
    Ok(ReplyTo::Address { exchange: ExchangeName::DEFAULT, key })
}
