//! From exchange to exchange: bindings between them, alternates, circles, and what is cached of the way.

use super::*;

#[test]
fn a_message_goes_on_to_the_exchanges_that_are_bound_and_each_queue_gets_it_once() {
    let mut house = chain(&["q", "r"]);
    house.bind(Binding { exchange: named("b"), ..binding("q", "k/#") });
    house.bind(Binding { exchange: named("a"), ..binding("q", "#") });
    house.bind(Binding { exchange: named("c"), ..binding("r", "k/1") });
    assert_eq!(house.names_at(&named("a"), "k/1"), ["q", "r"]);
    assert_eq!(house.names_at(&named("a"), "k/2"), ["q"]);
    assert_eq!(house.names_at(&named("b"), "k/1"), ["q", "r"]);
    assert_eq!(house.names_at(&named("c"), "k/1"), ["r"]);
}

#[test]
fn a_circle_is_gone_round_once() {
    let mut house = chain(&["q"]);
    house.router.bind_exchange(&between("c", "a", "#")).unwrap();
    house.router.bind_exchange(&between("a", "a", "#")).unwrap();
    house.bind(Binding { exchange: named("c"), ..binding("q", "#") });
    for name in ["a", "b", "c"] {
        assert_eq!(house.names_at(&named(name), "k"), ["q"], "{name}");
    }
}

#[test]
fn a_change_anywhere_on_the_way_is_seen_at_once() {
    let mut house = chain(&["q", "r"]);
    assert_eq!(house.names_at(&named("a"), "k/1"), [""; 0]);
    let last = Binding { exchange: named("c"), ..binding("q", "k/1") };
    house.bind(last.clone());
    assert_eq!(house.names_at(&named("a"), "k/1"), ["q"]);
    house.bind(Binding { queue: QueueName::new("r"), pattern: pattern("+/1"), ..last.clone() });
    assert_eq!(house.names_at(&named("a"), "k/1"), ["q", "r"]);
    house.unbind(&last);
    assert_eq!(house.names_at(&named("a"), "k/1"), ["r"]);
    assert!(house.router.unbind_exchange(&between("b", "c", "#")));
    assert!(!house.router.unbind_exchange(&between("b", "c", "#")));
    assert_eq!(house.names_at(&named("a"), "k/1"), [""; 0]);
    assert_eq!(house.router.bind_exchange(&between("b", "c", "k/#")), Ok(true));
    assert_eq!(house.router.bind_exchange(&between("b", "c", "k/#")), Ok(false));
    assert_eq!(house.names_at(&named("a"), "k/1"), ["r"]);
    house.router.delete_exchange(&named("b"));
    assert_eq!(house.names_at(&named("a"), "k/1"), [""; 0]);
}

#[test]
fn what_no_binding_wants_goes_to_the_alternate_and_on_from_there() {
    let mut house = House::new(&["q", "lost"]);
    for (name, alternate) in [("x", "y"), ("y", "z"), ("z", "x")] {
        let asked = exchange(name, ExchangeKind::Topic);
        house
            .router
            .declare_exchange(ExchangeOptions { alternate: Some(named(alternate)), ..asked })
            .unwrap();
        // What is asked before the alternate exists is right afterwards.
        assert_eq!(house.names_at(&named("x"), "k"), [""; 0]);
    }
    house.bind(Binding { exchange: named("z"), ..binding("lost", "#") });
    assert_eq!(house.names_at(&named("x"), "k"), ["lost"]);
    house.bind(Binding { exchange: named("x"), ..binding("q", "k") });
    assert_eq!(house.names_at(&named("x"), "k"), ["q"]);
    assert_eq!(house.names_at(&named("x"), "other"), ["lost"]);
    // A binding that leads to an exchange where nobody is wants it all the same.
    house.router.declare_exchange(exchange("void", ExchangeKind::Fanout)).unwrap();
    house.router.bind_exchange(&between("x", "void", "other")).unwrap();
    assert_eq!(house.names_at(&named("x"), "other"), [""; 0]);
    house.router.delete_exchange(&named("z"));
    assert_eq!(house.names_at(&named("x"), "third"), [""; 0]);
}

