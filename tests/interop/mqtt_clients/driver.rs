//! Driver: what an exercise asks of a client, whoever wrote it.

use anyhow::Result;

/// A client of MQTT.
pub(crate) trait Driver {
    /// Connects, again after [`Self::leave`] or [`Self::vanish`]; says whether the broker had a session, where it can tell.
    fn connect(&mut self, hello: &Hello) -> Result<Option<bool>>;
    /// Subscribes, and waits for the answer.
    fn subscribe(&mut self, filter: &str, qos: u8) -> Result<()>;
    /// Publishes, and waits until the broker has it.
    fn publish(&mut self, message: &Message) -> Result<()>;
    /// The next message.
    fn take(&mut self) -> Result<Message>;
    /// Says goodbye.
    fn leave(&mut self) -> Result<()>;
    /// Is gone without a word.
    fn vanish(&mut self) -> Result<()>;
    /// Whether it connects anew for each message: at QoS 0 nothing keeps the order of two connections.
    fn connects_for_each(&self) -> bool {
        false
    }
    /// Whether it asks for its will to be published when it says goodbye (5.0, 3.14.2.1: 0x04).
    fn leaves_its_will(&self) -> bool {
        false
    }
}

/// How a client comes in.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    /// Its client id.
    pub(crate) id: String,
    /// Whether the session of before goes on, and this one outlives its connection.
    pub(crate) is_kept: bool,
    /// What is to be said when it vanishes.
    pub(crate) will: Option<Message>,
}

impl Hello {
    /// A clean session.
    pub(crate) fn clean(id: &str) -> Self {
        Self { id: id.to_owned(), is_kept: false, will: None }
    }

    /// A session that stays.
    pub(crate) fn kept(id: &str) -> Self {
        Self { is_kept: true, ..Self::clean(id) }
    }
}

/// A message, either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Where to.
    pub(crate) topic: String,
    /// What.
    pub(crate) payload: Vec<u8>,
    /// 0, 1 or 2.
    pub(crate) qos: u8,
    /// The RETAIN flag.
    pub(crate) retain: bool,
    /// Response Topic and Correlation Data, in 5.0.
    pub(crate) answer_to: Option<(String, Vec<u8>)>,
}

impl Message {
    /// One with nothing special.
    pub(crate) fn new(topic: &str, payload: &[u8], qos: u8) -> Self {
        Self { topic: topic.to_owned(), payload: payload.to_vec(), qos, retain: false, answer_to: None }
    }

    /// With the RETAIN flag.
    #[must_use]
    pub(crate) fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// To be answered there.
    #[must_use]
    pub(crate) fn answered_at(mut self, topic: &str, correlation: &[u8]) -> Self {
        self.answer_to = Some((topic.to_owned(), correlation.to_vec()));
        self
    }
}
