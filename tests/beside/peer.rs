//! The two brokers, and how each is given what a case declares.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use harness::broker::{Broker, Setup};
use harness::door::Door;
use serde_json::{Value, json};

use crate::http::{Answer, ask};
use crate::rabbit::Rabbit;
use crate::topology::Topology;

/// A broker under test.
#[derive(Debug)]
pub(crate) enum Peer {
    /// DuetMQ.
    Ours(Broker),
    /// RabbitMQ.
    Theirs(Rabbit),
}

impl Peer {
    /// DuetMQ.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub(crate) fn ours() -> Result<Self> {
        let config = "[[admin.user]]\nname = \"guest\"\ntag = \"management\"\n";
        Ok(Self::Ours(Setup::new().config(config).start()?))
    }

    /// RabbitMQ.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub(crate) fn theirs() -> Result<Self> {
        Ok(Self::Theirs(Rabbit::start()?))
    }

    /// Declares what a case begins with: the same calls with both.
    ///
    /// # Errors
    ///
    /// If the broker does not like it.
    pub(crate) fn declare(&self, topology: &Topology) -> Result<()> {
        for call in topology.calls() {
            let answer = self.api(call.method, &call.path, &call.body)?;
            ensure!(answer.status < 300, "{} {}: {answer:?}", call.method, call.path);
        }
        Ok(())
    }

    /// Asks its HTTP API.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    pub(crate) fn api(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let address = match self {
            Self::Ours(broker) => broker.at(Door::Admin),
            Self::Theirs(rabbit) => rabbit.management,
        };
        ask(address, method, path, body)
    }

    /// Where it speaks STOMP.
    pub(crate) fn stomp(&self) -> SocketAddr {
        match self {
            Self::Ours(broker) => broker.at(Door::Stomp),
            Self::Theirs(rabbit) => rabbit.stomp,
        }
    }

    /// The version of RabbitMQ; empty for ours.
    ///
    /// # Errors
    ///
    /// If it does not say.
    pub(crate) fn version(&self) -> Result<String> {
        match self {
            Self::Ours(_) => Ok(String::new()),
            Self::Theirs(rabbit) => rabbit.version(),
        }
    }

    /// Stops in order, and starts again.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub(crate) fn restart(&mut self) -> Result<()> {
        match self {
            Self::Ours(broker) => {
                broker.stop()?;
                broker.start()
            }
            Self::Theirs(rabbit) => rabbit.restart(),
        }
    }

    /// A message of RabbitMQ's as its management API shows it: its STOMP shows no header that is a list. `None` for ours.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    pub(crate) fn look(&self, queue: &str) -> Result<Option<Value>> {
        let Self::Theirs(_) = self else { return Ok(None) };
        let path = format!("/api/queues/%2F/{queue}/get");
        let body = json!({ "count": 1, "ackmode": "ack_requeue_false", "encoding": "auto" });
        let answer = self.api("POST", &path, &body)?;
        let first = answer.body.get(0).cloned();
        first.map(Some).with_context(|| format!("nothing in {queue}: {answer:?}"))
    }

    /// Publishes with headers that have types. Ours have none: they are texts, as both of its protocols have them.
    ///
    /// # Errors
    ///
    /// If it is refused.
    pub(crate) fn publish_typed(&self, exchange: &str, body: &str, headers: &Value) -> Result<bool> {
        let Self::Theirs(_) = self else { return Ok(false) };
        let path = format!("/api/exchanges/%2F/{exchange}/publish");
        let message = json!({ "properties": { "headers": headers }, "routing_key": "", "payload": body,
            "payload_encoding": "string" });
        let answer = self.api("POST", &path, &message)?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(true)
    }
}
