//! What a WebSocket client wants to speak.

/// What travels inside a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// MQTT: binary messages (MQTT 5.0, 6.0).
    Mqtt,
    /// STOMP: text messages where they can be.
    Stomp,
}

/// A subprotocol that was agreed on (RFC 6455, 1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subprotocol {
    /// As the answer names it.
    pub name: &'static str,
    /// What it stands for.
    pub protocol: Protocol,
}

impl Subprotocol {
    /// All that we speak; of the STOMP versions, the highest first.
    pub const SPOKEN: [Self; 5] = [
        Self { name: "mqtt", protocol: Protocol::Mqtt },
        Self { name: "mqttv3.1", protocol: Protocol::Mqtt },
        Self { name: "v12.stomp", protocol: Protocol::Stomp },
        Self { name: "v11.stomp", protocol: Protocol::Stomp },
        Self { name: "v10.stomp", protocol: Protocol::Stomp },
    ];

    /// Chooses among the names offered, in the client's order: the first that we speak decides the protocol, and where
    /// that is STOMP, the highest version offered stands.
    pub fn choose(offered: &[&str]) -> Option<Self> {
        let first = offered.iter().find_map(|name| Self::named(name))?;
        match first.protocol {
            Protocol::Mqtt => Some(first),
            Protocol::Stomp => {
                let mut versions =
                    Self::SPOKEN.into_iter().filter(|spoken| spoken.protocol == Protocol::Stomp);
                versions.find(|spoken| offered.contains(&spoken.name))
            }
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::SPOKEN.into_iter().find(|spoken| spoken.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_offered_that_we_speak_stands() {
        check(&["mqtt"], Some("mqtt"));
        check(&["mqttv3.1", "mqtt"], Some("mqttv3.1"));
        check(&["amqp", "mqtt", "v12.stomp"], Some("mqtt"));
        check(&["v10.stomp", "mqtt"], Some("v10.stomp"));
    }

    #[test]
    fn of_several_stomp_versions_the_highest_wins() {
        check(&["v10.stomp", "v11.stomp", "v12.stomp"], Some("v12.stomp"));
        check(&["v10.stomp", "mqtt", "v11.stomp"], Some("v11.stomp"));
    }

    #[test]
    fn what_we_do_not_speak_is_not_chosen() {
        check(&[], None);
        check(&["amqp", "MQTT", "v13.stomp", ""], None);
    }

    #[track_caller]
    fn check(offered: &[&str], chosen: Option<&str>) {
        let choice = Subprotocol::choose(offered);
        assert_eq!(choice.map(|subprotocol| subprotocol.name), chosen, "{offered:?}");
    }
}
