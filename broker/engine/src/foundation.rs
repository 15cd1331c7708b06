//! Foundation: what a vhost stands on, with what its store remembers brought back

use std::sync::Arc;

use model::access::AccessControl;
use model::name::{Incarnation, NodeId, VhostName};
use model::refusal::Refusal;
use storage::{Recovered, Store};
use telemetry::Metrics;

use crate::authors::Authors;
use crate::bans::Bans;
use crate::clock;
use crate::durable::Durable;
use crate::numbers::Numbers;
use crate::parts::Parts;
use crate::policy::Options;
use crate::registry::Registry;
use crate::vhost::Vhost;
use crate::wills::Aftermath;
use crate::{govern, recovery};

/// What the core of a vhost is made of.
pub(crate) struct Foundation {
    pub(crate) parts: Arc<Parts>,
    pub(crate) registry: Registry,
    pub(crate) bans: Bans,
    /// What is to be settled once the core is there.
    pub(crate) aftermaths: Vec<Aftermath>,
}

impl Foundation {
    /// Without a store, nothing is remembered, and nothing outlives the process.
    ///
    /// # Errors
    ///
    /// The store remembers something that cannot be: an exchange that is another one by now.
    pub(crate) fn lay(
        name: &VhostName,
        options: Options,
        store: Option<(Arc<Store>, Recovered)>,
        access: &Arc<dyn AccessControl>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Refusal> {
        let (store, recovered) = store.unzip();
        let incarnation = recovered.as_ref().map_or(Incarnation(1), |recovered| recovered.incarnation);
        let bans = Bans::new(options.bans.clone());
        let parts = Arc::new(Parts {
            vhost: Vhost::new(name, options),
            durable: Durable::new(store),
            numbers: Numbers::new(NodeId::default(), incarnation),
            authors: Authors::new(Arc::clone(access)),
            metrics,
        });
        let registry = Registry::new(Arc::clone(access));
        let aftermaths = recovered.map(|mut recovered| {
            let now = clock::now();
            recovered.bans.drain(..).for_each(|ban| bans.restore(&parts, ban, now));
            recovery::recover(&parts, &registry, recovered)
        });
        let aftermaths = aftermaths.transpose()?.unwrap_or_default();
        govern::begin(&parts);
        Ok(Self { parts, registry, bans, aftermaths })
    }
}
