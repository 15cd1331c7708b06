//! Inspect: who is there, and who listens to what, for those who look after the broker

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::ban::Ban;
use model::name::{ExchangeName, PolicyName, QueueName};
use model::queue::ExchangeOptions;
use routing::Queue;

use crate::client::{About, Client, Listening};
use crate::clock;
use crate::core::Core;
use crate::explain::{Explanation, Supposed};
use crate::foresee::{Foreseen, SupposedSubscription};
use crate::numbers::SessionName;
use crate::registry::Session;
use crate::unroutable::UnroutableView;
use crate::vhost::Vhost;
use crate::{explain, foresee, users};

mod amounts;
mod delayed;
mod place;
mod policies;
mod topology;
mod views;

pub use amounts::{Amounts, Held};
pub use delayed::DelayedView;
use place::Place;
pub use policies::{PolicyView, TermsView};
pub use topology::{BindingView, ExchangeView, QueueView};
pub use views::{BanView, Overview, Page, SessionView, SubscriptionView, UserView};

/// Looks, and changes nothing. Each lock is held as long as one session or one list of handles needs; what is seen of
/// several sessions need not have been so at one moment. Cloning it clones the handle.
///
/// All lists are in an order that does not change, by session or by name, and come in pages: at most `limit` of what `keep`
/// wants, behind what the page before calls `next`.
#[derive(Clone)]
pub struct Inspect {
    core: Arc<Core>,
}

/// Somebody with a session: a client of MQTT, there or away, or a connection of STOMP.
struct Somebody {
    name: String,
    session: Option<Arc<Session>>,
    client: Option<Arc<Client>>,
}

impl Inspect {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// How many there are of everything.
    pub fn overview(&self) -> Overview {
        let vhost = &self.core.parts.vhost;
        let everybody = self.everybody();
        let connected = everybody.iter().filter(|somebody| somebody.client.is_some()).count();
        Overview {
            node: vhost.options.node.clone(),
            sessions: everybody.len(),
            connected,
            exchanges: vhost.router.exchanges().len(),
            queues: vhost.router.queues().len(),
            bindings: vhost.router.binding_counts().all,
        }
    }

    /// How much there is in all vhosts together, with at most `queues_max` queues by name: those that hold most, and of those that hold the same,
    /// nobody's own first. Each queue is looked at, so it is for threads that may take their time.
    pub fn amounts(&self, queues_max: usize) -> Amounts {
        let all = self.core.cores().map_or_else(|| vec![Arc::clone(&self.core)], |cores| cores.all());
        amounts::amounts(&all, queues_max)
    }

    /// How many messages and bytes a queue may hold of which nothing was said.
    pub fn usual_limits(&self) -> (u64, u64) {
        let options = &self.core.parts.vhost.options;
        (options.queue_messages_max, options.queue_bytes_max)
    }

    /// Sessions.
    pub fn sessions(
        &self,
        after: Option<&str>,
        limit: usize,
        mut keep: impl FnMut(&SessionView) -> bool,
    ) -> Page<SessionView> {
        self.walk(after, limit, |somebody, items| {
            items.extend(self.view(somebody).filter(|view| keep(view)));
        })
    }

    /// Who stays out.
    pub fn bans(
        &self,
        after: Option<&str>,
        limit: usize,
        mut keep: impl FnMut(&BanView) -> bool,
    ) -> Page<BanView> {
        let all = self.core.bans.all(&self.core.parts, clock::now());
        let place = |ban: &Ban| format!("{}/{}", ban.subject.kind(), ban.subject.name());
        let mut all: Vec<(String, BanView)> = all.iter().map(|ban| (place(ban), BanView::new(ban))).collect();
        all.retain(|(place, view)| after.is_none_or(|after| place.as_str() > after) && keep(view));
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let is_last = all.len() <= limit;
        all.truncate(limit);
        let next = all.last().filter(|_| !is_last).map(|(place, _)| place.clone());
        Page { items: all.into_iter().map(|(_, view)| view).collect(), next }
    }

    /// Messages that wait for their time, the first that is due first. What is in the journal alone is read for it, so it is for
    /// threads that may take their time.
    pub fn delayed(
        &self,
        after: Option<&str>,
        limit: usize,
        keep: impl FnMut(&DelayedView) -> bool,
    ) -> Page<DelayedView> {
        delayed::list(&self.core, after, limit, keep)
    }

