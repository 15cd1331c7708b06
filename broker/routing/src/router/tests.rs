//! A namespace: who gets a message, and who is told no.

use bytestring::ByteString;
use model::grant::Grant;
use model::name::{ClientId, QueueId, ShareName};
use model::qos::Qos;
use model::queue::{HeaderMatch, MatchMode};
use smallvec::SmallVec;

use super::*;
use crate::queue::owner::Owner;
use crate::testing::{options, pattern, queue};

#[test]
fn a_message_reaches_each_queue_once_with_its_grants_merged() {
    // MQTT 5.0, 3.3.4
    let mut house = House::new(&["q", "r"]);
    house.bind(Binding { grant: grant(Qos::AtMostOnce, 7), ..binding("q", "a/#") });
    house.bind(Binding { grant: grant(Qos::ExactlyOnce, 9), ..binding("q", "+/b") });
    house.bind(Binding { grant: grant(Qos::AtLeastOnce, 7), ..binding("q", "a/b") });
    house.bind(binding("r", "a/b"));
    let routes = house.resolve(&ExchangeName::TOPIC, "a/b");
    let merged = routes.fixed().iter().find(|route| route.queue.id() == QueueId(0)).unwrap();
    assert_eq!((routes.fixed().len(), merged.grant.qos), (2, Qos::ExactlyOnce));
    assert_eq!(merged.grant.subscription_ids.as_slice(), [7, 9]);
    assert_eq!(house.names("a/c"), ["q"]);
}

#[test]
fn a_binding_made_again_replaces_its_grant() {
    let mut house = House::new(&["q"]);
    assert!(house.bind(Binding { grant: grant(Qos::ExactlyOnce, 1), ..binding("q", "a") }));
    house.names("a");
    assert!(!house.bind(Binding { grant: grant(Qos::AtMostOnce, 2), ..binding("q", "a") }));
    let routes = house.resolve(&ExchangeName::TOPIC, "a");
    assert_eq!((routes.fixed().len(), routes.fixed()[0].grant.clone()), (1, grant(Qos::AtMostOnce, 2)));
    assert_eq!(house.router.bindings_of(&QueueName::new("q")).len(), 1);
}

#[test]
fn own_messages_are_withheld_where_no_local_says_so() {
    // [MQTT-3.8.3-3]; another subscription without No Local still gets them.
    let (ann, bob) = (ClientId::new("ann"), ClientId::new("bob"));
    let mut house = House::new(&["bobs"]);
    house.router.insert_queue(Queue::new(QueueId(9), options("anns"), Owner::Session(ann.clone())));
    let no_local = Grant { no_local: true, ..grant(Qos::ExactlyOnce, 1) };
    house.bind(Binding { grant: no_local.clone(), ..binding("anns", "a/#") });
    house.bind(Binding { grant: no_local, ..binding("bobs", "a/#") });
    // One cache for all: the answer for one publisher is not given to another.
    assert_eq!(house.names_for("a/b", Some(&ann)), ["bobs"]);
    assert_eq!(house.names_for("a/b", Some(&bob)), ["anns", "bobs"]);
    assert_eq!(house.names_for("a/b", None), ["anns", "bobs"]);
    assert_eq!(house.names_for("a/b", Some(&ann)), ["bobs"]);
    house.bind(Binding { grant: grant(Qos::AtMostOnce, 2), ..binding("anns", "a/b") });
    let routes = house.resolve_for(&ExchangeName::TOPIC, "a/b", Some(&ann));
    let anns = routes.fixed().iter().find(|route| route.queue.id() == QueueId(9)).unwrap();
    assert_eq!(anns.grant, grant(Qos::AtMostOnce, 2), "only the grant that does not withhold it");
}

#[test]
fn a_change_of_bindings_is_seen_at_once() {
    let mut house = House::new(&["q", "r"]);
    assert!(house.names("a/b").is_empty());
    for filter in ["a/b", "a/+", "+/b", "#"] {
        house.bind(binding("q", filter));
        assert_eq!(house.names("a/b"), ["q"], "{filter}");
        assert!(house.unbind(&binding("q", filter)));
        assert!(house.names("a/b").is_empty(), "{filter}");
    }
    house.bind(binding("q", "a/b"));
    assert_eq!(house.names("a/b"), ["q"]);
    house.router.remove_queue(&QueueName::new("q"));
    assert!(house.names("a/b").is_empty());
}