#[test]
fn a_way_through_a_headers_exchange_is_found_anew_for_each_message() {
    let mut house = chain(&["q"]);
    let router = &house.router;
    router.declare_exchange(exchange("h", ExchangeKind::Headers)).unwrap();
    router.bind_exchange(&between("c", "h", "#")).unwrap();
    let arguments = HeaderMatch { wanted: vec![("a".into(), Some("1".into()))], ..HeaderMatch::default() };
    house.bind(Binding { exchange: named("h"), arguments, ..binding("q", "") });
    let mut ask = |value: &str| {
        let headers = vec![("a".into(), value.into())];
        let properties = Properties { headers, ..Properties::default() };
        let key = RoutingKey::from("k");
        let House { router, cache } = &mut house;
        names(
            router
                .resolve(&named("a"), &key, Some(&properties), crate::sender::Sender::default(), cache)
                .unwrap(),
        )
        .len()
    };
    assert_eq!([ask("1"), ask("2"), ask("1")], [1, 0, 1]);
}

#[test]
fn an_exchange_that_deletes_itself_goes_when_the_last_binding_from_it_goes_and_so_on() {
    let mut house = House::new(&["q"]);
    for name in ["a", "b", "c"] {
        let asked = exchange(name, ExchangeKind::Topic);
        house.router.declare_exchange(ExchangeOptions { auto_delete: name != "c", ..asked }).unwrap();
    }
    house.router.bind_exchange(&between("a", "b", "#")).unwrap();
    house.router.bind_exchange(&between("b", "c", "#")).unwrap();
    let own = Binding { exchange: named("b"), ..binding("q", "#") };
    house.bind(own.clone());
    assert!(house.router.unbind_exchange(&between("b", "c", "#")));
    assert!(house.router.take_gone_exchanges().is_empty(), "a queue is still bound");
    house.unbind(&own);
    let gone = house.router.take_gone_exchanges();
    assert_eq!(gone.iter().map(|gone| gone.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(house.router.binding_counts().all, 0);
    assert!(house.router.exchange(&named("c")).is_some());
}

#[test]
fn nothing_leads_on_to_exchanges_whose_keys_are_addresses() {
    let house = chain(&[]);
    for name in ["", "$user", "$session"] {
        for binding in [between("a", name, "#"), between(name, "a", "#")] {
            let refused = house.router.bind_exchange(&binding);
            assert!(matches!(refused, Err(Refusal::Denied { .. })), "{binding:?}");
        }
        let asked = ExchangeOptions { alternate: Some(named(name)), ..exchange("x", ExchangeKind::Topic) };
        assert!(matches!(house.router.declare_exchange(asked), Err(Refusal::Denied { .. })), "{name}");
    }
    for binding in [between("a", "none", "#"), between("none", "a", "#")] {
        assert_eq!(house.router.bind_exchange(&binding), Err(Refusal::NoExchange(named("none"))));
    }
}

#[test]
fn an_alternate_and_whether_it_is_internal_make_another_exchange() {
    let house = chain(&[]);
    let internal = ExchangeOptions { internal: true, ..exchange("a", ExchangeKind::Topic) };
    let refused = house.router.declare_exchange(internal).unwrap_err().to_string();
    assert_eq!(refused, "exchange \"a\" exists with other options: internal is false, asked for was true");
    let other = ExchangeOptions { alternate: Some(named("b")), ..exchange("a", ExchangeKind::Topic) };
    let refused = house.router.declare_exchange(other).unwrap_err().to_string();
    assert_eq!(refused, "exchange \"a\" exists with other options: alternate is none, asked for was \"b\"");
}

/// Topic exchanges a, b and c, each bound to the next for everything.
fn chain(queues: &[&str]) -> House {
    let house = House::new(queues);
    for name in ["a", "b", "c"] {
        house.router.declare_exchange(exchange(name, ExchangeKind::Topic)).unwrap();
    }
    house.router.bind_exchange(&between("a", "b", "#")).unwrap();
    house.router.bind_exchange(&between("b", "c", "#")).unwrap();
    house
}

fn between(from: &str, to: &str, filter: &str) -> ExchangeBinding {
    let arguments = HeaderMatch::default();
    ExchangeBinding { exchange: named(from), pattern: pattern(filter), arguments, to: named(to) }
}

fn named(name: &str) -> ExchangeName {
    ExchangeName::new(name)
}
