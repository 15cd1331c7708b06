//! All or any header arguments.

use bytestring::ByteString;
use foldhash::HashMap;

use model::name::{ClientId, UserName};
use model::properties::Properties;
use model::queue::{HeaderMatch, MatchMode};

use crate::binding::Bound;
use crate::sender::Sender;

/// Compares headers as text, because text is all that either protocol sends. Different arguments are asked one by one.
#[derive(Debug)]
pub(crate) struct Headers<V> {
    by_arguments: HashMap<HeaderMatch, Bound<V>>,
}

impl<V: Ord> Headers<V> {
    pub(crate) fn insert(&mut self, arguments: &HeaderMatch, value: V) -> Option<V> {
        self.by_arguments.entry(arguments.clone()).or_default().insert(value)
    }

    pub(crate) fn remove(&mut self, arguments: &HeaderMatch, value: &V) -> Option<V> {
        let bound = self.by_arguments.get_mut(arguments)?;
        let gone = bound.remove(value);
        if bound.is_empty() {
            self.by_arguments.remove(arguments);
        }
        gone
    }

    pub(crate) fn for_each_match<'e>(
        &'e self,
        properties: Option<&Properties>,
        sender: Sender<'_>,
        visit: impl FnMut(&'e V),
    ) {
        self.by_arguments
            .iter()
            .filter(|(arguments, _)| matches(arguments, properties, sender))
            .flat_map(|(_, bound)| bound.as_slice())
            .for_each(visit);
    }

    pub(crate) fn for_each<'e>(&'e self, visit: impl FnMut(&'e V)) {
        self.by_arguments.values().flat_map(Bound::as_slice).for_each(visit);
    }
}

impl<V> Default for Headers<V> {
    fn default() -> Self {
        Self { by_arguments: HashMap::default() }
    }
}

/// Whether a message with these properties, from there, is what the arguments ask for.
fn matches(arguments: &HeaderMatch, properties: Option<&Properties>, sender: Sender<'_>) -> bool {
    let plain = |(name, _): &&(ByteString, Option<ByteString>)| !name.starts_with("x-");
    let met = |(name, value): &(ByteString, Option<ByteString>)| {
        header(properties, sender, name)
            .is_some_and(|there| value.as_ref().is_none_or(|wanted| **wanted == *there))
    };
    let mut wanted = arguments.wanted.iter();
    match arguments.mode {
        MatchMode::All => wanted.filter(plain).all(met),
        MatchMode::Any => wanted.filter(plain).any(met),
        MatchMode::AllWithX => wanted.all(met),
        MatchMode::AnyWithX => wanted.any(met),
    }
}

/// What a message with these properties lacks of what the arguments ask for, in words.
pub(crate) fn unmet(
    arguments: &HeaderMatch,
    properties: Option<&Properties>,
    sender: Sender<'_>,
) -> Vec<String> {
    let with_x = matches!(arguments.mode, MatchMode::AllWithX | MatchMode::AnyWithX);
    let counts = |(name, _): &&(ByteString, Option<ByteString>)| with_x || !name.starts_with("x-");
    let lacks =
        |(name, value): &(ByteString, Option<ByteString>)| match (header(properties, sender, name), value) {
            (None, _) => Some(format!("there is no header {:?}", &**name)),
            (Some(there), Some(wanted)) if **wanted != *there => {
                Some(format!("header {:?} is {:?}, not {:?}", &**name, there, &**wanted))
            }
            (Some(_), _) => None,
        };
    arguments.wanted.iter().filter(counts).filter_map(lacks).collect()
}

/// The content type has a place of its own in a message; who asks for the header means that. Who published it is what the
/// broker knows: what the message says of that does not count.
fn header<'p>(properties: Option<&'p Properties>, sender: Sender<'p>, name: &str) -> Option<&'p str> {
    match name {
        CLIENT => return sender.client.map(ClientId::as_str),
        USER => return sender.user.map(UserName::as_str),
        _ => {}
    }
    let properties = properties?;
    let content_type = || properties.content_type.as_ref().filter(|_| name == "content-type");
    properties.header(name).or_else(content_type).map(|value| &**value)
}