#[test]
fn a_queue_is_reached_by_its_name_from_when_it_exists() {
    let mut house = House::new(&["jobs", "a/b"]);
    assert_eq!(house.names_at(&ExchangeName::DEFAULT, "jobs"), ["jobs"]);
    assert_eq!(house.names_at(&ExchangeName::DEFAULT, "a/b"), ["a/b"]);
    assert!(house.names_at(&ExchangeName::DEFAULT, "later").is_empty());
    house.router.insert_queue(queue(77, "later"));
    assert_eq!(house.names_at(&ExchangeName::DEFAULT, "later"), ["later"]);
    house.router.insert_queue(queue(78, "later"));
    assert_eq!(house.resolve(&ExchangeName::DEFAULT, "later").fixed()[0].queue.id(), QueueId(78));
    house.router.remove_queue(&QueueName::new("later"));
    assert!(house.names_at(&ExchangeName::DEFAULT, "later").is_empty());
}

#[test]
fn each_kind_of_exchange_picks_in_its_own_way() {
    let mut house = House::new(&["q", "r"]);
    let at = |exchange: &ExchangeName, queue: &str, filter: &str| Binding {
        exchange: exchange.clone(),
        ..binding(queue, filter)
    };
    house.bind(at(&ExchangeName::DIRECT, "q", "a/b"));
    house.bind(at(&ExchangeName::DIRECT, "r", "a/+"));
    assert_eq!(house.names_at(&ExchangeName::DIRECT, "a/b"), ["q"]);
    assert_eq!(house.names_at(&ExchangeName::DIRECT, "a/*"), ["r"]);
    house.bind(at(&ExchangeName::FANOUT, "q", "a"));
    assert_eq!(house.names_at(&ExchangeName::FANOUT, "b"), ["q"]);
    house.bind(at(&ExchangeName::FANOUT, "r", "a"));
    assert_eq!(house.names_at(&ExchangeName::FANOUT, "b"), ["q", "r"]);
}

#[test]
fn a_headers_exchange_asks_each_message() {
    let mut house = House::new(&["q"]);
    let wanted = vec![(ByteString::from("kind"), Some(ByteString::from("x")))];
    let arguments = HeaderMatch { mode: MatchMode::All, wanted };
    let asked = Binding { exchange: ExchangeName::HEADERS, arguments, ..binding("q", "") };
    house.bind(asked.clone());
    let mut count = |kind: &str| {
        let headers = vec![("kind".into(), kind.into())];
        let properties = Properties { headers, ..Properties::default() };
        let key = RoutingKey::from("k");
        let House { router, cache } = &mut house;
        let routes = router
            .resolve(&ExchangeName::HEADERS, &key, Some(&properties), Sender::default(), cache)
            .unwrap();
        routes.targets().count()
    };
    assert_eq!([count("x"), count("y"), count("x")], [1, 0, 1]);
    assert_eq!(house.router.bindings_of(&QueueName::new("q")), std::slice::from_ref(&asked));
    assert!(house.unbind(&asked));
}

#[test]
fn one_member_of_each_share_gets_a_message() {
    // MQTT 5.0, 4.8.2
    let mut house = House::new(&["q", "r", "s"]);
    let member = |queue: &str, share: &str, filter: &str| Binding {
        share: Some(ShareName::new(share)),
        ..binding(queue, filter)
    };
    house.bind(member("q", "g", "a/#"));
    house.bind(member("r", "g", "a/#"));
    house.bind(member("r", "h", "a/#"));
    house.bind(member("q", "g", "a/b"));
    house.bind(binding("s", "a/b"));
    let routes = house.resolve(&ExchangeName::TOPIC, "a/b");
    assert_eq!((routes.fixed().len(), routes.shares().len(), routes.targets().count()), (1, 3, 4));
    let mut picked = [0, 0];
    let routes = house.resolve(&ExchangeName::TOPIC, "a/c");
    for _ in 0..10 {
        for route in routes.targets() {
            picked[route.queue.id().0 as usize] += 1;
        }
    }
    assert_eq!(picked, [5, 15]);
    assert!(house.unbind(&member("q", "g", "a/#")));
    assert_eq!(house.names("a/c"), ["r", "r"]);
    house.router.remove_queue(&QueueName::new("r"));
    assert!(house.names("a/c").is_empty());
    house.bind(member("s", "g", "a/#"));
    assert_eq!(house.names("a/c"), ["s"]);
}

