//! Topology: exchanges, queues and bindings, made and taken away by commands

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use model::stream;
use serde_json::{Value, json};

use super::arguments::ArgumentArgs;
use super::ask::{Answer, Place};
use super::place::{PlaceArgs, encoded};
use super::tell::{end, print};
use super::vhosts::{self, DeleteVhostArgs, VhostArgs};
use crate::failure::{Code, Failure};

/// Declare an exchange, a queue, a binding or a virtual host; what exists and is the same stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = DECLARE_EXAMPLES)]
pub struct DeclareArgs {
    #[command(subcommand)]
    what: Declare,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Declare {
    /// An exchange.
    Exchange(ExchangeArgs),
    /// A queue.
    Queue(QueueArgs),
    /// A binding: the same as `duetmq bind`.
    Binding(BindArgs),
    /// A virtual host.
    Vhost(VhostArgs),
}

/// Delete an exchange, a queue, a binding, a virtual host, or a message that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub struct DeleteArgs {
    #[command(subcommand)]
    what: Delete,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Delete {
    /// An exchange, with its bindings.
    Exchange(DeleteExchangeArgs),
    /// A queue, with all that is in it.
    Queue(DeleteQueueArgs),
    /// A binding: the same as `duetmq unbind`.
    Binding(BindArgs),
    /// A virtual host, with all that is in it.
    Vhost(DeleteVhostArgs),
    /// A message that waits for its time, as `duetmq list delayed` names it.
    Delayed(DeleteDelayedArgs),
}

/// What an exchange, a queue or a binding is part of, and how it is told.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct Common {
    /// The virtual host.
    #[arg(short = 'V', long, default_value = "/", value_name = "VHOST")]
    vhost: String,
    /// Tell what was done as a JSON object.
    #[arg(long)]
    json: bool,
    // Last: its heading stands above all that follows.
    #[command(flatten)]
    broker: PlaceArgs,
}

/// A name, by itself or behind a flag as rabbitmqadmin has it.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct Name {
    /// Its name.
    #[arg(value_name = "NAME", required_unless_present = "named", conflicts_with = "named")]
    name: Option<String>,
    /// The same, as rabbitmqadmin writes it.
    #[arg(long = "name", id = "named", value_name = "NAME", hide = true)]
    named: Option<String>,
}

