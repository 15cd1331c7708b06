//! What is known of each message, and what must be true of it in the end.

use std::collections::BTreeMap;

/// How far somebody has come who settles a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Said {
    /// Nobody did.
    #[default]
    No,
    /// He asked for it, and does not know.
    Asked,
    /// The broker said that it is done.
    Done,
}

/// One message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Story {
    /// The broker said that it has it.
    pub(crate) stored: bool,
    /// A consumer accepted it.
    accepted: Said,
    /// A consumer rejected it.
    rejected: Said,
    /// How often it was in the queue in the end.
    pub(crate) in_work: u32,
    /// What it said of its deaths, each time it was in the dead-letter queue.
    pub(crate) deaths: Vec<String>,
}

impl Story {
    pub(crate) fn say(&mut self, accepts: bool, said: Said) {
        let about = if accepts { &mut self.accepted } else { &mut self.rejected };
        *about = said.max(*about);
    }

    /// What is wrong with it.
    fn broken(&self) -> Option<&'static str> {
        let places = self.in_work as usize + self.deaths.len();
        let was_rejected = self.deaths.iter().any(|deaths| deaths.contains("\"rejected\""));
        match self {
            _ if places > 1 => Some("is in more than one place"),
            Self { stored: true, accepted: Said::No, .. } if places == 0 => Some("is lost"),
            Self { accepted: Said::Done, .. } if places > 0 => Some("came back after it was accepted"),
            Self { accepted: Said::No, rejected: Said::Done, .. } if self.deaths.is_empty() => {
                Some("was rejected, and is not in the dead-letter queue")
            }
            Self { rejected: Said::No, .. } if was_rejected => Some("was rejected by nobody"),
            _ => None,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Stories(BTreeMap<u64, Story>);

impl Stories {
    pub(crate) fn find(&mut self, number: u64) -> &mut Story {
        self.0.entry(number).or_default()
    }

    /// Those with which something is wrong.
    pub(crate) fn broken(&self) -> Vec<String> {
        let broken =
            |(number, story): (&u64, &Story)| Some(format!("{number} {}: {story:?}", story.broken()?));
        self.0.iter().filter_map(broken).collect()
    }

    /// How many died of that.
    pub(crate) fn died_of(&self, reason: &str) -> usize {
        let reason = format!("\"reason\":\"{reason}\"");
        self.0.values().filter(|story| story.deaths.iter().any(|deaths| deaths.contains(&reason))).count()
    }

    pub(crate) fn summary(&self) -> String {
        let count = |is: fn(&Story) -> bool| self.0.values().filter(|story| is(story)).count();
        format!(
            "{} messages: {} stored, {} accepted, {} rejected, {} in the queue, {} dead",
            self.0.len(),
            count(|story| story.stored),
            count(|story| story.accepted == Said::Done),
            count(|story| story.rejected == Said::Done),
            count(|story| story.in_work > 0),
            count(|story| !story.deaths.is_empty()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_message_is_somewhere_or_accepted() {
        let stored = Story { stored: true, ..Story::default() };
        assert_eq!(stored.broken(), Some("is lost"));
        assert_eq!(Story { in_work: 1, ..stored.clone() }.broken(), None);
        assert_eq!(Story { deaths: vec!["expired".into()], ..stored.clone() }.broken(), None);
        assert_eq!(Story { accepted: Said::Asked, ..stored.clone() }.broken(), None);
        assert_eq!(Story { rejected: Said::Asked, ..stored }.broken(), Some("is lost"));
        assert_eq!(Story::default().broken(), None, "nobody promised anything");
    }

    #[test]
    fn no_message_is_in_two_places() {
        let both = Story { in_work: 1, deaths: vec!["expired".into()], ..Story::default() };
        assert_eq!(both.broken(), Some("is in more than one place"));
        let twice = Story { deaths: vec!["expired".into(), "expired".into()], ..Story::default() };
        assert_eq!(twice.broken(), Some("is in more than one place"));
    }

    #[test]
    fn what_the_broker_confirmed_is_so() {
        let accepted = Story { accepted: Said::Done, in_work: 1, ..Story::default() };
        assert_eq!(accepted.broken(), Some("came back after it was accepted"));
        let rejected = Story { stored: true, rejected: Said::Done, in_work: 1, ..Story::default() };
        assert_eq!(rejected.broken(), Some("was rejected, and is not in the dead-letter queue"));
        let by_nobody = Story { deaths: vec!["\"rejected\"".into()], ..Story::default() };
        assert_eq!(by_nobody.broken(), Some("was rejected by nobody"));
    }
}
