//! Topic aliases, a table per way. Both die with the connection [MQTT-3.3.2-7].

use std::collections::HashMap;
use std::num::NonZeroU16;

use bytestring::ByteString;

use crate::reason::{Fault, Reason};
use crate::topic::TopicName;

/// What the client calls topics.
#[derive(Debug)]
pub(crate) struct AliasesIn {
    max: u16,
    /// By alias, from 1; it grows no further than the client counts. In a box: few clients use any.
    #[expect(
        clippy::box_collection,
        reason = "nearly always there is none, and a list is three times as large"
    )]
    topics: Option<Box<Vec<Option<TopicName>>>>,
}

impl AliasesIn {
    pub(crate) const fn new(max: u16) -> Self {
        Self { max, topics: None }
    }

    /// The topic that a PUBLISH means; one with both topic and alias defines the alias, also anew (3.3.2.3.4).
    ///
    /// # Errors
    ///
    /// An alias above our maximum, or one that was never defined.
    pub(crate) fn resolve(
        &mut self,
        topic: Option<TopicName>,
        alias: Option<NonZeroU16>,
    ) -> Result<TopicName, Fault> {
        let Some(alias) = alias else {
            return topic.ok_or(UNKNOWN);
        };
        if alias.get() > self.max {
            return Err(TOO_HIGH);
        }
        let index = usize::from(alias.get() - 1);
        let Some(topic) = topic else {
            let known = self.topics.as_ref().and_then(|topics| topics.get(index));
            return known.cloned().flatten().ok_or(UNKNOWN);
        };
        let topics = self.topics.get_or_insert_default();
        if topics.len() <= index {
            topics.resize(index + 1, None);
        }
        if let Some(slot) = topics.get_mut(index) {
            // A copy: the alias outlives the read buffer that the topic came in.
            *slot = TopicName::parse(ByteString::from(topic.as_str())).ok();
        }
        Ok(topic)
    }
}

const TOO_HIGH: Fault =
    Fault::new(Reason::TopicAliasInvalid, "[MQTT-3.3.2-9] a topic alias above the topic alias maximum");
const UNKNOWN: Fault = Fault::new(Reason::ProtocolError, "3.3.2.3.4: a topic alias that was not defined");

/// What we call topics towards a client: first come, first served. A client with many topics wins little by aliases
/// that are defined again and again, and one with few has them all.
#[derive(Debug)]
pub(crate) struct AliasesOut {
    max: u16,
    /// In a box: few clients want any.
    #[expect(
        clippy::box_collection,
        reason = "nearly always there is none, and a table is six times as large"
    )]
    aliases: Option<Box<HashMap<ByteString, NonZeroU16>>>,
}

/// An alias to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alias {
    /// The client knows it: the topic is left out.
    Known(NonZeroU16),
    /// It is to be defined: the topic goes with it.
    New(NonZeroU16),
}

impl AliasesOut {
    pub(crate) const fn new(max: u16) -> Self {
        Self { max, aliases: None }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.max == 0
    }

    /// The alias for `topic`, if it has one or there is one left.
    pub(crate) fn find(&self, topic: &str) -> Option<Alias> {
        let known = self.aliases.as_deref();
        if let Some(alias) = known.and_then(|aliases| aliases.get(topic)) {
            return Some(Alias::Known(*alias));
        }
        let next = u16::try_from(known.map_or(0, HashMap::len) + 1).ok().filter(|next| *next <= self.max)?;
        NonZeroU16::new(next).map(Alias::New)
    }

    /// The client was told, in a packet that is really on its way.
    pub(crate) fn define(&mut self, topic: &str, alias: NonZeroU16) {
        self.aliases.get_or_insert_default().insert(ByteString::from(topic), alias);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_may_be_defined_anew() {
        // [MQTT-3.3.2-12]
        let mut aliases = AliasesIn::new(2);
        let mut resolve = |topic: &str, alias: u16| {
            aliases
                .resolve(TopicName::parse(topic.into()).ok(), NonZeroU16::new(alias))
                .map(|topic| topic.as_str().to_owned())
        };
        assert_eq!(resolve("", 1), Err(UNKNOWN));
        assert_eq!(resolve("a", 1).as_deref(), Ok("a"));
        assert_eq!(resolve("", 1).as_deref(), Ok("a"));
        assert_eq!(resolve("b", 1).as_deref(), Ok("b"));
        assert_eq!(resolve("", 1).as_deref(), Ok("b"));
        assert_eq!(resolve("", 2), Err(UNKNOWN));
        assert_eq!(resolve("c", 3), Err(TOO_HIGH));
    }

    #[test]
    fn no_more_aliases_are_defined_than_the_client_keeps() {
        // [MQTT-3.1.2-26], [MQTT-3.3.2-11]
        let mut aliases = AliasesOut::new(1);
        let one = NonZeroU16::MIN;
        assert_eq!(aliases.find("a"), Some(Alias::New(one)));
        aliases.define("a", one);
        assert_eq!(aliases.find("a"), Some(Alias::Known(one)));
        assert_eq!(aliases.find("b"), None);
        assert_eq!(AliasesOut::new(0).find("a"), None);
    }
}