impl Name {
    fn get(&self) -> &str {
        self.name.as_deref().or(self.named.as_deref()).unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct ExchangeArgs {
    #[command(flatten)]
    name: Name,
    /// How it picks: direct, topic, fanout or headers.
    #[arg(short = 't', long = "type", default_value = "direct", value_name = "TYPE")]
    kind: String,
    /// Whether it survives a restart.
    #[arg(long, default_value = "true", value_name = "TRUTH", num_args = 0..=1, default_missing_value = "true")]
    durable: bool,
    /// Whether it goes with its last binding.
    #[arg(long, default_value = "false", value_name = "TRUTH", num_args = 0..=1, default_missing_value = "true")]
    auto_delete: bool,
    /// Whether clients may not publish to it.
    #[arg(long, default_value = "false", value_name = "TRUTH", num_args = 0..=1, default_missing_value = "true")]
    internal: bool,
    #[command(flatten)]
    arguments: ArgumentArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct QueueArgs {
    #[command(flatten)]
    name: Name,
    /// classic, from which messages are taken, or stream, which is read by many.
    #[arg(long = "type", value_name = "TYPE", value_parser = ["classic", "stream"])]
    kind: Option<String>,
    /// How long a message stays in a stream: a number with Y, M, D, h, m or s behind it, as 7D.
    #[arg(long, value_name = "AGE", value_parser = age)]
    max_age: Option<String>,
    /// Whether it survives a restart.
    #[arg(long, default_value = "true", value_name = "TRUTH", num_args = 0..=1, default_missing_value = "true")]
    durable: bool,
    /// Whether it goes with its last consumer.
    #[arg(long, default_value = "false", value_name = "TRUTH", num_args = 0..=1, default_missing_value = "true")]
    auto_delete: bool,
    #[command(flatten)]
    arguments: ArgumentArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct DeleteExchangeArgs {
    #[command(flatten)]
    name: Name,
    /// Only if nothing is bound to it.
    #[arg(long)]
    if_unused: bool,
    /// It is no failure if there is none.
    #[arg(long)]
    idempotently: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct DeleteQueueArgs {
    #[command(flatten)]
    name: Name,
    /// Only if nobody consumes it.
    #[arg(long)]
    if_unused: bool,
    /// Only if nothing is in it.
    #[arg(long)]
    if_empty: bool,
    /// It is no failure if there is none.
    #[arg(long)]
    idempotently: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct DeleteDelayedArgs {
    /// Its ID in the list.
    #[arg(value_name = "ID")]
    id: String,
    /// It is no failure if it does not wait any more.
    #[arg(long)]
    idempotently: bool,
    #[command(flatten)]
    common: Common,
}

/// Draw a line from an exchange to a queue, or to another exchange.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = BIND_EXAMPLES)]
pub struct BindArgs {
    /// From this exchange.
    #[arg(value_name = "SOURCE", required_unless_present = "from", conflicts_with = "from")]
    source: Option<String>,
    /// To this queue, or exchange.
    #[arg(value_name = "DESTINATION", required_unless_present = "to", conflicts_with = "to")]
    destination: Option<String>,
    /// The same, as rabbitmqadmin writes it.
    #[arg(long = "source", id = "from", value_name = "NAME", hide = true)]
    from: Option<String>,
    /// The same, as rabbitmqadmin writes it.
    #[arg(long = "destination", id = "to", value_name = "NAME", hide = true)]
    to: Option<String>,
    /// What the destination is.
    #[arg(long, value_enum, default_value_t = Kind::Queue, value_name = "TYPE")]
    destination_type: Kind,
    /// For keys like this: words parted by dots, of which a topic exchange takes * for one and # for any number.
    #[arg(short = 'k', long = "routing-key", visible_alias = "key", default_value = "", value_name = "KEY")]
    key: String,
    #[command(flatten)]
    arguments: ArgumentArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A queue.
    Queue,
    /// An exchange.
    Exchange,
}

/// Take all messages that wait out of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = PURGE_EXAMPLES)]
pub struct PurgeArgs {
    /// `queue`, as rabbitmqadmin writes it, may stand before the name.
    #[arg(value_name = "QUEUE", required_unless_present = "named", num_args = 0..=2)]
    words: Vec<String>,
    /// The same, as rabbitmqadmin writes it.
    #[arg(long = "name", id = "named", value_name = "NAME", hide = true)]
    named: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Declares; exit code 0, 1, 2, 5, 6 or 7. `default` is the data directory where the arguments name none, or why there is none.
pub async fn run_declare(args: DeclareArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(match args.what {
        Declare::Exchange(args) => declare_exchange(args, default).await,
        Declare::Queue(args) => declare_queue(args, default).await,
        Declare::Binding(args) => bind(args, default).await,
        Declare::Vhost(args) => vhosts::declare(args, default).await,
    })
}

/// Deletes; the same.
pub async fn run_delete(args: DeleteArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(match args.what {
        Delete::Exchange(args) => {
            let query = if args.if_unused { "?if-unused=true" } else { "" };
            delete("exchange", &args.name, query, args.idempotently, args.common, default).await
        }
        Delete::Queue(args) => {
            let mut query = String::new();
            for (asked, name) in [(args.if_unused, "if-unused"), (args.if_empty, "if-empty")] {
                if asked {
                    query += &format!("{}{name}=true", if query.is_empty() { '?' } else { '&' });
                }
            }
            delete("queue", &args.name, &query, args.idempotently, args.common, default).await
        }
        Delete::Binding(args) => unbind(args, default).await,
        Delete::Vhost(args) => vhosts::delete(args, default).await,
        Delete::Delayed(args) => delete_delayed(args, default).await,
    })
}

/// Binds; the same.
pub async fn run_bind(args: BindArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(bind(args, default).await)
}

/// Ends a binding; the same.
pub async fn run_unbind(args: BindArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(unbind(args, default).await)
}

/// Purges; the same.
pub async fn run_purge(args: PurgeArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> ExitCode {
    end(purge(args, default).await)
}

async fn declare_exchange(
    args: ExchangeArgs,
    default: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<(), Failure> {
    let body = json!({
        "type": args.kind,
        "durable": args.durable,
        "auto_delete": args.auto_delete,
        "internal": args.internal,
        "arguments": args.arguments.read()?,
    });
    declare("exchange", &args.name, &body, args.common, default).await
}

async fn declare_queue(
    args: QueueArgs,
    default: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<(), Failure> {
    let mut arguments = args.arguments.read()?;
    for (flag, name, value) in
        [("--type", "x-queue-type", args.kind), ("--max-age", "x-max-age", args.max_age)]
    {
        if let (Some(value), Some(all)) = (value, arguments.as_object_mut())
            && all.insert(name.to_owned(), Value::from(value)).is_some()
        {
            return Err(Failure::usage(format!(
                "{flag} and --argument {name} say the same thing; leave one out"
            )));
        }
    }
    let body = json!({ "durable": args.durable, "auto_delete": args.auto_delete, "arguments": arguments });
    declare("queue", &args.name, &body, args.common, default).await
}

fn age(text: &str) -> Result<String, String> {
    stream::parse_age(text).map(|_| text.to_owned()).ok_or_else(|| stream::AGE_EXPECTED.to_owned())
}

async fn declare(
    what: &str,
    name: &Name,
    body: &Value,
    common: Common,
    default: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<(), Failure> {
    let Common { vhost, json, broker } = common;
    let path = format!("/api/{what}s/{}/{}", encoded(&vhost), encoded(name.get()));
    let Answer { is_new, .. } = broker.place(default)?.ask("PUT", &path, Some(body)).await?;
    let text = if is_new { "declared" } else { "is there, and the same" };
    let name = name.get();
    tell(json, &json!({ what: name, "vhost": vhost, "created": is_new }), &format!("{what} {name:?} {text}"))
}

async fn delete(
    what: &str,
    name: &Name,
    query: &str,
    idempotently: bool,
    common: Common,
    default: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<(), Failure> {
    let Common { vhost, json, broker } = common;
    let path = format!("/api/{what}s/{}/{}{query}", encoded(&vhost), encoded(name.get()));
    let done = broker.place(default)?.ask("DELETE", &path, None).await;
    let deleted = match done {
        Ok(_) => true,
        Err(failure) if idempotently && failure.code == Code::NotFound => false,
        Err(failure) => return Err(failure),
    };
    let text = if deleted { "deleted" } else { "is not there" };
    let name = name.get();
    tell(json, &json!({ what: name, "vhost": vhost, "deleted": deleted }), &format!("{what} {name:?} {text}"))
}

async fn delete_delayed(
    args: DeleteDelayedArgs,
    default: impl FnOnce() -> Result<PathBuf, String>,
) -> Result<(), Failure> {
    let DeleteDelayedArgs { id, idempotently, common: Common { vhost, json, broker } } = args;
    let path = format!("/api/v1/delayed/{}?vhost={}", encoded(&id), encoded(&vhost));
    let deleted = match broker.place(default)?.ask("DELETE", &path, None).await {
        Ok(_) => true,
        Err(failure) if idempotently && failure.code == Code::NotFound => false,
        Err(failure) => return Err(failure),
    };
    let text = if deleted { "deleted" } else { "does not wait" };
    tell(json, &json!({ "delayed": id, "vhost": vhost, "deleted": deleted }), &format!("message {id} {text}"))
}

impl BindArgs {
    fn ends(&self) -> (&str, &str) {
        let source = self.source.as_deref().or(self.from.as_deref()).unwrap_or_default();
        let destination = self.destination.as_deref().or(self.to.as_deref()).unwrap_or_default();
        (source, destination)
    }

    fn letter(&self) -> char {
        match self.destination_type {
            Kind::Queue => 'q',
            Kind::Exchange => 'e',
        }
    }

    fn path(&self) -> String {
        let (source, destination) = self.ends();
        let (vhost, letter) = (encoded(&self.common.vhost), self.letter());
        format!("/api/bindings/{vhost}/e/{}/{letter}/{}", encoded(source), encoded(destination))
    }

    fn told(&self, done: &str, truth: bool) -> Result<(Value, String), Failure> {
        let (source, destination) = self.ends();
        let kind = if self.destination_type == Kind::Queue { "queue" } else { "exchange" };
        let value = json!({
            "source": source,
            "destination": destination,
            "destination_type": kind,
            "routing_key": self.key,
            "arguments": self.arguments.read()?,
            "vhost": self.common.vhost,
            done: truth,
        });
        let text = format!("exchange {source:?} to {kind} {destination:?} with key {:?}", self.key);
        Ok((value, text))
    }
}

async fn bind(args: BindArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let body = json!({ "routing_key": args.key, "arguments": args.arguments.read()? });
    let place = args.common.broker.clone().place(default)?;
    let Answer { is_new, .. } = place.ask("POST", &args.path(), Some(&body)).await?;
    let (value, text) = args.told("created", is_new)?;
    tell(args.common.json, &value, &format!("{text} {}", if is_new { "bound" } else { "is bound like that" }))
}

async fn unbind(args: BindArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let place = args.common.broker.clone().place(default)?;
    let wanted = args.arguments.read()?;
    let properties = properties(&place, &args, &wanted).await?;
    place.ask("DELETE", &format!("{}/{}", args.path(), encoded(&properties)), None).await?;
    let (value, text) = args.told("deleted", true)?;
    tell(args.common.json, &value, &format!("{text} unbound"))
}

/// What the API calls that binding among those between these two.
async fn properties(place: &Place, args: &BindArgs, wanted: &Value) -> Result<String, Failure> {
    let all = place.get(&args.path()).await?;
    let found = all.as_array().into_iter().flatten().find(|one| {
        let is = |name: &str, wanted: &Value| one.get(name) == Some(wanted);
        is("routing_key", &Value::from(args.key.as_str())) && same(one.get("arguments"), wanted)
    });
    let properties = found.and_then(|one| one.get("properties_key")?.as_str()).map(str::to_owned);
    properties.ok_or_else(|| {
        let (source, destination) = args.ends();
        let key = &args.key;
        Failure::not_found(format!(
            "{source:?} and {destination:?} have no binding with key {key:?} and these arguments"
        ))
    })
}

/// The same arguments, where texts and what looks like them are the same, and `x-match=all` need not be said.
fn same(there: Option<&Value>, wanted: &Value) -> bool {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    };
    let list = |value: &Value| {
        let mut pairs: Vec<(String, String)> = value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), plain(value)))
            .filter(|(name, value)| name != "x-match" || value != "all")
            .collect();
        pairs.sort();
        pairs
    };
    list(there.unwrap_or(&Value::Null)) == list(wanted)
}

async fn purge(args: PurgeArgs, default: impl FnOnce() -> Result<PathBuf, String>) -> Result<(), Failure> {
    let name = match (args.words.as_slice(), args.named) {
        ([name], None) => name.clone(),
        ([queue, name], None) if queue == "queue" => name.clone(),
        ([], Some(name)) => name,
        ([queue], Some(name)) if queue == "queue" => name,
        _ => return Err(Failure::usage("one queue is purged at a time: duetmq purge NAME")),
    };
    let Common { vhost, json, broker } = args.common;
    let path = format!("/api/queues/{}/{}/contents", encoded(&vhost), encoded(&name));
    let Answer { value, .. } = broker.place(default)?.ask("DELETE", &path, None).await?;
    let purged = value.get("purged").and_then(Value::as_u64);
    let text = purged.map_or_else(|| "all messages".to_owned(), |purged| format!("{purged} messages"));
    tell(
        json,
        &json!({ "queue": name, "vhost": vhost, "purged": purged }),
        &format!("{text} taken out of queue {name:?}"),
    )
}

fn tell(json: bool, value: &Value, text: &str) -> Result<(), Failure> {
    print(&if json { format!("{value}\n") } else { format!("{text}\n") })
}

const DECLARE_EXAMPLES: &str = "\
Examples:
  duetmq declare queue jobs
  duetmq declare queue jobs -a x-max-length=10000 -a x-overflow=reject-publish --json
  duetmq declare queue history --type stream --max-age 7D
  duetmq declare exchange chat --type topic
  duetmq declare exchange audit --type fanout --durable false --auto-delete
  duetmq declare binding --source chat --destination jobs --routing-key 'room.*'
  duetmq declare vhost shop --max-connections 1000
  duetmq declare queue jobs --vhost shop
  duetmq declare queue jobs --admin http://127.0.0.1:15672 --user alice

Exit codes: 0 declared, or there and the same; 1 failed, 2 usage, or there and different, 5 refused, 6 not found, 7 no answer in time.";

const DELETE_EXAMPLES: &str = "\
Examples:
  duetmq delete queue jobs --if-empty --if-unused
  duetmq delete exchange chat --idempotently
  duetmq delete binding chat jobs --routing-key 'room.*'
  duetmq delete vhost shop --force
  duetmq delete delayed 1769853600123-42      as duetmq list delayed names it

Exit codes: 0 deleted, 1 failed, 2 usage, or in use, 5 refused, 6 not found, 7 no answer in time.";

const BIND_EXAMPLES: &str = "\
Examples:
  duetmq bind chat jobs --routing-key 'room.*'
  duetmq bind docs pdfs -a x-match=any -a format=pdf -a format2=pdf
  duetmq bind chat audit --destination-type exchange --routing-key '#'
  duetmq unbind chat jobs --routing-key 'room.*'

Exit codes: 0 done, 1 failed, 2 usage, 5 refused, 6 not found, 7 no answer in time.";

const PURGE_EXAMPLES: &str = "\
Examples:
  duetmq purge jobs
  duetmq purge queue --name jobs --json

Messages that consumers have stay with them.

Exit codes: 0 purged, 1 failed, 2 usage, 5 refused, 6 not found, 7 no answer in time.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    enum Line {
        Declare(DeclareArgs),
        Delete(DeleteArgs),
        Bind(BindArgs),
        Unbind(BindArgs),
        Purge(PurgeArgs),
    }

    #[test]
    fn the_arguments_are_sound() {
        use clap::CommandFactory;
        Line::command().debug_assert();
        for line in [
            "declare queue jobs",
            "declare queue --name jobs --durable false --auto-delete true -a x-max-length=5",
            "declare queue jobs --durable --auto-delete",
            "declare exchange x -t topic --internal --arguments {\"a\":1}",
            "declare binding --source x --destination q --routing-key k",
            "delete binding x q -k k",
            "delete queue q --if-empty --if-unused --idempotently -V / --json",
            "bind x q",
            "unbind x y --destination-type exchange --key #",
            "purge q",
            "purge queue --name q -d dir",
            "declare vhost shop --max-connections 100 --max-queues 5 --json",
            "delete vhost shop --force",
        ] {
            let parsed = Line::try_parse_from(["duetmq"].into_iter().chain(line.split(' ')));
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
        for line in [
            "declare",
            "declare queue",
            "declare queue a --name b",
            "declare vhost",
            "delete vhost x --idempotently",
            "declare queue a --durable maybe",
            "bind x",
            "bind --destination q",
            "bind x q --destination-type topic",
            "delete exchange x --if-empty",
            "purge",
            "declare queue a -a x=1 --arguments {}",
        ] {
            let parsed = Line::try_parse_from(["duetmq"].into_iter().chain(line.split(' ')));
            assert!(parsed.is_err(), "{line}: {parsed:?}");
        }
    }

    #[test]
    fn arguments_are_the_same_however_they_are_written() {
        let wanted = json!({"n": 5, "x-match": "all"});
        assert!(same(Some(&json!({"n": "5"})), &wanted));
        assert!(!same(Some(&json!({"n": "5", "x-match": "any"})), &wanted));
        assert!(same(None, &json!({})) && !same(None, &wanted));
    }
}
