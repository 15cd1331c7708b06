//! Commands: what those who look after the broker change of its exchanges, queues, bindings and bans while it runs

use std::sync::Arc;
use std::time::Duration;

use model::ban::{Author, Ban, Subject};
use model::change::{Change, Changeset};
use model::durability::Durability;
use model::name::{ExchangeName, PolicyName, QueueName};
use model::queue::{Binding, BindingOptions, Destination, ExchangeBinding, ExchangeOptions, QueueOptions};
use model::refusal::Refusal;
use routing::{Owner, Queue};
use tokio::sync::oneshot;

use crate::clock;
use crate::core::Core;
use crate::definitions::{Definitions, Made, Objection, Reach};
use crate::delayed::Turn;
use crate::parts::Parts;
use crate::policies::{CheckedPolicy, Placed};
use crate::{expiry, govern, plan, topology};

/// Changes the topology. Each command answers once its effect is on disk, as far as that lasts. Cloning it clones the handle.
///
/// Nobody's rights are asked for here: whoever has the handle has them.
#[derive(Clone)]
pub struct Commands {
    core: Arc<Core>,
}

/// When a queue is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DeleteQueueIf {
    /// Only if no message is in it, unsettled or on its way there.
    pub empty: bool,
    /// Only if nobody consumes it.
    pub unused: bool,
}

impl Commands {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Declares an exchange; `false`: there was one like that.
    ///
    /// # Errors
    ///
    /// If one of that name exists and is different, or if its name or its alternate cannot be.
    pub async fn declare_exchange(&self, options: ExchangeOptions) -> Result<bool, Refusal> {
        let new = topology::declare_exchange(&self.core.parts, options)?;
        self.lasting(new).await
    }

    /// Deletes an exchange, with the bindings from it and to it. Others that are `auto_delete` and lose their last binding by
    /// that go too. `if_unused`: only if no binding begins there.
    ///
    /// # Errors
    ///
    /// If there is none, if it is the broker's own, or if it is in use.
    pub async fn delete_exchange(&self, name: &ExchangeName, if_unused: bool) -> Result<(), Refusal> {
        topology::delete_exchange(&self.core.parts, name, if_unused)?;
        self.lasting(()).await
    }

    /// Declares a queue; `false`: there was one like that. What is `None` in its options is the broker's default, and of one
    /// that exists the two limits may be anything then.
    ///
    /// # Errors
    ///
    /// If one of that name exists and is different, is somebody's own, or has a name that others may not choose.
    pub async fn declare_queue(&self, options: QueueOptions) -> Result<bool, Refusal> {
        topology::check_common(&options)?;
        let new = topology::declare_whole(&self.core.parts, &options)?;
        self.lasting(new).await
    }

    /// Deletes a queue, with all that is in it; its consumers are told. Returns how many messages waited in it.
    ///
    /// # Errors
    ///
    /// If there is none, if it is somebody's own, or if it is not as `only` wants.
    pub async fn delete_queue(&self, name: &QueueName, only: DeleteQueueIf) -> Result<usize, Refusal> {
        let queue = topology::common(&self.core.parts, name)?;
        let mut seen = None;
        let may = |stats: routing::QueueStats| {
            seen = Some(stats);
            !(only.empty && stats.ready + stats.unacked > 0 || only.unused && stats.consumers > 0)
        };
        let deleted = topology::delete_queue_if(&self.core.parts, &queue, may);
        let stats = seen.unwrap_or_default();
        match deleted {
            Some(Some(cancelled)) => self.core.tell_cancelled(cancelled),
            Some(None) => return Err(Refusal::NoQueue(name.clone())),
            None => {
                let what = format!("queue {name:?}");
                let waiting = stats.ready + stats.unacked;
                let why = format!("{waiting} messages, {} consumers", stats.consumers);
                return Err(Refusal::InUse { what, why });
            }
        }
        self.lasting(stats.ready).await
    }

    /// Takes all that waits out of a queue, but not what consumers have and did not settle. Returns how many messages that
    /// were. They are not dead-lettered. Many go in steps, each of which lasts before the next: what comes in meanwhile
    /// counts as waiting, and whoever drops the future leaves the rest where it is.
    ///
    /// # Errors
    ///
    /// If there is none, or if it is exclusive to a connection.
    pub async fn purge_queue(&self, name: &QueueName) -> Result<usize, Refusal> {
        let parts = &self.core.parts;
        let queue = self.queue(name)?;
        if matches!(queue.owner(), Owner::Link(_)) {
            return Err(Refusal::Exclusive(name.clone()));
        }
        let mut left = queue.stats().ready;
        let mut purged = 0;
        loop {
            let (count, mut places) = queue.purge(left.min(PURGED_AT_ONCE));
            while !places.is_empty() {
                let changes = places.drain(..places.len().min(TOGETHER_MAX)).map(Change::Remove).collect();
                parts.durable.commit_soon(Changeset { changes });
            }
            expiry::watch(parts, &queue);
            plan::call_for_feed(&queue);
            self.lasting(()).await?;
            purged += count;
            left -= count;
            // Fewer than there were: others took them, or they are to be kept.
            if left == 0 || count < PURGED_AT_ONCE {
                return Ok(purged);
            }
        }
    }

