//! Streams that a client reads, each from where it likes

use std::borrow::Cow;

use bytestring::ByteString;
use model::delivery::Delivery;
use model::name::{ConsumerId, QueueName};
use model::qos::Qos;
use model::request::{Consumer, Replay, Subscription, Target, Unsubscription};
use model::stream::Start;
use smallvec::SmallVec;

use crate::convert::STREAM;
use crate::limits::Limits;

/// What a client reads of streams. It ends with its connection: whoever comes back says from which offset on he wants more.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    reading: Vec<Reading>,
    last_consumer: u32,
}

#[derive(Debug)]
struct Reading {
    consumer: ConsumerId,
    stream: QueueName,
    /// The most that was granted.
    qos: Qos,
    subscription_ids: SmallVec<[u32; 1]>,
}

/// What a filter asks for that names a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    stream: &'a str,
    start: Option<Start>,
}

impl<'a> Wanted<'a> {
    /// Reads `$stream/NAME`, or `$stream/NAME/START`; `None`: the filter names no stream.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn of(filter: &'a str) -> Option<Result<Self, &'static str>> {
        let rest = filter.strip_prefix(STREAM)?;
        let (stream, start) = match rest.rsplit_once('/') {
            Some((stream, last)) => match Start::parse(last) {
                Some(start) => (stream, Some(start)),
                None => (rest, None),
            },
            None => (rest, None),
        };
        if stream.is_empty() {
            return Some(Err("$stream/ needs the name of a stream behind it"));
        }
        if stream.contains(['+', '#']) {
            return Some(Err("a stream is read by its name, without wildcards"));
        }
        Some(Ok(Self { stream, start }))
    }

    /// Which queue that is.
    pub(crate) fn queue(&self) -> QueueName {
        QueueName::new(self.stream)
    }
}

/// From where on user properties of SUBSCRIBE say that streams are read.
///
/// # Errors
///
/// They say something else.
pub(crate) fn start(user: &[(ByteString, ByteString)]) -> Result<Option<Start>, Cow<'static, str>> {
    let Some((name, text)) = user.iter().find(|(name, _)| &**name == Start::HEADER) else { return Ok(None) };
    let start = Start::parse(text);
    start.map(Some).ok_or_else(|| format!("the user property {name} must be {}", Start::EXPECTED).into())
}

impl Streams {
    /// A client wants to read one; `usual`: where it starts, unless the filter says so. What it read of that stream before
    /// ends by the second thing.
    pub(crate) fn read(
        &mut self,
        wanted: &Wanted<'_>,
        usual: Option<Start>,
        qos: Qos,
        subscription_ids: SmallVec<[u32; 1]>,
        limits: &Limits,
    ) -> (ConsumerId, Subscription, Option<Unsubscription>) {
        let over = self.stop(wanted);
        self.last_consumer = self.last_consumer.wrapping_add(1).max(1);
        let consumer = ConsumerId(self.last_consumer);
        let stream = wanted.queue();
        let queue = Target::Existing(stream.clone());
        let reading = Reading { consumer, stream, qos: granted(qos), subscription_ids };
        self.reading.push(reading);
        let asked = Consumer {
            id: consumer,
            acknowledges: qos > Qos::AtMostOnce,
            prefetch: Some(u32::try_from(limits.inflight_max).unwrap_or(u32::MAX)),
            // Always said: so nothing is taken from a queue that is no stream.
            start: Some(wanted.start.or(usual).unwrap_or_default()),
        };
        let (source, retained) = (None, Replay::Never);
        let subscription = Subscription { source, queue, consumer: Some(asked), retained };
        (consumer, subscription, over)
    }

    /// A client wants no more of it; `None`: it reads nothing of it.
    pub(crate) fn stop(&mut self, wanted: &Wanted<'_>) -> Option<Unsubscription> {
        let at = self.reading.iter().position(|one| one.stream.as_str() == wanted.stream)?;
        let id = self.reading.remove(at).consumer;
        Some(Unsubscription::Consumer { id, delete_queue: false })
    }

    /// The broker gives that one nothing, or nothing more.
    pub(crate) fn forget(&mut self, consumer: ConsumerId) {
        self.reading.retain(|one| one.consumer != consumer);
    }

    /// Makes a delivery what the client is to get; `false`: it wants it no more.
    pub(crate) fn prepare(&self, delivery: &mut Delivery) -> bool {
        let Some(one) = self.reading.iter().find(|one| one.consumer == delivery.consumer) else {
            return false;
        };
        delivery.qos = delivery.qos.min(one.qos);
        delivery.subscription_ids.clone_from(&one.subscription_ids);
        true
    }
}

/// What is granted of a QoS. Whoever lost an answer reads again from an offset, and knows by it what he has: there is nothing
/// that QoS 2 could add.
pub(crate) fn granted(qos: Qos) -> Qos {
    qos.min(Qos::AtLeastOnce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_a_stream_and_may_say_where_to_start() {
        let wanted = |filter| Wanted::of(filter).unwrap().map(|Wanted { stream, start }| (stream, start));
        assert_eq!(wanted("$stream/chat"), Ok(("chat", None)));
        assert_eq!(wanted("$stream/chat/first"), Ok(("chat", Some(Start::First))));
        assert_eq!(wanted("$stream/chat/last=50"), Ok(("chat", Some(Start::Last(50)))));
        assert_eq!(wanted("$stream/chat/17"), Ok(("chat", Some(Start::Offset(17)))));
        assert_eq!(wanted("$stream/rooms/chat"), Ok(("rooms/chat", None)));
        // One whose name ends as a start is written.
        assert_eq!(wanted("$stream/a/first/next"), Ok(("a/first", Some(Start::Next))));
        assert_eq!(wanted("$stream/first"), Ok(("first", None)));
        assert!(wanted("$stream/").is_err() && wanted("$stream//first").is_err());
        assert!(wanted("$stream/+/first").is_err() && wanted("$stream/a/#").is_err());
        assert_eq!(Wanted::of("$streams/a"), None);
        assert_eq!(Wanted::of("a/$stream/b"), None);
    }
}
