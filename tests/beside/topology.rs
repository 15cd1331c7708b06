//! What a case declares before it begins, as RabbitMQ's management API and ours take it.

use serde_json::{Value, json};

/// Exchanges, queues and bindings. In every name `@` stands for the case, so that no two cases meet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topology {
    exchanges: Vec<Declared>,
    queues: Vec<Declared>,
    bindings: Vec<Bound>,
}

/// A name, and the body of RabbitMQ's PUT.
#[derive(Debug, Clone)]
struct Declared {
    name: String,
    options: Value,
}

/// From where to where, and the body of RabbitMQ's POST.
#[derive(Debug, Clone)]
struct Bound {
    source: String,
    /// `q` or `e`: a queue or an exchange.
    kind: char,
    destination: String,
    key: String,
    arguments: Value,
}

/// One call to the management API.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Topology {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A durable exchange.
    pub(crate) fn exchange(self, name: &str, kind: &str) -> Self {
        self.exchange_with(name, json!({ "type": kind, "durable": true }))
    }

    /// An exchange as it is said.
    pub(crate) fn exchange_with(mut self, name: &str, options: Value) -> Self {
        self.exchanges.push(Declared { name: name.to_owned(), options });
        self
    }

    /// A durable queue.
    pub(crate) fn queue(self, name: &str) -> Self {
        self.queue_with(name, json!({}))
    }

    /// A durable queue with arguments.
    pub(crate) fn queue_with(mut self, name: &str, arguments: Value) -> Self {
        let options = json!({ "durable": true, "auto_delete": false, "arguments": arguments });
        self.queues.push(Declared { name: name.to_owned(), options });
        self
    }

    /// A queue that does not last.
    pub(crate) fn transient_queue(mut self, name: &str) -> Self {
        let options = json!({ "durable": false, "auto_delete": false, "arguments": {} });
        self.queues.push(Declared { name: name.to_owned(), options });
        self
    }

    /// From an exchange to a queue.
    pub(crate) fn bind(self, exchange: &str, queue: &str, key: &str) -> Self {
        self.bound(exchange, 'q', queue, key, json!({}))
    }

    /// From a headers exchange to a queue.
    pub(crate) fn bind_headers(self, exchange: &str, queue: &str, arguments: Value) -> Self {
        self.bound(exchange, 'q', queue, "", arguments)
    }

    /// From an exchange to an exchange.
    pub(crate) fn chain(self, source: &str, destination: &str, key: &str) -> Self {
        self.bound(source, 'e', destination, key, json!({}))
    }

    fn bound(mut self, source: &str, kind: char, destination: &str, key: &str, arguments: Value) -> Self {
        let [source, destination, key] = [source, destination, key].map(ToOwned::to_owned);
        self.bindings.push(Bound { source, kind, destination, key, arguments });
        self
    }

    /// The same with a prefix in place of each `@`.
    pub(crate) fn named(&self, prefix: &str) -> Self {
        let name = |text: &String| text.replace('@', prefix);
        let declared = |all: &[Declared]| {
            let each =
                all.iter().map(|one| Declared { name: name(&one.name), options: fill(&one.options, prefix) });
            each.collect()
        };
        let bound = |one: &Bound| Bound {
            source: name(&one.source),
            destination: name(&one.destination),
            key: name(&one.key),
            arguments: fill(&one.arguments, prefix),
            kind: one.kind,
        };
        Self {
            exchanges: declared(&self.exchanges),
            queues: declared(&self.queues),
            bindings: self.bindings.iter().map(bound).collect(),
        }
    }

    /// What both are asked.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let put = |what: &str, one: &Declared| Call {
            method: "PUT",
            path: format!("/api/{what}/%2F/{}", one.name),
            body: one.options.clone(),
        };
        let exchanges = self.exchanges.iter().map(|one| put("exchanges", one));
        let queues = self.queues.iter().map(|one| put("queues", one));
        let bindings = self.bindings.iter().map(|one| Call {
            method: "POST",
            path: format!("/api/bindings/%2F/e/{}/{}/{}", one.source, one.kind, one.destination),
            body: json!({ "routing_key": one.key, "arguments": one.arguments }),
        });
        exchanges.chain(queues).chain(bindings).collect()
    }
}

fn fill(value: &Value, prefix: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('@', prefix)),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), fill(value, prefix))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.clone(),
    }
}