    /// One session with what it has subscribed to; `None`: there is none of that name.
    pub fn session(&self, name: &str) -> Option<(SessionView, Vec<SubscriptionView>)> {
        let somebody = self.everybody().into_iter().find(|somebody| somebody.name == name)?;
        let view = self.view(&somebody)?;
        let mut subscriptions = Vec::new();
        self.listens(&somebody, &view, |subscription, _| subscriptions.push(subscription));
        Some((view, subscriptions))
    }

    /// Subscriptions. A page ends with all of a session, and so may be longer by as many as one session has.
    pub fn subscriptions(
        &self,
        after: Option<&str>,
        limit: usize,
        mut keep: impl FnMut(&SubscriptionView) -> bool,
    ) -> Page<SubscriptionView> {
        self.walk(after, limit, |somebody, items| {
            let Some(view) = self.view(somebody) else { return };
            self.listens(somebody, &view, |subscription, _| {
                items.extend(Some(subscription).filter(|subscription| keep(subscription)));
            });
        })
    }

    /// The subscriptions that hear what is sent to `destination`, which is written as MQTT writes it: `chat/room/5`,
    /// `$queue/jobs`, `$user/kim/queue/news`, `$exchange/x/k`; and those that are written exactly so. Pages are as those of
    /// [`Inspect::subscriptions`].
    pub fn subscribers(
        &self,
        destination: &str,
        after: Option<&str>,
        limit: usize,
        mut keep: impl FnMut(&SubscriptionView) -> bool,
    ) -> Page<SubscriptionView> {
        let place = Place::read(destination, &self.core.parts.vhost.router);
        self.walk(after, limit, |somebody, items| {
            let Some(view) = self.view(somebody) else { return };
            self.listens(somebody, &view, |subscription, bound| {
                let is_meant = subscription.destination == destination || place.is_heard_by(bound);
                items.extend(Some(subscription).filter(|subscription| is_meant && keep(subscription)));
            });
        })
    }

    /// The way that a message would take. Nothing is published.
    pub fn explain(&self, supposed: &Supposed) -> Explanation {
        explain::explain(&self.core, supposed)
    }

    /// What a subscription would make and bind. Nothing is made.
    pub fn foresee(&self, supposed: &SupposedSubscription) -> Foreseen {
        foresee::foresee(&self.core, supposed)
    }

    /// The last messages that no queue took, the newest first: not all that there were, and of a long one the beginning.
    pub fn unroutable(
        &self,
        after: Option<&str>,
        limit: usize,
        keep: impl FnMut(&UnroutableView) -> bool,
    ) -> Page<UnroutableView> {
        let (items, next) = self.core.parts.vhost.unroutable.list(after, limit, keep);
        Page { items, next }
    }

    /// Users that have a session, by name.
    pub fn users(
        &self,
        after: Option<&str>,
        limit: usize,
        mut keep: impl FnMut(&UserView) -> bool,
    ) -> Page<UserView> {
        let mut users: BTreeMap<String, UserView> = BTreeMap::new();
        for somebody in self.everybody() {
            let Some(SessionView { user: Some(user), connected, .. }) = self.view(&somebody) else {
                continue;
            };
            let user = users.entry(user).or_insert_with_key(|user| UserView::new(user.clone()));
            user.sessions += 1;
            user.connected += usize::from(connected);
        }
        let mut page = Page { items: Vec::new(), next: None };
        let behind = users.into_values().filter(|user| after.is_none_or(|after| *user.user > *after));
        for user in behind {
            if page.items.len() >= limit {
                page.next = page.items.last().map(|last: &UserView| last.user.clone());
                break;
            }
            if keep(&user) {
                page.items.push(user);
            }
        }
        page
    }

    /// Exchanges, by name.
    pub fn exchanges(&self, after: Option<&str>, limit: usize) -> Page<ExchangeView> {
        let Vhost { router, policies, .. } = &self.core.parts.vhost;
        let view = |options: ExchangeOptions| {
            let bindings = router.bound_from(&options.name);
            ExchangeView::new(options, bindings, policies)
        };
        page(router.exchanges(), after, limit, |options| options.name.to_string(), view)
    }

