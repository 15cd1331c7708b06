//! Rehearsal: what a declaration would come to, without anything being made

use model::name::QueueName;
use model::queue::{ExchangeOptions, QueueOptions};
use model::refusal::Refusal;
use routing::Owner;

use crate::equivalence::{self, Demand};
use crate::parts::Parts;
use crate::topology;

/// Whether declaring that exchange would make one; `false`: it is there, and the same.
///
/// # Errors
///
/// As [`crate::Commands::declare_exchange`].
pub(crate) fn exchange(parts: &Parts, options: &ExchangeOptions) -> Result<bool, Refusal> {
    let there = parts.vhost.router.exchange(&options.name);
    match there {
        Some(there) if there == *options => Ok(false),
        Some(there) => Err(Refusal::Inequivalent {
            what: format!("exchange {:?}", options.name),
            difference: format!("it is {there:?}"),
        }),
        None if options.name.as_str().starts_with("amq.") || options.name.as_str().starts_with('$') => {
            Err(Refusal::Denied {
                action: "declare",
                target: format!("exchange {:?}: such names are the broker's own", options.name),
            })
        }
        None => Ok(true),
    }
}

/// Whether declaring that queue would make one; `false`: it is there, and the same.
///
/// # Errors
///
/// As [`crate::Commands::declare_queue`].
pub(crate) fn queue(parts: &Parts, options: &QueueOptions) -> Result<bool, Refusal> {
    let Some(queue) = parts.vhost.router.queue(&options.name) else {
        let name = options.name.as_str();
        if name.starts_with(topology::SESSION_QUEUES) || QueueName::is_for_replies(name) {
            return Err(Refusal::Denied {
                action: "declare",
                target: format!("queue {name:?}: such names are the broker's own"),
            });
        }
        return Ok(true);
    };
    topology::check_owner(&queue, &Owner::Nobody)?;
    let mut asked = options.clone();
    asked.durable &= parts.durable.is_persistent();
    match equivalence::difference(queue.options(), &asked, Demand::Whole) {
        Some(difference) => {
            Err(Refusal::Inequivalent { what: format!("queue {:?}", options.name), difference })
        }
        None => Ok(false),
    }
}
