//! Words: what clients' destinations mean, by the options that the doors for clients have

use std::sync::Arc;

use model::key::RoutingKey;
use model::name::ExchangeName;
use model::request::{Source, Target};

/// Reads as the doors do.
pub(crate) struct Doorkeepers {
    pub(crate) mqtt: Arc<mqtt::Options>,
    pub(crate) stomp: Arc<stomp::options::Options>,
}

impl admin::Words for Doorkeepers {
    fn stomp_address(&self, destination: &str) -> Result<(ExchangeName, RoutingKey), String> {
        let address = self.stomp.destinations.address(destination).map_err(|error| error.to_string())?;
        Ok((address.exchange, address.key))
    }

    fn stomp_subscription(
        &self,
        destination: &str,
        headers: &[(String, String)],
    ) -> Result<(Option<Source>, Target), String> {
        let mut all = stomp::headers::Headers::with_capacity(headers.len() + 1);
        all.push("destination", destination);
        headers.iter().for_each(|(name, value)| all.push(name.as_str(), value.as_str()));
        stomp::session::foresee(&all, &self.stomp.destinations)
    }

    fn mqtt_address(&self, topic: &str) -> Result<(ExchangeName, RoutingKey), String> {
        mqtt::session::address(topic, &self.mqtt)
    }

    fn mqtt_subscription(&self, filter: &str) -> Result<(Option<Source>, Target), String> {
        mqtt::session::foresee(filter, &self.mqtt)
    }
}