#[test]
fn an_exchange_that_deletes_itself_goes_with_its_last_binding() {
    let mut house = House::new(&["q", "r"]);
    let name = ExchangeName::new("x");
    let mut asked = exchange("x", ExchangeKind::Topic);
    asked.auto_delete = true;
    let at = |queue: &str| Binding { exchange: name.clone(), ..binding(queue, "a") };
    house.router.declare_exchange(asked).unwrap();
    house.bind(at("q"));
    house.bind(at("r"));
    house.unbind(&at("q"));
    assert_eq!(house.names_at(&name, "a"), ["r"]);
    house.router.remove_queue(&QueueName::new("r"));
    assert_eq!(house.router.exchange(&name), None);
    let House { router, cache } = &mut house;
    let refused = router.resolve(&name, &RoutingKey::from("a"), None, Sender::default(), cache).map(|_| ());
    assert_eq!(refused, Err(Refusal::NoExchange(name)));
}

#[test]
fn the_bindings_of_a_deleted_exchange_go_with_it() {
    let mut house = House::new(&["q", "r"]);
    let name = ExchangeName::new("x");
    for kind in [ExchangeKind::Topic, ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Headers] {
        house.router.declare_exchange(exchange("x", kind)).unwrap();
        let own = Binding { exchange: name.clone(), ..binding("q", "a") };
        house.bind(own.clone());
        house.bind(Binding { share: Some(ShareName::new("g")), queue: QueueName::new("r"), ..own });
        house.bind(binding("q", "a"));
        assert_eq!(house.names_at(&name, "a"), ["q", "r"]);
        assert!(house.router.delete_exchange(&name));
        assert!(!house.router.delete_exchange(&name));
        assert_eq!(house.router.bindings_of(&QueueName::new("q")), [binding("q", "a")]);
        assert!(house.router.bindings_of(&QueueName::new("r")).is_empty());
        house.router.declare_exchange(exchange("x", kind)).unwrap();
        assert!(house.names_at(&name, "a").is_empty());
        house.router.delete_exchange(&name);
    }
}

#[test]
fn the_brokers_own_exchanges_stay_as_they_are() {
    let house = House::new(&["q"]);
    let names: Vec<_> =
        house.router.exchanges().into_iter().map(|options| options.name.to_string()).collect();
    assert_eq!(names, ["", "$session", "$user", "amq.direct", "amq.fanout", "amq.headers", "amq.topic"]);
    assert_eq!(house.router.declare_exchange(exchange("amq.topic", ExchangeKind::Topic)), Ok(false));
    let other = house.router.declare_exchange(exchange("amq.topic", ExchangeKind::Direct));
    assert_eq!(
        other.unwrap_err().to_string(),
        "exchange \"amq.topic\" exists with other options: kind is topic, asked for was direct"
    );
    for name in ["", "amq.mine"] {
        let refused = house.router.declare_exchange(exchange(name, ExchangeKind::Topic));
        assert!(matches!(refused, Err(Refusal::Denied { .. })), "{name}");
    }
    assert!(!house.router.delete_exchange(&ExchangeName::TOPIC));
    assert!(!house.router.delete_exchange(&ExchangeName::DEFAULT));
    let bound = house.router.bind(Binding { exchange: ExchangeName::DEFAULT, ..binding("q", "a") });
    assert!(matches!(bound, Err(Refusal::Denied { .. })));
}

