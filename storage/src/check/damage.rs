//! What is damaged, and what it held as far as that can still be said.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use model::name::{QueueId, QueueName};

use crate::group::remains;
use crate::record::{Item, Items};

/// One damaged place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// In which file.
    pub file: PathBuf,
    /// From which byte on.
    pub offset: u64,
    /// For how many bytes; 0 if they are not there at all.
    pub bytes: u64,
    /// What is wrong.
    pub what: &'static str,
    /// How many groups are lost with it: each was written, and acknowledged, as a whole.
    pub groups: u64,
    /// What can still be read of it, though nobody vouches for it.
    pub held: Held,
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, bytes, what, groups, held } = self;
        write!(out, "{}: byte {offset}, {bytes} bytes: {what}", file.display())?;
        if *groups > 0 {
            write!(out, "; {groups} {} lost", if *groups == 1 { "group" } else { "groups" })?;
        }
        if held.records > 0 { write!(out, "; {held}") } else { Ok(()) }
    }
}

/// What a damaged place held, as far as it can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Records that can be read.
    pub records: u64,
    /// Messages, by queue.
    pub messages: BTreeMap<QueueId, u64>,
    /// The names of those queues, where they are known.
    pub names: BTreeMap<QueueId, QueueName>,
    /// Deliveries settled; such a message may come again.
    pub settled: u64,
    /// Anything else: queues, bindings, sessions, retained messages, ids of messages that came in.
    pub others: u64,
}

impl Held {
    /// Reads what may be records there.
    pub(super) fn read(bytes: &[u8], names: &BTreeMap<QueueId, QueueName>) -> Self {
        let mut held = Self::default();
        for (_, record) in remains(bytes) {
            held.take(record);
        }
        held.names = held
            .messages
            .keys()
            .filter_map(|queue| names.get(queue).map(|name| (*queue, name.clone())))
            .collect();
        held
    }

    /// Counts a record if it can be read to its end.
    fn take(&mut self, record: &[u8]) {
        let Ok(mut items) = Items::of(record) else { return };
        let mut read = Self::default();
        loop {
            match items.next() {
                Ok(Some(Item::Enqueue { entries, .. })) => {
                    for entry in entries {
                        *read.messages.entry(entry.place.queue).or_default() += 1;
                    }
                }
                Ok(Some(Item::Change(model::change::Change::Remove(_)))) => read.settled += 1,
                Ok(Some(Item::Change(_) | Item::Note(_))) => read.others += 1,
                Ok(None) => break,
                Err(_) => return,
            }
        }
        self.records += 1;
        self.settled += read.settled;
        self.others += read.others;
        for (queue, count) in read.messages {
            *self.messages.entry(queue).or_default() += count;
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "still legible: {} records", self.records)?;
        let mut separator = ": ";
        for (queue, count) in &self.messages {
            match self.names.get(queue) {
                Some(name) if *name == QueueName::DELAYED => {
                    write!(out, "{separator}{count} messages that wait for their time")?
                }
                Some(name) => write!(out, "{separator}{count} messages for {name}")?,
                None => {
                    write!(out, "{separator}{count} messages for a queue without a name, number {}", queue.0)?
                }
            }
            separator = ", ";
        }
        if self.settled > 0 {
            write!(out, "{separator}{} settled", self.settled)?;
            separator = ", ";
        }
        if self.others > 0 { write!(out, "{separator}{} other changes", self.others) } else { Ok(()) }
    }
}
