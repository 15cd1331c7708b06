//! Others: clients that are there already, with so many subscriptions

use bytestring::ByteString;
use model::qos::Qos;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::client::address::Protocol;
use crate::client::entry::{Entry, Wanted};
use crate::failure::Failure;

/// So many subscriptions, of clients that want nothing else. They go when this is dropped.
#[derive(Debug)]
pub(crate) struct Others(JoinSet<Failure>);

impl Others {
    /// Lets them come in, and returns when all have what they asked for. `entry`: with what their client ids begin with.
    ///
    /// # Errors
    ///
    /// One is not let in, or refused what it asks for.
    pub(crate) async fn settle(entry: &Entry, subscriptions: u32) -> Result<Self, Failure> {
        let begin = entry.client_id.as_deref().unwrap_or_default();
        let all: Vec<ByteString> =
            (0..subscriptions).map(|number| filter(entry.protocol, begin, number)).collect();
        let mut others = JoinSet::new();
        for (number, own) in all.chunks(EACH).enumerate() {
            let entry = Entry { client_id: Some(format!("{begin}-other-{number}")), ..entry.clone() };
            let mut client = Client::enter(&entry).await?;
            for destinations in own.chunks(at_once(entry.protocol)) {
                client.subscribe(&wanted(destinations)).await?;
            }
            others.spawn(async move {
                loop {
                    if let Err(failure) = client.next().await {
                        return failure;
                    }
                }
            });
        }
        Ok(Self(others))
    }

    /// Why one of them went, if one did.
    pub(crate) fn left(&mut self) -> Option<Failure> {
        self.0.try_join_next()?.ok()
    }
}

/// As people subscribe: seven of ten to one topic, two with a wildcard for one level, one for all that is below. None of them is
/// another's.
fn filter(protocol: Protocol, begin: &str, number: u32) -> ByteString {
    let (home, room) = (number / ROOMS, number % ROOMS);
    let end = match number % 10 {
        0..=6 => "state",
        7 | 8 => "+",
        _ => "#",
    };
    match protocol {
        Protocol::Mqtt(_) => format!("{begin}/{home}/{room}/{end}").into(),
        Protocol::Stomp => {
            let begin = begin.replace(['.', '/'], "-");
            format!("/topic/{begin}.{home}.{room}.{}", end.replace('+', "*")).into()
        }
    }
}

fn wanted(destinations: &[ByteString]) -> Wanted {
    let destinations = destinations.to_vec();
    Wanted { destinations, qos: Qos::AtMostOnce, properties: Vec::new(), one_by_one: false }
}

/// How many go into one request: in STOMP all of a client, whose names count up within one.
const fn at_once(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Mqtt(_) => 50,
        Protocol::Stomp => EACH,
    }
}

/// Subscriptions of one of them.
const EACH: usize = 1000;

/// Rooms of one home.
const ROOMS: u32 = 100;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use mqtt::version::Version;

    use super::*;

    #[test]
    fn no_filter_is_there_twice() {
        for protocol in [Protocol::Mqtt(Version::V5), Protocol::Stomp] {
            let all: HashSet<_> = (0..5000).map(|number| filter(protocol, "bench", number)).collect();
            assert_eq!(all.len(), 5000);
        }
        assert_eq!(filter(Protocol::Mqtt(Version::V5), "b", 1219), "b/12/19/#");
        assert_eq!(filter(Protocol::Stomp, "a/b", 1217), "/topic/a-b.12.17.*");
    }
}