    /// One exchange, if there is one of that name.
    pub fn exchange(&self, name: &ExchangeName) -> Option<ExchangeView> {
        let Vhost { router, policies, .. } = &self.core.parts.vhost;
        Some(ExchangeView::new(router.exchange(name)?, router.bound_from(name), policies))
    }

    /// Policies; the one that holds before the others comes first.
    pub fn policies(&self) -> Vec<PolicyView> {
        let Vhost { router, policies, .. } = &self.core.parts.vhost;
        let governed = router.queues().into_iter().filter_map(|queue| queue.governed()?.policy.clone());
        let queues = tally(governed);
        let holds = |name: &ExchangeName| {
            policies.with_exchange(name.as_str(), |policy| policy.map(|policy| policy.name.clone()))
        };
        let exchanges = tally(router.exchanges().iter().filter_map(|exchange| holds(&exchange.name)));
        let view = |held: &Arc<crate::policies::Held>| {
            let name = &held.policy.policy().name;
            let count = |all: &HashMap<PolicyName, usize>| all.get(name).copied().unwrap_or(0);
            PolicyView::new(held, count(&queues), count(&exchanges))
        };
        policies.all().iter().map(view).collect()
    }

    /// Queues, by name, those of sessions and subscriptions among them.
    pub fn queues(&self, after: Option<&str>, limit: usize) -> Page<QueueView> {
        let queues = self.core.parts.vhost.router.queues();
        page(queues, after, limit, |queue| queue.options().name.to_string(), |queue| self.queue_view(&queue))
    }

    /// One queue, if there is one of that name.
    pub fn queue(&self, name: &QueueName) -> Option<QueueView> {
        self.core.parts.vhost.router.queue(name).map(|queue| self.queue_view(&queue))
    }

    fn queue_view(&self, queue: &Queue) -> QueueView {
        QueueView::new(queue, &self.core.parts.vhost.options.levels)
    }

    /// The bindings of a queue, in the order they were made.
    pub fn bindings_of(&self, queue: &QueueName) -> Vec<BindingView> {
        let bindings = self.core.parts.vhost.router.bindings_of(queue);
        bindings.into_iter().map(BindingView::to_queue).collect()
    }

    /// The bindings from one exchange to another, by where they begin, then by where they lead.
    pub fn exchange_bindings(&self) -> Vec<BindingView> {
        let mut bindings = self.core.parts.vhost.router.exchange_bindings();
        bindings.sort_by(|a, b| (&a.exchange, &a.to, &a.pattern).cmp(&(&b.exchange, &b.to, &b.pattern)));
        bindings.into_iter().map(BindingView::to_exchange).collect()
    }

    fn walk<T>(
        &self,
        after: Option<&str>,
        limit: usize,
        mut add: impl FnMut(&Somebody, &mut Vec<T>),
    ) -> Page<T> {
        let mut everybody = self.everybody();
        everybody.sort_by_cached_key(|somebody| place_in_order(&somebody.name));
        let after = after.map(place_in_order);
        let mut page = Page { items: Vec::new(), next: None };
        let mut last = None;
        for somebody in &everybody {
            if after.is_some_and(|after| place_in_order(&somebody.name) <= after) {
                continue;
            }
            if page.items.len() >= limit {
                page.next = last;
                break;
            }
            add(somebody, &mut page.items);
            last = Some(somebody.name.clone());
        }
        page
    }

    /// All handles, in no order.
    fn everybody(&self) -> Vec<Somebody> {
        let clients: Vec<Arc<Client>> = self.core.links().values().map(Arc::clone).collect();
        let mut by_link = HashMap::new();
        let mut everybody = Vec::new();
        for client in clients {
            match client.with(|present| present.client.is_none().then(|| present.session.to_string())) {
                Some(Some(name)) => everybody.push(Somebody { name, session: None, client: Some(client) }),
                Some(None) => {
                    by_link.insert(client.link, client);
                }
                None => {}
            }
        }
        everybody.extend(self.core.registry.all().into_iter().map(|session| {
            let (queue, link) = session.at();
            let client = link.and_then(|link| by_link.remove(&link));
            Somebody { name: SessionName::OfQueue(queue).to_string(), session: Some(session), client }
        }));
        everybody
    }

