//! Applying a document: all of it, or nothing

use std::collections::HashSet;
use std::fmt::Debug;

use engine::{BindingView, Broker, Commands, DeleteQueueIf};
use model::name::{ExchangeName, QueueName};
use model::queue::{BindingOptions, Destination, ExchangeOptions, QueueOptions};
use model::refusal::Refusal;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::document::{Document, Item};
use crate::shape::binding;

/// How many of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Counts {
    exchanges: usize,
    queues: usize,
    bindings: usize,
}

/// What was made, in this order.
#[derive(Debug, Default)]
struct Made {
    exchanges: Vec<ExchangeName>,
    queues: Vec<QueueName>,
    bindings: Vec<BindingOptions>,
}

/// Looks at every item before any is made, then makes them, and takes back what was made if somebody else came in between.
/// Returns what was made (`dry_run`: would be), what was there, and what is left out.
///
/// # Errors
///
/// Everything that contradicts what is there, or names what is nowhere; `strict`: everything that is left out, too.
pub(super) async fn apply(
    broker: &Broker,
    document: Document,
    dry_run: bool,
    strict: bool,
) -> Result<Value, Vec<Item>> {
    let mut conflicts = rehearse(broker, &document);
    if strict {
        conflicts.extend(document.left_out.iter().cloned());
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let all = Counts {
        exchanges: document.exchanges.len(),
        queues: document.queues.len(),
        bindings: document.bindings.len(),
    };
    let left_out = document.left_out.clone();
    let made = if dry_run { would_make(broker, &document) } else { make(broker, document).await? };
    let there = Counts {
        exchanges: all.exchanges - made.exchanges,
        queues: all.queues - made.queues,
        bindings: all.bindings - made.bindings,
    };
    Ok(json!({ "dry_run": dry_run, "created": made, "there": there, "left_out": left_out }))
}

fn rehearse(broker: &Broker, document: &Document) -> Vec<Item> {
    let inspect = broker.inspect();
    let mut conflicts = Vec::new();
    let mut conflict = |kind, name: String, reason: String| conflicts.push(Item { kind, name, reason });
    let mut exchanges = HashSet::new();
    for exchange in &document.exchanges {
        let name = exchange.name.to_string();
        if !exchanges.insert(&exchange.name) {
            conflict("exchange", name, "it is in the definitions twice".to_owned());
        } else if let Err(refusal) = inspect.rehearse_exchange(exchange) {
            conflict("exchange", name, refusal.to_string());
        }
    }
    let mut queues = HashSet::new();
    for queue in &document.queues {
        let name = queue.name.to_string();
        if !queues.insert(&queue.name) {
            conflict("queue", name, "it is in the definitions twice".to_owned());
        } else if let Err(refusal) = inspect.rehearse_queue(queue) {
            conflict("queue", name, refusal.to_string());
        }
    }
    let has_exchange = |name: &ExchangeName| exchanges.contains(name) || inspect.exchange(name).is_some();
    for binding in &document.bindings {
        let (kind, to, is_there) = match &binding.to {
            Destination::Queue(name) => {
                ("queue", name.to_string(), queues.contains(name) || inspect.queue(name).is_some())
            }
            Destination::Exchange(name) => ("exchange", name.to_string(), has_exchange(name)),
        };
        let from = binding.exchange.to_string();
        let why = if !has_exchange(&binding.exchange) {
            format!("there is no exchange {from:?}, neither here nor in the definitions")
        } else if !is_there {
            format!("there is no {kind} {to:?}, neither here nor in the definitions")
        } else {
            continue;
        };
        conflict("binding", format!("{from} -> {to}"), why);
    }
    conflicts
}

fn would_make(broker: &Broker, document: &Document) -> Counts {
    let (inspect, there) = (broker.inspect(), existing(broker));
    let is_new = |result: Result<bool, Refusal>| result.unwrap_or(false);
    Counts {
        exchanges: document.exchanges.iter().filter(|one| is_new(inspect.rehearse_exchange(one))).count(),
        queues: document.queues.iter().filter(|one| is_new(inspect.rehearse_queue(one))).count(),
        bindings: document.bindings.iter().filter(|one| !there.contains(one)).count(),
    }
}

/// Bindings that are there, as far as `read` makes the same of them.
fn existing(broker: &Broker) -> HashSet<BindingOptions> {
    let inspect = broker.inspect();
    let mut views = inspect.exchange_bindings();
    for queue in inspect.queues(None, usize::MAX).items {
        views.extend(inspect.bindings_of(&QueueName::new(&queue.name)));
    }
    let options = |view: BindingView| {
        let to = match view.to_kind {
            "exchange" => Destination::Exchange(ExchangeName::new(&view.to)),
            _ => Destination::Queue(QueueName::new(&view.to)),
        };
        binding::read(&view.exchange, to, &binding::write(&view)).ok()
    };
    views.into_iter().filter_map(options).collect()
}

async fn make(broker: &Broker, document: Document) -> Result<Counts, Vec<Item>> {
    let mut made = Made::default();
    let done = make_all(&broker.commands(), document, &mut made).await;
    let counts =
        Counts { exchanges: made.exchanges.len(), queues: made.queues.len(), bindings: made.bindings.len() };
    match done {
        Ok(()) => Ok(counts),
        Err(item) => {
            take_back(&broker.commands(), made).await;
            Err(vec![item])
        }
    }
}

async fn make_all(commands: &Commands, document: Document, made: &mut Made) -> Result<(), Item> {
    let exchange = |commands: Commands, one: ExchangeOptions| async move {
        let name = one.name.clone();
        (commands.declare_exchange(one).await, name)
    };
    in_parallel(commands, document.exchanges, exchange, "exchange", &mut made.exchanges).await?;
    let queue = |commands: Commands, one: QueueOptions| async move {
        let name = one.name.clone();
        (commands.declare_queue(one).await, name)
    };
    in_parallel(commands, document.queues, queue, "queue", &mut made.queues).await?;
    let bind =
        |commands: Commands, one: BindingOptions| async move { (commands.bind(one.clone()).await, one) };
    in_parallel(commands, document.bindings, bind, "binding", &mut made.bindings).await
}

/// Makes many that do not need each other, so that they share what the disk costs. `made` gets those that are new.
async fn in_parallel<T, N, F>(
    commands: &Commands,
    all: Vec<T>,
    one: impl Fn(Commands, T) -> F,
    kind: &'static str,
    made: &mut Vec<N>,
) -> Result<(), Item>
where
    F: Future<Output = (Result<bool, Refusal>, N)> + Send + 'static,
    N: Debug + Send + 'static,
{
    let mut failed = None;
    let mut all = all.into_iter();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < TOGETHER_MAX && failed.is_none() {
            let Some(next) = all.next() else { break };
            under_way.spawn(one(commands.clone(), next));
        }
        match under_way.join_next().await {
            None => break,
            Some(Ok((Ok(true), name))) => made.push(name),
            Some(Ok((Ok(false), _))) => {}
            Some(Ok((Err(refusal), name))) => {
                failed = Some(Item { kind, name: format!("{name:?}"), reason: refusal.to_string() });
            }
            Some(Err(panic)) => {
                failed = Some(Item { kind, name: String::new(), reason: panic.to_string() });
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// In the other direction. What is gone already need not be taken back.
async fn take_back(commands: &Commands, made: Made) {
    for binding in made.bindings {
        let _ = commands.unbind(binding).await;
    }
    for queue in &made.queues {
        let _ = commands.delete_queue(queue, DeleteQueueIf::default()).await;
    }
    for exchange in &made.exchanges {
        let _ = commands.delete_exchange(exchange, false).await;
    }
}

/// So many wait for the disk together.
const TOGETHER_MAX: usize = 256;
