//! Inquiry: what a hook is asked before it happens, and what waits behind it

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use model::event::Event;
use model::hook::{Caller, Hook, News};
use model::key::{KeyPattern, RoutingKey};
use model::name::{ConsumerId, ExchangeName, ShareName, VhostName};
use model::principal::{Handshake, Permissions, Principal};
use model::refusal::Refusal;
use model::request::{
    Identity, Open, Operation, Publish, Request, Submit, Subscribe, Subscription, Target, Unsubscription,
};

use crate::rights;

/// A client's affairs with the hook. There is none where there is no hook.
pub(crate) struct Inquiry {
    hook: Arc<dyn Hook>,
    caller: Arc<Caller>,
    /// The question under way: one at a time, so that what the client says is asked in its order.
    asking: Option<Asking>,
    /// What the client said since.
    waiting: VecDeque<Request>,
    waiting_bytes: usize,
    /// Subscriptions that go by another filter than the client named.
    renamed: HashMap<Name, Name>,
    /// What its consumers are of, to tell when they end.
    consumed: HashMap<ConsumerId, (ExchangeName, KeyPattern)>,
}

type Asking = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What a subscription goes by.
pub(crate) type Name = (ExchangeName, KeyPattern, Option<ShareName>);

/// What becomes of a request.
pub(crate) enum Answer {
    Go(Request),
    Subscribe(Checked),
    Refused(Event),
}

/// Subscriptions, asked about.
pub(crate) struct Checked {
    pub(crate) request: Subscribe,
    /// Those that are not to be, by their places among all of the request; in order.
    pub(crate) refused: Vec<(usize, Refusal)>,
    /// What those that are to be were named, and what they go by.
    pub(crate) names: Vec<(Name, Name)>,
}

/// Whom a client has to pass when it has shown who it is.
pub(crate) struct Entrance {
    hook: Arc<dyn Hook>,
    caller: Caller,
    /// Its vhost was chosen before anybody knew who it is.
    is_placed: bool,
    handshake: Option<Arc<Handshake>>,
}

impl Entrance {
    /// Asks whether this client may come in, and whether its will may be what it is.
    pub(crate) async fn pass(
        mut self,
        open: &mut Open,
        principal: &Principal,
        permissions: &Permissions,
    ) -> Result<Arc<Caller>, Refusal> {
        if let Some(first) = permissions.vhosts().and_then(<[_]>::first)
            && !self.is_placed
        {
            self.caller.vhost = first.clone();
        }
        self.caller.user = principal.user.clone();
        self.caller.version = open.version;
        self.caller.client = match &open.identity {
            Identity::Session { client, .. } => client.clone(),
            Identity::Connection => open.credentials.client.clone(),
        };
        self.caller.attributes = self.hook.connect(&self.caller, self.handshake.as_deref()).await?;
        if let Some(mut will) = open.will.take() {
            if self.hook.wants_publish(&self.caller, &will.publish.exchange, &will.publish.key) {
                will.publish = self.hook.publish(&self.caller, will.publish).await?;
            }
            open.will = Some(will);
        }
        Ok(Arc::new(self.caller))
    }
}

impl Inquiry {
    /// With a hook that knows of the client what is known of whoever has just connected.
    pub(crate) fn new(hook: Arc<dyn Hook>, caller: Caller) -> Box<Self> {
        Box::new(Self {
            hook,
            caller: Arc::new(caller),
            asking: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            renamed: HashMap::new(),
            consumed: HashMap::new(),
        })
    }

    /// Into that vhost; `None`: into the default one, or the one that whoever it is may be in.
    pub(crate) fn entrance(&self, chosen: Option<&VhostName>, handshake: Option<Arc<Handshake>>) -> Entrance {
        let vhost = chosen.cloned().unwrap_or(VhostName::DEFAULT);
        let caller = Caller { vhost, ..(*self.caller).clone() };
        Entrance { hook: Arc::clone(&self.hook), caller, is_placed: chosen.is_some(), handshake }
    }

    /// The client is in.
    pub(crate) fn meet(&mut self, caller: Arc<Caller>) {
        self.caller = caller;
    }

    pub(crate) fn say_good_bye(&self, orderly: bool) {
        self.hook.tell(&self.caller, News::Left { orderly });
    }

    /// Forgets consumers that there are not: those that were refused. `count`: how many there are.
    pub(crate) fn forget_consumers(&mut self, count: usize, is_there: impl Fn(&ConsumerId) -> bool) {
        // Now and then, so that it costs next to nothing each time.
        if self.consumed.len() > count * 2 + CONSUMERS_MORE {
            self.consumed.retain(|id, _| is_there(id));
        }
    }

    /// Puts a request behind those that wait.
    pub(crate) fn hold(&mut self, mut request: Request) {
        detach(&mut request);
        self.waiting_bytes += size_bytes(&request);
        self.waiting.push_back(request);
    }

    /// The request that has waited longest.
    pub(crate) fn next(&mut self) -> Option<Request> {
        let request = self.waiting.pop_front()?;
        self.waiting_bytes -= size_bytes(&request);
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(request)
    }

