//! SUBSCRIBE, MESSAGE, UNSUBSCRIBE.

use std::fmt::Write;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use model::delivery::Delivery;
use model::grant::Grant;
use model::message::Message;
use model::name::{ConsumerId, QueueName};
use model::outbox::{CHAIN_MIN, Outbox};
use model::qos::Qos;
use model::queue::HeaderMatch;
use model::refusal::Refusal;
use model::request::{
    Consumer, Replay, Request, Source, Subscribe, Subscription, Target, Unsubscribe, Unsubscription,
};
use model::stream::Start;
use model::wire_cache::Dialect;

use crate::ack::{AckMode, Name, Shape};
use crate::destination::{Destinations, TEMPORARY_PREFIX, Wanted};
use crate::encode::{END, number_header};
use crate::error_frame::Fault;
use crate::escape::Escapes;
use crate::frame::{Command, Frame};
use crate::headers::Headers;
use crate::receipt::Kind;
use crate::session::online::{Online, receipts_of};
use crate::session::tells;
use crate::version::Version;
use crate::{arguments, convert};

/// SUBSCRIBE.
///
/// # Errors
///
/// A header is missing or means nothing, or a subscription of that name goes on.
pub(super) fn subscribe(online: &mut Online, frame: &mut Frame, out: &mut Outbox) -> Result<(), Fault> {
    let destination = frame
        .header("destination")
        .ok_or_else(|| Fault::missing(frame.command, "destination", online.version))?
        .clone();
    let id = frame.header("id").cloned();
    check_id(online, frame, id.as_deref())?;
    arguments::refuse_unsupported(&frame.headers)?;
    let origin = online.options.destinations.origin(&destination)?;
    let (mode, qos) = promised(&frame.headers)?;
    let retained = if frame.headers.is_true("retained") { Replay::IfNew } else { Replay::Never };
    if retained != Replay::Never && matches!(origin.what, Wanted::Queue { .. }) {
        let detail =
            "header retained is for /topic/ and /exchange/: nothing is retained in a queue; leave it out.";
        return Err(Fault::new("Invalid header", detail));
    }
    let prefetch = frame.header("prefetch-count").map(|count| convert::number("prefetch-count", count));
    // RabbitMQ's zero: no limit.
    let prefetch = prefetch.transpose()?.filter(|count| *count > 0);
    let is_queue = matches!(origin.what, Wanted::Queue { .. });
    let errors = tells::is_for_errors(&origin.what, &online.options);
    let (source, queue) = asked(origin.what, qos, &destination, id.as_deref(), &frame.headers)?;
    let name = id.as_deref().map_or(Name::Destination(&destination), Name::Id);
    let durable = !is_queue && arguments::is_durable(&frame.headers);
    let shape = Shape { shown_by: origin.shown_by, durable, numbers: asks_for_numbers(frame), errors };
    let escapes = online.escapes();
    let Some(id) = online.subscriptions.open(name, mode, shape, (&online.connection, escapes)) else {
        let detail = format!("a subscription with {} goes on already; UNSUBSCRIBE first.", text(name));
        return Err(Fault::new("Duplicated subscription identifier", detail));
    };
    let consumer = Consumer {
        id,
        acknowledges: mode != AckMode::Auto,
        prefetch: prefetch.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        start: arguments::start(&frame.headers)?,
    };
    let subscription = Subscription { source, queue, consumer: Some(consumer), retained };
    let ticket = online.pending.wait(Online::work(Kind::Subscribe(id), receipts_of(frame), frame));
    out.requests.push(Request::Subscribe(Box::new(Subscribe { ticket, subscriptions: vec![subscription] })));
    Ok(())
}

/// What a SUBSCRIBE with these headers asks the broker to bind and to consume, for whoever wants to know before.
///
/// # Errors
///
/// Why it would be refused before the broker is asked.
pub fn foresee(headers: &Headers, destinations: &Destinations) -> Result<(Option<Source>, Target), String> {
    let foreseen = || {
        let missing = || Fault::missing(Command::Subscribe, "destination", Version::V1_2);
        let destination = headers.get("destination").ok_or_else(missing)?;
        arguments::refuse_unsupported(headers)?;
        let origin = destinations.origin(destination)?;
        let (_, qos) = promised(headers)?;
        asked(origin.what, qos, destination, headers.get("id").map(|id| &**id), headers)
    };
    foreseen().map_err(|fault: Fault| fault.detail)
}

/// What is bound, and the queue that is consumed.
fn asked(
    what: Wanted,
    qos: Qos,
    destination: &str,
    id: Option<&str>,
    headers: &Headers,
) -> Result<(Option<Source>, Target), Fault> {
    Ok(match what {
        Wanted::Queue { name, declares: true } => {
            (None, Target::Declare(Box::new(arguments::shared_queue(name, headers)?)))
        }
        Wanted::Queue { name, declares: false } => (None, Target::Existing(name)),
        Wanted::Keys { exchange, pattern, named } => {
            let arguments = if named && convert::has_arguments(&exchange) {
                convert::arguments(headers)?
            } else {
                HeaderMatch::default()
            };
            let grant = Grant { qos, ..Grant::default() };
            let source = Source { exchange, pattern, arguments, share: None, grant };
            (Some(source), own_queue(headers, id, destination)?)
        }
    })
}