    /// `None`: it left meanwhile.
    fn view(&self, somebody: &Somebody) -> Option<SessionView> {
        let about = somebody
            .client
            .as_ref()
            .and_then(|client| client.with(|present| (client.about(present), present.listening.len())));
        let Some(session) = &somebody.session else {
            let (about, subscriptions) = about?;
            return Some(SessionView { subscriptions, ..self.connected(about) });
        };
        let look = session.look();
        let away = SessionView {
            session: somebody.name.clone(),
            client: Some(session.client.to_string()),
            user: look.user.map(|user| user.to_string()),
            node: self.core.parts.vhost.options.node.clone(),
            ..SessionView::default()
        };
        let view = about.map_or(away, |(about, _)| self.connected(about));
        let stats = look.queue.stats();
        Some(SessionView {
            disconnected_at_ms: look.disconnected_at.filter(|_| !view.connected).map(|at| at.0),
            expiry_s: look.expiry_s,
            subscriptions: look.subscriptions,
            waiting: Some(stats.ready),
            unsettled: Some(stats.unacked),
            ..view
        })
    }

    fn connected(&self, about: About) -> SessionView {
        SessionView {
            session: about.session,
            client: about.client,
            user: about.user,
            connected: true,
            connection: Some(about.connection),
            protocol: Some(about.protocol),
            transport: Some(about.transport),
            listener: Some(about.listener),
            peer: about.peer,
            connected_at_ms: Some(about.connected_at_ms),
            node: self.core.parts.vhost.options.node.clone(),
            ..SessionView::default()
        }
    }

    /// Calls `add` for each subscription, with what is bound, or consumed, for it.
    fn listens(
        &self,
        somebody: &Somebody,
        view: &SessionView,
        mut add: impl FnMut(SubscriptionView, &Listening),
    ) {
        if let Some(session) = somebody.session.as_ref().map(|session| session.look()) {
            for binding in self.core.parts.vhost.router.bindings_of(&session.queue.options().name) {
                let bound = Listening {
                    source: Some((binding.exchange, binding.pattern)),
                    share: binding.share,
                    queue: None,
                    qos: binding.grant.qos,
                };
                add(SubscriptionView::new(view, &users::as_asked(&bound)), &bound);
            }
        }
        let Some(client) = &somebody.client else { return };
        let Some((own, listening)) = client.with(|present| {
            (users::Own::new(present.session, present.user.clone()), present.listening.clone())
        }) else {
            return;
        };
        for asked in listening.into_values() {
            let view = SubscriptionView::new(view, &asked);
            let bound = |(exchange, pattern)| (own.pattern(&exchange, pattern), exchange);
            let source = asked.source.map(bound).map(|(pattern, exchange)| (exchange, pattern));
            add(view, &Listening { source, ..asked });
        }
    }
}

fn tally(names: impl Iterator<Item = PolicyName>) -> HashMap<PolicyName, usize> {
    let mut counts = HashMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

/// A page of a list that is not in order yet.
fn page<T, V>(
    mut all: Vec<T>,
    after: Option<&str>,
    limit: usize,
    name: impl Fn(&T) -> String,
    view: impl Fn(T) -> V,
) -> Page<V> {
    all.retain(|one| after.is_none_or(|after| *name(one) > *after));
    all.sort_by_cached_key(&name);
    let next = (all.len() > limit).then(|| all.get(limit.checked_sub(1)?).map(&name)).flatten();
    all.truncate(limit);
    Page { items: all.into_iter().map(view).collect(), next }
}

/// Those of earlier lives of the broker first; in each life connections, then sessions that may outlive theirs, in the order
/// in which they came.
fn place_in_order(session: &str) -> (u64, bool, u64) {
    let rest = session.strip_prefix("session-").unwrap_or_default();
    let (life, number) = rest.split_once('-').unwrap_or_default();
    let number_of = |text: &str| text.parse().unwrap_or(u64::MAX);
    let may_outlive = number.starts_with('q');
    (number_of(life), may_outlive, number_of(number.trim_start_matches('q')))
}