    /// Takes note of what the client asks. Whether the hook is to be asked first.
    pub(crate) fn heed(&mut self, request: &mut Request, permissions: &Permissions) -> bool {
        match request {
            Request::Submit(submit) => submit.operations.iter().any(|one| self.is_wanted(one, permissions)),
            Request::Subscribe(subscribe) => {
                let subscriptions = &subscribe.subscriptions;
                if self.hook.wants_unsubscribe(&self.caller) {
                    let consumers = subscriptions.iter();
                    let places = consumers.filter_map(|one| Some((one.consumer.as_ref()?.id, place(one))));
                    self.consumed.extend(places);
                }
                let is_wanted = |one: &Subscription| self.hook.wants_subscribe(&self.caller, one);
                subscriptions.iter().any(|one| may_be(one, permissions) && is_wanted(one))
            }
            Request::Unsubscribe(unsubscribe) => {
                for ending in &mut unsubscribe.subscriptions {
                    self.tell_unsubscribed(ending);
                    self.resolve(ending);
                }
                false
            }
            Request::Open(_)
            | Request::Proceed(_)
            | Request::Reauthenticate(_)
            | Request::Release(_)
            | Request::Close(_) => false,
        }
    }

    /// Asks about a request. `may_rename`: whether subscriptions may go by another filter than the client names.
    pub(crate) fn ask(&mut self, mut request: Request, permissions: Permissions, may_rename: bool) {
        detach(&mut request);
        let (hook, caller) = (Arc::clone(&self.hook), Arc::clone(&self.caller));
        self.asking = Some(match request {
            Request::Submit(submit) => Box::pin(ask_submit(hook, caller, permissions, submit)),
            Request::Subscribe(subscribe) => {
                Box::pin(ask_subscribe(hook, caller, permissions, *subscribe, may_rename))
            }
            other @ (Request::Open(_)
            | Request::Proceed(_)
            | Request::Reauthenticate(_)
            | Request::Release(_)
            | Request::Unsubscribe(_)
            | Request::Close(_)) => Box::pin(std::future::ready(Answer::Go(other))),
        });
    }

    /// The answer, when it comes.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(asking) = &mut self.asking else { return Poll::Pending };
        let polled = asking.as_mut().poll(cx);
        if polled.is_ready() {
            self.asking = None;
        }
        polled
    }

    /// Whether a question is under way.
    pub(crate) const fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// How many requests wait, the one that is asked about included.
    pub(crate) fn backlog(&self) -> usize {
        self.waiting.len() + usize::from(self.is_asking())
    }

    /// Whether `times` as much waits as a client may have waiting.
    pub(crate) fn holds(&self, times: usize) -> bool {
        self.waiting.len() >= WAITING_MAX * times || self.waiting_bytes >= WAITING_BYTES_MAX * times
    }

    fn is_wanted(&self, operation: &Operation, permissions: &Permissions) -> bool {
        match operation {
            Operation::Publish(publish) => is_asked(&*self.hook, &self.caller, permissions, publish),
            Operation::Settle(_) => false,
        }
    }

    fn tell_unsubscribed(&mut self, ending: &Unsubscription) {
        if !self.hook.wants_unsubscribe(&self.caller) {
            return;
        }
        let (exchange, pattern) = match ending {
            Unsubscription::Binding { exchange, pattern, .. } => (exchange.clone(), pattern.clone()),
            Unsubscription::Consumer { id, .. } => match self.consumed.remove(id) {
                Some(place) => place,
                None => return,
            },
        };
        self.hook.tell(&self.caller, News::Unsubscribed { exchange, pattern });
    }

    /// Replaces the name that the client knows a subscription by.
    fn resolve(&mut self, ending: &mut Unsubscription) {
        if let Unsubscription::Binding { exchange, pattern, share } = ending
            && !self.renamed.is_empty()
            && let Some(name) = self.renamed.remove(&(exchange.clone(), pattern.clone(), share.clone()))
        {
            *ending = to_unsubscription(name);
        }
    }

    /// Takes note of the names of new subscriptions. Whatever the client named so before, and went by another name, is over.
    /// No more than `names_max` are kept.
    pub(crate) fn rename(&mut self, names: Vec<(Name, Name)>, names_max: usize) -> Vec<Unsubscription> {
        let mut over = Vec::new();
        for (named, goes_by) in names {
            let before = self.renamed.remove(&named);
            over.extend(before.filter(|before| *before != goes_by).map(to_unsubscription));
            // There are more than there can be subscriptions only if some of them were refused later on.
            if named != goes_by && self.renamed.len() < names_max {
                self.renamed.insert(named, goes_by);
            }
        }
        over
    }
}

