//! Delivery, DeliveryTag, Outcome: a message on loan to a consumer.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::message::Message;
use crate::name::ConsumerId;
use crate::qos::Qos;

/// Names a delivery within its consumer: the sequence number of the queue's entry, counted from 1. The same entry has
/// the same tag when it is delivered again, also after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryTag(pub u64);

/// A message handed to a consumer.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Which of the link's consumers it is for.
    pub consumer: ConsumerId,
    /// What to settle it by. Zero where nothing is to be settled: at QoS 0, and for a consumer without acknowledgements.
    pub tag: DeliveryTag,
    /// What is delivered.
    pub message: Arc<Message>,
    /// The QoS to deliver with: the lesser of published and granted (MQTT 5.0, 3.8.4).
    pub qos: Qos,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// The subscriptions it matched.
    pub subscription_ids: SmallVec<[u32; 1]>,
    /// How often it was delivered before. Not zero: DUP, `redelivered:true`.
    pub attempts: u32,
    /// How far the client had come with it before.
    pub stage: Stage,
    /// What is left of its time when it is taken, in milliseconds; `None` where it has no end (MQTT 5.0, 3.3.2.3.3).
    pub expires_in_ms: Option<u64>,
    /// Where it stands in the stream that it was read from; `None`: it was taken from a queue.
    pub offset: Option<u64>,
}

/// How far a delivery at QoS 2 has come (MQTT 5.0, 4.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Stage {
    /// The client has not said that it has the message.
    #[default]
    Published,
    /// The client has the message (PUBREC); PUBREL is to be sent, PUBLISH never again.
    Received,
}

/// How a delivery ended, or how far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The client has it, but has not let go of its id: PUBREC.
    Received,
    /// Done: PUBACK, PUBCOMP, ACK.
    Accepted,
    /// Back to its place in the queue: NACK.
    Requeued,
    /// Not wanted: dead-lettered if the queue says where to, else dropped.
    Rejected,
}
