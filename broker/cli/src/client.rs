//! A small MQTT and STOMP client: one connection, one thing at a time.

pub(crate) mod address;
pub(crate) mod entry;
mod error;
mod mqtt_client;
mod stomp_client;
pub(crate) mod trust;
mod wire;

use crate::client::address::Protocol;
use crate::client::entry::{Entry, Wanted};
use crate::client::mqtt_client::MqttClient;
use crate::client::stomp_client::StompClient;
use crate::failure::Failure;
use crate::message::{Heard, Publication, Received};

/// A connection that is in.
#[derive(Debug)]
pub(crate) enum Client {
    /// MQTT.
    Mqtt(Box<MqttClient>),
    /// STOMP.
    Stomp(Box<StompClient>),
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// Nobody is there, or we are not let in, or nothing came in time.
    pub(crate) async fn enter(entry: &Entry) -> Result<Self, Failure> {
        match entry.protocol {
            Protocol::Mqtt(version) => {
                MqttClient::enter(entry, version).await.map(|client| Self::Mqtt(Box::new(client)))
            }
            Protocol::Stomp => StompClient::enter(entry).await.map(|client| Self::Stomp(Box::new(client))),
        }
    }

    /// Publishes, and waits until the broker has taken the message where its QoS asks for that.
    ///
    /// # Errors
    ///
    /// The broker refused it, or did not answer in time.
    pub(crate) async fn publish(&mut self, publication: &Publication) -> Result<(), Failure> {
        match self {
            Self::Mqtt(client) => client.publish(publication).await,
            Self::Stomp(client) => client.publish(publication).await,
        }
    }

    /// Subscribes, and waits for the answer.
    ///
    /// # Errors
    ///
    /// The broker refused one of the destinations, or did not answer in time.
    pub(crate) async fn subscribe(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        match self {
            Self::Mqtt(client) => client.subscribe(wanted).await,
            Self::Stomp(client) => client.subscribe(wanted).await,
        }
    }

    /// The next message. Keeps the connection alive while it waits; may be cancelled.
    ///
    /// # Errors
    ///
    /// The connection ended.
    pub(crate) async fn next(&mut self) -> Result<Received, Failure> {
        match self {
            Self::Mqtt(client) => client.next().await,
            Self::Stomp(client) => client.next().await,
        }
    }

    /// Tells the broker that the message is done; sent with whatever is sent next, or waits for something.
    pub(crate) fn settle(&mut self, received: &Received) {
        match self {
            Self::Mqtt(client) => client.settle(received),
            Self::Stomp(client) => client.settle(received),
        }
    }

    /// Publishes without waiting; sent with [`Self::exchange`] or [`Self::flush`]. From QoS 1 on, [`Self::hear`] tells when
    /// it is acknowledged, by `tag`.
    ///
    /// # Errors
    ///
    /// It is too large for the broker.
    pub(crate) fn post(&mut self, publication: &Publication, tag: u64) -> Result<(), Failure> {
        match self {
            Self::Mqtt(client) => client.post(publication, tag),
            Self::Stomp(client) => {
                client.post(publication, tag);
                Ok(())
            }
        }
    }

    /// How many more publications from QoS 1 on the broker lets be under way.
    pub(crate) fn room(&self) -> usize {
        match self {
            Self::Mqtt(client) => client.room(),
            Self::Stomp(_) => usize::MAX,
        }
    }

    /// What came already, one by one. Messages are acknowledged by it.
    ///
    /// # Errors
    ///
    /// The broker ended the connection, or broke the protocol.
    pub(crate) fn hear(&mut self) -> Result<Option<Heard>, Failure> {
        match self {
            Self::Mqtt(client) => client.hear(),
            Self::Stomp(client) => client.hear(),
        }
    }

    /// Sends what is to be sent, then waits until something more came; may be cancelled.
    ///
    /// # Errors
    ///
    /// The connection ended.
    pub(crate) async fn exchange(&mut self) -> Result<(), Failure> {
        match self {
            Self::Mqtt(client) => client.exchange().await,
            Self::Stomp(client) => client.exchange().await,
        }
    }

    /// Sends what is to be sent.
    ///
    /// # Errors
    ///
    /// The connection ended.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        match self {
            Self::Mqtt(client) => client.flush().await,
            Self::Stomp(client) => client.flush().await,
        }
    }

    /// Says good-bye in an orderly way: all that was sent has reached the broker when this is done.
    ///
    /// # Errors
    ///
    /// The broker answered with a refusal instead, or not in time.
    pub(crate) async fn leave(self) -> Result<(), Failure> {
        match self {
            Self::Mqtt(client) => client.leave().await,
            Self::Stomp(client) => client.leave().await,
        }
    }
}