    /// Binds a queue or an exchange to an exchange; `false`: it was bound like that before.
    ///
    /// # Errors
    ///
    /// If one of them does not exist, or is one that cannot be bound: the default exchange, somebody's own queue, and between
    /// exchanges one whose name starts with `$`.
    pub async fn bind(&self, binding: BindingOptions) -> Result<bool, Refusal> {
        let parts = &self.core.parts;
        let BindingOptions { exchange, pattern, arguments, to } = binding;
        let new = match to {
            Destination::Queue(name) => {
                let queue = topology::common(&self.core.parts, &name)?;
                let (share, grant) = Default::default();
                let binding = Binding { exchange, pattern, arguments, queue: name, share, grant };
                topology::bind(parts, &queue, binding)?
            }
            Destination::Exchange(to) => {
                topology::bind_exchange(parts, ExchangeBinding { exchange, pattern, arguments, to })?
            }
        };
        self.lasting(new).await
    }

    /// Ends such a binding.
    ///
    /// # Errors
    ///
    /// If there is none, or if it leads to somebody's own queue.
    pub async fn unbind(&self, binding: BindingOptions) -> Result<(), Refusal> {
        let parts = &self.core.parts;
        let BindingOptions { exchange, pattern, arguments, to } = binding;
        let said = match &to {
            Destination::Queue(name) => format!("exchange {exchange:?} to queue {name:?} by {pattern:?}"),
            Destination::Exchange(to) => format!("exchange {exchange:?} to exchange {to:?} by {pattern:?}"),
        };
        let existed = match to {
            Destination::Queue(name) => {
                let queue = topology::common(&self.core.parts, &name)?;
                let (share, grant) = Default::default();
                let binding = Binding { exchange, pattern, arguments, queue: name, share, grant };
                topology::unbind(parts, &queue, topology::key_of(queue.id(), binding))
            }
            Destination::Exchange(to) => {
                topology::unbind_exchange(parts, ExchangeBinding { exchange, pattern, arguments, to })
            }
        };
        if !existed {
            return Err(Refusal::NoBinding(said));
        }
        self.lasting(()).await
    }

    /// Has a policy hold, in the place of one that has its name. Answers when every
    /// queue and every exchange goes by it. What waits beyond new limits goes later, in steps.
    ///
    /// # Errors
    ///
    /// If one of that name stands in the configuration, or if there are too many.
    pub async fn put_policy(&self, policy: CheckedPolicy) -> Result<Placed, Refusal> {
        let parts = &self.core.parts;
        let change = Change::PutPolicy(Box::new(policy.policy().clone()));
        let placed = {
            // A queue that is made meanwhile goes by it, or is there to be seen to.
            let _order = parts.vhost.order();
            let placed = parts.vhost.policies.put(policy)?;
            if placed != Placed::Same {
                parts.durable.record(change);
            }
            placed
        };
        if placed != Placed::Same {
            self.govern().await?;
        }
        self.lasting(placed).await
    }

    /// Has a policy hold no more; `false`: there was none. Answers when every queue and every exchange goes by what is left.
    ///
    /// # Errors
    ///
    /// If it stands in the configuration.
    pub async fn delete_policy(&self, name: &PolicyName) -> Result<bool, Refusal> {
        let parts = &self.core.parts;
        let existed = {
            let _order = parts.vhost.order();
            let existed = parts.vhost.policies.remove(name)?;
            if existed {
                parts.durable.record(Change::DropPolicy(name.clone()));
            }
            existed
        };
        if existed {
            self.govern().await?;
        }
        self.lasting(existed).await
    }

    /// Has all that is there go by the policies. It is brought to its end though whoever asked may have gone.
    async fn govern(&self) -> Result<(), Refusal> {
        let applied = tokio::spawn(govern::apply(Arc::clone(&self.core.parts)));
        applied.await.map_err(|_| Refusal::ShuttingDown)
    }

