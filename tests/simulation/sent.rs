//! Sent: what is sent, and the places that it may go to.

/// Every time that something is sent has a number of its own, in the order of sending: what is sent again is told from
/// what was sent first.
pub(crate) type Stamp = usize;

/// Where a message goes. Those below [`TOPICS`] are topics, those below [`QUEUES`] are queues, the others are streams.
pub(crate) type Place = usize;

pub(crate) const PLACES: [&str; 9] =
    ["k/0", "k/1", "kept/0", "kept/1", "jobs", "chores", "log", "short", "aged"];
/// Of the places, those from here on keep their last message.
pub(crate) const KEPT: Place = 2;
pub(crate) const TOPICS: usize = 4;
pub(crate) const QUEUES: usize = 6;
pub(crate) const STREAMS: usize = PLACES.len() - QUEUES;

/// The streams that a message for that place gets into: the first one is bound to the topics that keep nothing.
pub(crate) const fn stream_of(place: Place) -> &'static [usize] {
    match place {
        0 | 1 | 6 => &[0],
        7 => &[1],
        8 => &[2],
        _ => &[],
    }
}

/// The topic that an MQTT client publishes to for that place, and that what is there comes under.
pub(crate) fn topic(place: Place) -> String {
    if place < TOPICS { PLACES[place].to_owned() } else { format!("$queue/{}", PLACES[place]) }
}

/// The same for a STOMP client.
pub(crate) fn destination(place: Place) -> String {
    if place < TOPICS {
        format!("/topic/{}", PLACES[place].replace('/', "."))
    } else {
        format!("/queue/{}", PLACES[place])
    }
}

/// One thing that was sent, once.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) by: usize,
    pub(crate) place: Place,
    /// Of its sender; the same if it is sent again.
    pub(crate) number: u32,
    pub(crate) qos: u8,
    /// The broker said that it has it.
    pub(crate) acked: bool,
    /// Sent under an id, by which it is taken in once however often it is sent.
    pub(crate) is_named: bool,
    /// It belongs to a transaction.
    pub(crate) transaction: Option<usize>,
    /// So long it waits in the broker, in milliseconds.
    pub(crate) delay_ms: u64,
    /// When it was sent, by the clock of the world.
    pub(crate) sent_at_ms: u64,
}

impl Sent {
    /// Whether it is the same message each time it is sent.
    pub(crate) const fn is_taken_once(&self) -> bool {
        self.qos == 2 || self.is_named
    }
}