/// `ack` and `qos`: at QoS 0 a message is settled by being sent, at 1 and 2 by its ACK.
fn promised(headers: &Headers) -> Result<(AckMode, Qos), Fault> {
    let invalid = |detail: String| Fault::new("Invalid header", detail);
    let ack = headers.get("ack").map(|mode| &**mode);
    let mode = AckMode::parse(ack).ok_or_else(|| {
        let mode = ack.unwrap_or_default();
        invalid(format!("header ack is '{mode}'; expected auto, client or client-individual."))
    })?;
    let Some(qos) = headers.get("qos") else { return Ok((mode, Grant::default().qos)) };
    let qos = convert::qos(qos).map_err(Fault::from)?;
    match (qos, mode, ack) {
        (Qos::AtMostOnce, AckMode::Auto, _) => Ok((mode, qos)),
        (Qos::AtMostOnce, AckMode::Client | AckMode::ClientIndividual, _) => {
            Err(invalid("qos:0 waits for no ACK; leave out header ack, or ask for qos:1.".into()))
        }
        (Qos::AtLeastOnce | Qos::ExactlyOnce, AckMode::Auto, None) => Ok((AckMode::ClientIndividual, qos)),
        (Qos::AtLeastOnce | Qos::ExactlyOnce, AckMode::Auto, Some(_)) => Err(invalid(format!(
            "qos:{} waits for ACK; leave out header ack, which then is client-individual, or say ack:client.",
            qos as u8
        ))),
        (Qos::AtLeastOnce | Qos::ExactlyOnce, AckMode::Client | AckMode::ClientIndividual, _) => {
            Ok((mode, qos))
        }
    }
}

fn check_id(online: &Online, frame: &Frame, id: Option<&str>) -> Result<(), Fault> {
    if id.is_some_and(|id| id.len() > ID_BYTES_MAX) {
        return Err(Fault::new("Invalid header", format!("header id is longer than {ID_BYTES_MAX} bytes.")));
    }
    if id.is_some_and(|id| id.starts_with(TEMPORARY_PREFIX)) {
        let detail =
            format!("ids that begin with {TEMPORARY_PREFIX} are those of temporary queues; choose another.");
        return Err(Fault::new("Invalid header", detail));
    }
    if id.is_none() && online.options.strict && online.version != Version::V1_0 {
        let message = format!("{} needs header id (STOMP 1.1+)", frame.command);
        return Err(Fault::new(message.clone(), format!("{message}.")));
    }
    check_room(online)
}

/// Whether there may be another subscription.
///
/// # Errors
///
/// There may not.
pub(super) fn check_room(online: &Online) -> Result<(), Fault> {
    let max = online.options.subscriptions_max;
    if online.subscriptions.len() < max {
        return Ok(());
    }
    Err(Fault::new("Too many subscriptions", format!("a connection has at most {max} subscriptions.")))
}

/// At QoS 2 each message has a number for ever, by which the client knows again what it had before its ACK was lost.
fn asks_for_numbers(frame: &Frame) -> bool {
    frame.header("qos").is_some_and(|qos| qos == "2")
}

/// The queue behind a subscription to keys.
fn own_queue(headers: &Headers, id: Option<&str>, destination: &str) -> Result<Target, Fault> {
    let name = match headers.get("x-queue-name") {
        Some(name) => name.to_string(),
        None if !arguments::is_durable(headers) => {
            let name = || QueueName::new(&format!("stomp-subscription-{}", unguessable()));
            let declaration = arguments::private_queue(name, headers)?;
            return Ok(declaration.map_or(Target::Private, |asked| Target::Declare(Box::new(asked))));
        }
        None => {
            let missing = || Fault::new("Missing Header", "SUBSCRIBE needs header id to be durable.");
            let id = id.ok_or_else(missing)?;
            // No slash of the id: the first one is the destination's, so two pairs never give one name.
            format!("stomp.{}.{destination}", id.replace('%', "%25").replace('/', "%2F"))
        }
    };
    if name.is_empty() || name.len() > QUEUE_NAME_BYTES_MAX {
        let detail = format!("the queue's name {name:?} does not have 1 to {QUEUE_NAME_BYTES_MAX} bytes.");
        return Err(Fault::new("Invalid header", detail));
    }
    let declaration = arguments::subscription_queue(QueueName::new(&name), headers)?;
    Ok(Target::Declare(Box::new(declaration)))
}

/// Part of a name that nobody guesses: 128 bits, of a hash with a secret key of its own.
pub(super) fn unguessable() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