    /// Declares all of it as one change, or nothing: whatever happens, neither somebody else nor a later life of the broker
    /// sees a part of it.
    ///
    /// # Errors
    ///
    /// Everything that contradicts what is there, or names what is neither there nor in the definitions.
    pub async fn declare(&self, definitions: &Definitions) -> Result<Made, Vec<Objection>> {
        let parts = &self.core.parts;
        let (done, waits) = oneshot::channel();
        let made = definitions.declare(parts, Reach::Common, |changeset| {
            parts.durable.commit_then(changeset, Durability::Disk, move || {
                let _ = done.send(());
            });
        })?;
        // The store has failed, and the process is about to end.
        let ended =
            |_| vec![Objection { kind: "broker", name: String::new(), refusal: Refusal::ShuttingDown }];
        waits.await.map_err(ended)?;
        if made.policies > 0 {
            self.govern()
                .await
                .map_err(|refusal| vec![Objection { kind: "broker", name: String::new(), refusal }])?;
        }
        Ok(made)
    }

    /// What [`Self::declare`] would come to now.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn rehearse(&self, definitions: &Definitions) -> Result<Made, Vec<Objection>> {
        definitions.rehearse(&self.core.parts)
    }

    /// Keeps somebody out, for so long or until it is taken back, and ends his connections; how many. `reason` is shown to him.
    ///
    /// # Errors
    ///
    /// If the store has failed.
    pub async fn ban(
        &self,
        subject: Subject,
        lasts: Option<Duration>,
        reason: &str,
    ) -> Result<usize, Refusal> {
        let since = clock::now();
        let until = lasts.map(|lasts| since.plus(lasts));
        let ban = Ban { subject: subject.clone(), until, since, by: Author::Hand, reason: reason.into() };
        let keeper = self.keeper(&subject);
        keeper.parts.durable.record(keeper.bans.put(ban));
        let kicked = self.core.kick_everywhere(&subject);
        lasting(keeper, kicked).await
    }

    /// Lets him come in again; `false`: nobody kept him out.
    ///
    /// # Errors
    ///
    /// If the store has failed.
    pub async fn unban(&self, subject: &Subject) -> Result<bool, Refusal> {
        let keeper = self.keeper(subject);
        let Some(change) = keeper.bans.take_back(subject) else { return Ok(false) };
        keeper.parts.durable.record(change);
        lasting(keeper, true).await
    }

    /// Takes a message away that waits for its time, by the id that a list has it under; `false`: it does not wait.
    ///
    /// # Errors
    ///
    /// If the store has failed.
    pub async fn delete_delayed(&self, id: &str) -> Result<bool, Refusal> {
        let parts = &self.core.parts;
        let Some(change) = Turn::parse(id).and_then(|turn| parts.vhost.delayed.delete(turn)) else {
            return Ok(false);
        };
        change.into_iter().for_each(|change| parts.durable.record(change));
        self.lasting(true).await
    }

    /// Ends the connections of whoever that is; how many. He may come again.
    pub fn kick(&self, subject: &Subject) -> usize {
        self.core.kick_everywhere(subject)
    }

    /// A client id means something in its vhost alone; a user and an address are the whole broker's.
    fn keeper(&self, subject: &Subject) -> &Core {
        match subject {
            Subject::Client(_) => &self.core,
            Subject::User(_) | Subject::Ip(_) => self.core.home(),
        }
    }

    pub(crate) fn parts(&self) -> &Arc<Parts> {
        &self.core.parts
    }

    pub(crate) fn queue(&self, name: &QueueName) -> Result<Arc<Queue>, Refusal> {
        self.core.parts.vhost.router.queue(name).ok_or_else(|| Refusal::NoQueue(name.clone()))
    }

    /// Waits until all that was handed to the journal by now is on disk.
    async fn lasting<T>(&self, answer: T) -> Result<T, Refusal> {
        lasting(&self.core, answer).await
    }
}

async fn lasting<T>(core: &Core, answer: T) -> Result<T, Refusal> {
    let (done, waits) = oneshot::channel();
    // Whoever asked may have gone: then nobody needs the answer.
    core.parts.durable.commit_then(Changeset::default(), Durability::Disk, move || {
        let _ = done.send(());
    });
    // The store has failed, and the process is about to end; or the vhost was deleted meanwhile.
    waits.await.map_err(|_| Refusal::ShuttingDown)?;
    Ok(answer)
}

/// So many are purged before others have their turn.
const PURGED_AT_ONCE: usize = 1 << 14;
/// So many that are gone share a changeset.
const TOGETHER_MAX: usize = 4096;
