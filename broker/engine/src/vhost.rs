//! A namespace: its router, its retained messages, what publishers called theirs, what is due in it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use model::name::{ExchangeName, VhostName};
use model::time::WallMs;
use model::vhost::VhostLimits;
use routing::{Retained, Router};

use crate::clock;
use crate::crowd::Room;
use crate::delayed::Delayed;
use crate::policies::Policies;
use crate::policy::Options;
use crate::publications::Publications;
use crate::timers::Timers;
use crate::unroutable::Unroutable;

/// One namespace. Its parts lock for themselves; `order` is what keeps the journal and the router in step.
pub(crate) struct Vhost {
    pub(crate) router: Router,
    pub(crate) options: Options,
    pub(crate) policies: Policies,
    pub(crate) publications: Publications,
    pub(crate) timers: Timers,
    /// The messages that wait for their time.
    pub(crate) delayed: Arc<Delayed>,
    /// The last messages that no queue took.
    pub(crate) unroutable: Unroutable,
    /// What the broker says of itself, for those who subscribe later.
    pub(crate) system: Arc<Retained>,
    /// How many clients may be in at a time.
    pub(crate) room: Arc<Room>,
    /// How many queues there may be that are nobody's own, where that is less than anywhere else.
    queues_max: AtomicU64,
    retained: RwLock<HashMap<ExchangeName, Arc<Retained>>>,
    order: Mutex<()>,
    retaining: Mutex<()>,
    unshown: AtomicUsize,
    /// When the log was last told of what goes wrong with every message.
    complained_at: AtomicU64,
    told_denied_at: AtomicU64,
}

impl Vhost {
    pub(crate) fn new(name: &VhostName, options: Options) -> Self {
        Self {
            router: Router::new(options.overlapping),
            publications: Publications::new(&options),
            unroutable: Unroutable::new(options.unroutable_keep),
            delayed: Delayed::new(options.delayed_max, options.delayed_bytes_max),
            policies: Policies::configured(&options.policies, name),
            options,
            timers: Timers::new(clock::instant()),
            system: Arc::default(),
            room: Room::new(),
            queues_max: AtomicU64::new(u64::MAX),
            retained: RwLock::default(),
            order: Mutex::new(()),
            retaining: Mutex::new(()),
            unshown: AtomicUsize::new(0),
            complained_at: AtomicU64::new(0),
            told_denied_at: AtomicU64::new(0),
        }
    }

    /// From now on there may be so much in it; what is there stays.
    pub(crate) fn limit(&self, limits: &VhostLimits) {
        self.room.set_most(limits.connections_max.unwrap_or(u64::MAX));
        self.queues_max.store(limits.queues_max.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How much there may be in it.
    pub(crate) fn limits(&self) -> VhostLimits {
        let limit = |most: u64| (most < u64::MAX).then_some(most);
        VhostLimits {
            connections_max: limit(self.room.most()),
            queues_max: limit(self.queues_max.load(Ordering::Relaxed)),
        }
    }

    /// Whether there are as many queues that are nobody's own as there may be.
    pub(crate) fn is_full_of_queues(&self) -> bool {
        let most = self.queues_max.load(Ordering::Relaxed);
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.options.queues_max);
        self.router.common_queues() >= most
    }

    /// Whether the log is to be told of something that may go wrong with every message: once in a while.
    pub(crate) fn may_complain(&self, now: WallMs) -> bool {
        is_due(&self.complained_at, now)
    }

    /// The same of what clients are denied: who does that all the time must not hide what else goes wrong.
    pub(crate) fn may_tell_denied(&self, now: WallMs) -> bool {
        is_due(&self.told_denied_at, now)
    }

    /// Held while the topology changes: a declaration is handed to the journal before anyone can route by it, so that
    /// no entry stands in the journal before its queue.
    pub(crate) fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held by whoever publishes a message to be retained, from asking for its queues until it is handed to the journal,
    /// and by whoever subscribes and wants retained messages, from binding to the same point. So a subscriber meets each
    /// of them either as retained or as it is published, the older one first; and of two publishers of one key the last
    /// one is the last one in the journal too. Taken before the lock of a session, and before `order`.
    pub(crate) fn retaining(&self) -> MutexGuard<'_, ()> {
        self.retaining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of retained messages is on its way to the disk, and until [`Self::shown`] whatever else there is about
    /// them goes the same way. To be called while `retaining` is held.
    pub(crate) fn not_yet_shown(&self) {
        self.unshown.fetch_add(1, Ordering::AcqRel);
    }

    /// It arrived, and is shown.
    pub(crate) fn shown(&self) {
        self.unshown.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether something of retained messages is on its way to the disk. To be asked while `retaining` is held.
    pub(crate) fn has_unshown(&self) -> bool {
        self.unshown.load(Ordering::Acquire) > 0
    }

    /// The retained messages of an exchange, if it ever had any.
    pub(crate) fn retained(&self, exchange: &ExchangeName) -> Option<Arc<Retained>> {
        self.retained.read().unwrap_or_else(PoisonError::into_inner).get(exchange).map(Arc::clone)
    }

    /// How many messages are retained, over all exchanges, and their bytes.
    pub(crate) fn retained_size(&self) -> (u64, u64) {
        let all = self.retained.read().unwrap_or_else(PoisonError::into_inner);
        all.values().fold((0, 0), |(count, bytes), one| (count + one.len() as u64, bytes + one.bytes()))
    }

    /// The retained messages of an exchange, to add to them.
    pub(crate) fn retained_mut(&self, exchange: &ExchangeName) -> Arc<Retained> {
        self.retained(exchange).unwrap_or_else(|| {
            let mut all = self.retained.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(exchange.clone()).or_default())
        })
    }
}

/// Whether it was long enough ago; then it is now.
fn is_due(at: &AtomicU64, now: WallMs) -> bool {
    let last = at.load(Ordering::Relaxed);
    let is_due = now.0.saturating_sub(last) >= COMPLAIN_EVERY_MS || now.0 < last;
    is_due && at.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

const COMPLAIN_EVERY_MS: u64 = 10_000;