/// UNSUBSCRIBE.
///
/// # Errors
///
/// Neither `id` nor `destination`, or nothing by that name.
pub(super) fn unsubscribe(online: &mut Online, frame: &mut Frame, out: &mut Outbox) -> Result<(), Fault> {
    let id = frame.header("id").cloned();
    let destination = frame.header("destination").cloned();
    let strict = online.options.strict && online.version != Version::V1_0;
    let name = match (&id, &destination) {
        (Some(id), _) => Name::Id(id),
        (None, Some(destination)) if !strict => Name::Destination(destination),
        (None, _) => return Err(Fault::missing(frame.command, "id", online.version)),
    };
    let Some(subscription) = online.subscriptions.find(name) else {
        return Err(Fault::new(
            "Subscription not found",
            format!("no subscription with {} goes on.", text(name)),
        ));
    };
    let consumer = subscription.consumer;
    let delete_queue = subscription.shape.durable && arguments::is_durable(&frame.headers);
    online.subscriptions.end(consumer);
    online.temporary.forget(consumer);
    let work = Online::work(Kind::Unsubscribe(consumer), receipts_of(frame), frame);
    let ticket = online.pending.wait(work);
    let subscriptions = vec![Unsubscription::Consumer { id: consumer, delete_queue }];
    out.requests.push(Request::Unsubscribe(Box::new(Unsubscribe { ticket, subscriptions })));
    Ok(())
}

fn text(name: Name<'_>) -> String {
    match name {
        Name::Id(id) => format!("id '{id}'"),
        Name::Destination(destination) => format!("destination '{destination}' and without id"),
    }
}

/// The broker deleted the queue under a subscription.
pub(super) fn cancelled(online: &Online, consumer: ConsumerId) -> Option<Fault> {
    let subscription = online.subscriptions.of_consumer(consumer)?;
    let detail = "the queue behind the subscription was deleted; SUBSCRIBE again to have it made anew.";
    Some(Fault::new("Server cancelled subscription", detail).of_subscription(subscription.id()))
}

/// What a subscription gave is denied by now.
pub(super) fn revoked(online: &Online, consumer: ConsumerId, refusal: &Refusal) -> Option<Fault> {
    let subscription = online.subscriptions.of_consumer(consumer)?;
    Some(Fault::from(refusal).of_subscription(subscription.id()))
}

/// Writes MESSAGE. Deliveries to a subscription that is gone are left out: the broker has what was not settled.
pub(super) fn message(online: &mut Online, delivery: &Delivery, out: &mut Outbox) {
    let escapes = online.escapes();
    let Some((number, subscription)) = online.subscriptions.deliver(delivery.consumer, delivery.tag) else {
        return;
    };
    let message = &delivery.message;
    let destinations = &online.options.destinations;
    let buf = out.wire.buf();
    buf.extend_from_slice(subscription.start());
    online.shown.write(message, subscription.shape.shown_by, (destinations, escapes), buf);
    let is_for_ack = online.version == Version::V1_2 && subscription.mode != AckMode::Auto;
    subscription.write_ids(number, is_for_ack, buf);
    if subscription.shape.numbers {
        // Writing to a BytesMut cannot fail: it grows.
        let _ = write!(buf, "\nx-message-id:{}", message.id);
    }
    if delivery.retain {
        buf.extend_from_slice(b"\nretain:true");
    }
    let redelivered: &[u8] =
        if delivery.attempts > 0 { b"\nredelivered:true\n" } else { b"\nredelivered:false\n" };
    buf.extend_from_slice(redelivered);
    if delivery.attempts > 0 {
        number_header(buf, "x-delivery-count", delivery.attempts.into());
    }
    if let Some(offset) = delivery.offset {
        number_header(buf, Start::HEADER, offset);
    }
    if let Some(left_ms) = delivery.expires_in_ms {
        number_header(buf, "expiration", left_ms);
    }
    common(message, destinations, online.version, escapes, out);
    out.wire.count_packet();
}

/// The rest, which is the same for all receivers of one version.
fn common(
    message: &Arc<Message>,
    destinations: &Destinations,
    version: Version,
    escapes: Escapes,
    out: &mut Outbox,
) {
    let is_small = message.payload.len() < CHAIN_MIN;
    // Without properties, so little is to be written that keeping it would cost more; the same if nobody but its queue and
    // we have the message.
    if message.properties.is_none() || Arc::strong_count(message) <= 2 {
        convert::write_common(message, destinations, escapes, out.wire.buf());
        out.wire.put_shared(&message.payload);
        out.wire.buf().extend_from_slice(END);
        return;
    }
    let dialect = match version {
        Version::V1_0 => Dialect::Stomp10,
        Version::V1_1 => Dialect::Stomp11,
        Version::V1_2 => Dialect::Stomp12,
    };
    let encoded = message.wire.get_or_encode(dialect, || {
        let mut buf = BytesMut::new();
        convert::write_common(message, destinations, escapes, &mut buf);
        if is_small {
            buf.extend_from_slice(&message.payload);
            buf.extend_from_slice(END);
        }
        // Exactly as large as it is: it stays as long as the message does.
        Bytes::copy_from_slice(&buf)
    });
    out.wire.put_shared(encoded);
    if !is_small {
        out.wire.put_shared(&message.payload);
        out.wire.buf().extend_from_slice(END);
    }
}

/// The longest id of a subscription, in bytes: it comes back in every message.
pub(super) const ID_BYTES_MAX: usize = 1024;
/// The longest name of a queue, in bytes.
const QUEUE_NAME_BYTES_MAX: usize = 255;