/// The header that is the publisher's client id.
const CLIENT: &str = "client-id";
/// The header that is the publisher's user; RabbitMQ's name for it.
const USER: &str = "user-id";

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: MatchMode = MatchMode::All;
    const ANY: MatchMode = MatchMode::Any;
    const ALL_X: MatchMode = MatchMode::AllWithX;
    const ANY_X: MatchMode = MatchMode::AnyWithX;

    #[test]
    fn all_wants_every_argument_but_those_with_x() {
        check(ALL, "", "", true);
        check(ALL, "", "a=1", true);
        check(ALL, "a=1 b=2", "b=2 c=3 a=1", true);
        check(ALL, "a=1 b=2", "a=1", false);
        check(ALL, "a=1", "a=2", false);
        check(ALL, "a=1 x-b=2", "a=1", true);
        check(ALL, "x-b=2", "", true);
    }

    #[test]
    fn any_wants_one_argument_but_none_with_x() {
        check(ANY, "", "a=1", false);
        check(ANY, "a=1 b=2", "b=2", true);
        check(ANY, "a=1 b=2", "b=3", false);
        check(ANY, "a=1 x-b=2", "x-b=2", false);
    }

    #[test]
    fn with_x_counts_every_argument() {
        check(ALL_X, "", "", true);
        check(ALL_X, "a=1 x-b=2", "a=1", false);
        check(ALL_X, "a=1 x-b=2", "a=1 x-b=2", true);
        check(ANY_X, "", "a=1", false);
        check(ANY_X, "a=1 x-b=2", "x-b=2", true);
    }

    #[test]
    fn an_argument_without_value_asks_only_that_the_header_is_there() {
        check(ALL, "a", "a=7", true);
        check(ALL, "a", "b=7", false);
        check(ANY, "a b=1", "a=", true);
    }

    #[test]
    fn the_first_header_of_a_name_counts() {
        check(ALL, "a=1", "a=1 a=2", true);
        check(ALL, "a=2", "a=1 a=2", false);
    }

    #[test]
    fn the_content_type_is_a_header_unless_one_is_called_so() {
        let mut properties = Properties { content_type: Some("text/plain".into()), ..Properties::default() };
        let wanted = arguments(ALL, "content-type=text/plain");
        assert!(matches(&wanted, Some(&properties), Sender::default()));
        properties.headers.push(("content-type".into(), "text/html".into()));
        assert!(!matches(&wanted, Some(&properties), Sender::default()));
    }

    #[test]
    fn a_message_without_properties_has_no_headers() {
        assert!(matches(&arguments(ALL, ""), None, Sender::default()));
        assert!(!matches(&arguments(ALL, "a"), None, Sender::default()));
        assert!(!matches(&arguments(ANY_X, "a"), None, Sender::default()));
    }

    #[test]
    fn who_published_is_what_the_broker_knows_whatever_the_message_says() {
        let (client, user) = (ClientId::new("sensor"), UserName::new("kim"));
        let known = Sender { session: None, client: Some(&client), user: Some(&user) };
        let nobody = Sender::default();
        let says = |headers: &str| Properties {
            headers: pairs(headers).map(|(name, value)| (name, value.unwrap())).collect(),
            ..Properties::default()
        };
        let lies = says("client-id=other user-id=lee");
        for (wanted, by_known) in [
            ("client-id=sensor", true),
            ("user-id=kim", true),
            ("client-id=sensor user-id=kim", true),
            ("client-id", true),
            ("client-id=other", false),
            ("user-id=lee", false),
        ] {
            for properties in [None, Some(&lies)] {
                assert_eq!(matches(&arguments(ALL, wanted), properties, known), by_known, "{wanted}");
                assert!(!matches(&arguments(ALL, wanted), properties, nobody), "{wanted}");
            }
        }
        assert_eq!(
            unmet(&arguments(ALL, "user-id=kim"), Some(&lies), nobody),
            ["there is no header \"user-id\""]
        );
    }

    #[track_caller]
    fn check(mode: MatchMode, wanted: &str, headers: &str, expected: bool) {
        let headers = pairs(headers).map(|(name, value)| (name, value.unwrap())).collect();
        let properties = Properties { headers, ..Properties::default() };
        assert_eq!(matches(&arguments(mode, wanted), Some(&properties), Sender::default()), expected);
    }

    fn arguments(mode: MatchMode, wanted: &str) -> HeaderMatch {
        HeaderMatch { mode, wanted: pairs(wanted).collect() }
    }

    fn pairs(text: &str) -> impl Iterator<Item = (ByteString, Option<ByteString>)> {
        text.split_whitespace().map(|pair| match pair.split_once('=') {
            Some((name, value)) => (name.into(), Some(value.into())),
            None => (pair.into(), None),
        })
    }
}