#[test]
fn a_binding_needs_both_its_ends() {
    let house = House::new(&["q"]);
    let nowhere = house.router.bind(Binding { exchange: ExchangeName::new("x"), ..binding("q", "a") });
    assert_eq!(nowhere, Err(Refusal::NoExchange(ExchangeName::new("x"))));
    let nobody = house.router.bind(binding("x", "a"));
    assert_eq!(nobody, Err(Refusal::NoQueue(QueueName::new("x"))));
}

#[test]
fn a_binding_to_an_earlier_queue_of_that_name_is_another() {
    let mut house = House::new(&["q"]);
    house.bind(binding("q", "a"));
    let mut earlier = key_of(&house.router, &binding("q", "a"));
    earlier.queue_id = QueueId(99);
    assert!(!house.router.unbind(&earlier));
    assert_eq!(house.names("a"), ["q"]);
}

#[test]
fn more_keys_than_a_cache_keeps_are_still_answered() {
    let mut house = House::new(&["q"]);
    house.bind(binding("q", "a/+"));
    for turn in 0..2 {
        for number in 0..40_000 {
            assert_eq!(house.names(&format!("a/{number}")).len(), 1, "{turn}");
        }
    }
    let long = format!("a/{}", "x".repeat(60_000));
    assert_eq!(house.names(&long), ["q"]);
    assert_eq!(house.names("b"), [""; 0]);
}

#[test]
fn all_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Router>();
    shared::<crate::retained::Retained>();
    shared::<RouteCache>();
}

/// A router and one publisher's cache, so that every answer is a cached one the second time.
struct House {
    router: Router,
    cache: RouteCache,
}

impl House {
    fn new(queues: &[&str]) -> Self {
        let router = Router::default();
        for (id, name) in (0..).zip(queues) {
            router.insert_queue(queue(id, name));
        }
        Self { router, cache: RouteCache::new() }
    }

    fn bind(&mut self, binding: Binding) -> bool {
        self.router.bind(binding).unwrap()
    }

    fn unbind(&mut self, binding: &Binding) -> bool {
        self.router.unbind(&key_of(&self.router, binding))
    }

    fn resolve(&mut self, exchange: &ExchangeName, key: &str) -> &Routes {
        self.resolve_for(exchange, key, None)
    }

    fn resolve_for(&mut self, exchange: &ExchangeName, key: &str, publisher: Option<&ClientId>) -> &Routes {
        let key = RoutingKey::from(key);
        let sender = Sender { session: publisher, ..Sender::default() };
        self.router.resolve(exchange, &key, None, sender, &mut self.cache).unwrap()
    }

    fn names(&mut self, key: &str) -> Vec<String> {
        self.names_at(&ExchangeName::TOPIC, key)
    }

    fn names_for(&mut self, key: &str, publisher: Option<&ClientId>) -> Vec<String> {
        names(self.resolve_for(&ExchangeName::TOPIC, key, publisher))
    }

    fn names_at(&mut self, exchange: &ExchangeName, key: &str) -> Vec<String> {
        let first = names(self.resolve(exchange, key));
        assert_eq!(first, names(self.resolve(exchange, key)), "asked again");
        first
    }
}

fn names(routes: &Routes) -> Vec<String> {
    let mut names: Vec<_> = routes.targets().map(|route| route.queue.options().name.to_string()).collect();
    names.sort();
    names
}

fn binding(queue: &str, filter: &str) -> Binding {
    Binding {
        exchange: ExchangeName::TOPIC,
        pattern: pattern(filter),
        arguments: HeaderMatch::default(),
        queue: QueueName::new(queue),
        share: None,
        grant: Grant::default(),
    }
}

fn key_of(router: &Router, binding: &Binding) -> BindingKey {
    BindingKey {
        exchange: binding.exchange.clone(),
        pattern: binding.pattern.clone(),
        arguments: binding.arguments.clone(),
        share: binding.share.clone(),
        queue: binding.queue.clone(),
        queue_id: router.queue(&binding.queue).unwrap().id(),
    }
}

fn grant(qos: Qos, id: u32) -> Grant {
    Grant { qos, subscription_ids: SmallVec::from_slice(&[id]), ..Grant::default() }
}

fn exchange(name: &str, kind: ExchangeKind) -> ExchangeOptions {
    ExchangeOptions {
        name: ExchangeName::new(name),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
    }
}

mod onward;