async fn ask_submit(
    hook: Arc<dyn Hook>,
    caller: Arc<Caller>,
    permissions: Permissions,
    mut submit: Submit,
) -> Answer {
    for operation in std::mem::take(&mut submit.operations) {
        let answer = match operation {
            Operation::Publish(publish) if is_asked(&*hook, &caller, &permissions, &publish) => {
                hook.publish(&caller, publish).await.map(Operation::Publish)
            }
            other @ (Operation::Publish(_) | Operation::Settle(_)) => Ok(other),
        };
        match answer {
            Ok(operation) => submit.operations.push(operation),
            Err(refusal) => {
                return Answer::Refused(Event::Submitted { ticket: submit.ticket, result: Err(refusal) });
            }
        }
    }
    Answer::Go(Request::Submit(submit))
}

async fn ask_subscribe(
    hook: Arc<dyn Hook>,
    caller: Arc<Caller>,
    permissions: Permissions,
    request: Subscribe,
    may_rename: bool,
) -> Answer {
    let mut checked = Checked {
        request: Subscribe { ticket: request.ticket, subscriptions: Vec::new() },
        refused: Vec::new(),
        names: Vec::new(),
    };
    for (index, one) in request.subscriptions.into_iter().enumerate() {
        let named = name(&one);
        let answer = if may_be(&one, &permissions) && hook.wants_subscribe(&caller, &one) {
            hook.subscribe(&caller, one).await
        } else {
            Ok(one)
        };
        match answer {
            Ok(answer) if name(&answer) != named && !may_rename => checked.refused.push((index, LASTS)),
            Ok(answer) => {
                // Those of a consumer end by its name.
                if answer.consumer.is_none() {
                    checked.names.extend(named.zip(name(&answer)));
                }
                checked.request.subscriptions.push(answer);
            }
            Err(refusal) => checked.refused.push((index, refusal)),
        }
    }
    Answer::Subscribe(checked)
}

/// What is denied anyhow is not asked about.
fn is_asked(hook: &dyn Hook, caller: &Caller, permissions: &Permissions, publish: &Publish) -> bool {
    let place = (&publish.exchange, &publish.key);
    hook.wants_publish(caller, place.0, place.1)
        && rights::publish(permissions, place, publish.retain, "publish to").is_ok()
}

fn may_be(subscription: &Subscription, permissions: &Permissions) -> bool {
    subscription.source.as_ref().is_none_or(|source| rights::may_read(permissions, source))
}

fn name(subscription: &Subscription) -> Option<Name> {
    let source = subscription.source.as_ref()?;
    Some((source.exchange.clone(), source.pattern.clone(), source.share.clone()))
}

/// What a subscription is about: a queue by its name is a key of the default exchange.
fn place(subscription: &Subscription) -> (ExchangeName, KeyPattern) {
    let queue = match (&subscription.source, &subscription.queue) {
        (Some(source), _) => return (source.exchange.clone(), source.pattern.clone()),
        (None, Target::Declare(declaration)) => declaration.options.name.as_str(),
        (None, Target::Existing(name) | Target::Replies(name)) => name.as_str(),
        (None, Target::Session | Target::Private) => "",
    };
    (ExchangeName::DEFAULT, KeyPattern::exact(&RoutingKey::from(queue)))
}

fn to_unsubscription((exchange, pattern, share): Name) -> Unsubscription {
    Unsubscription::Binding { exchange, pattern, share }
}

/// What waits must not hold on to the buffers it was read into: they are many times its size.
pub(crate) fn detach(request: &mut Request) {
    let Request::Submit(submit) = request else { return };
    for operation in &mut submit.operations {
        if let Operation::Publish(publish) = operation {
            publish.key = publish.key.detached();
            publish.payload = Bytes::copy_from_slice(&publish.payload);
            if let Some(properties) = &mut publish.properties {
                properties.detach();
            }
        }
    }
}

/// About as much as a request holds, in bytes.
pub(crate) fn size_bytes(request: &Request) -> usize {
    REQUEST_BYTES
        + match request {
            Request::Submit(submit) => submit.operations.iter().map(operation_bytes).sum(),
            Request::Subscribe(subscribe) => subscribe.subscriptions.len() * REQUEST_BYTES,
            Request::Unsubscribe(unsubscribe) => unsubscribe.subscriptions.len() * REQUEST_BYTES,
            Request::Open(_)
            | Request::Proceed(_)
            | Request::Reauthenticate(_)
            | Request::Release(_)
            | Request::Close(_) => 0,
        }
}

fn operation_bytes(operation: &Operation) -> usize {
    let Operation::Publish(Publish { key, payload, properties, .. }) = operation else {
        return REQUEST_BYTES;
    };
    let headers = properties.iter().flat_map(|properties| &properties.headers);
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    REQUEST_BYTES + key.as_str().len() + payload.len() + headers
}

/// From so many requests on, or so many bytes of them, that wait for a hook's answer, the client is not read.
const WAITING_MAX: usize = 64;
const WAITING_BYTES_MAX: usize = 64 << 10;

/// So many consumers that there are not may be remembered.
const CONSUMERS_MORE: usize = 64;

/// What a request takes by itself, roughly, in bytes.
const REQUEST_BYTES: usize = 256;

const LASTS: Refusal = Refusal::Invalid(
    "a hook gave it another filter, which cannot be where a session outlives its connection",
);
