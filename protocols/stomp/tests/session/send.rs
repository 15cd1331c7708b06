//! SEND: where it goes, what it carries, when its receipt comes.

use model::event::{Event, Submitted};
use model::key::RoutingKey;
use model::name::{ExchangeName, QueueName};
use model::properties::ReplyTo;
use model::qos::Qos;
use model::queue::{Named, QueueDeclaration, QueueOptions};
use model::refusal::Refusal;
use stomp::frame::Command;
use stomp::version::Version;

use crate::harness::{Peer, text};

#[test]
fn a_destination_names_exchange_and_key() {
    for (destination, exchange, key) in [
        ("/topic/room.1", "amq.topic", "room/1"),
        ("/topic/방.일", "amq.topic", "방/일"),
        ("/exchange/chat.exchange/room.1", "chat.exchange", "room/1"),
        ("/exchange/amq.fanout", "amq.fanout", ""),
        ("/queue/chat.queue", "", "chat.queue"),
        ("/amq/queue/jobs", "", "jobs"),
        ("jobs", "", "jobs"),
    ] {
        let mut peer = Peer::online(Version::V1_2);
        peer.feed(&format!("SEND\ndestination:{destination}\n\nx\0"));
        let publish = peer.publish();
        assert_eq!(publish.exchange, ExchangeName::new(exchange), "{destination}");
        assert_eq!(publish.key, RoutingKey::from(key), "{destination}");
    }
}

#[test]
fn a_message_is_handed_on_as_it_is() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SEND\ndestination:/topic/a.b\ncontent-type:application/json\nfoo:1\nFoo:2\nfoo:3\nlong\\cname:a\\nb\nempty:\nreceipt:r\ntransaction-like:x\ncontent-length:2\npasscode:p\nAuthorization:t\n\n\0x\0");
    let publish = peer.publish();
    assert_eq!(&publish.payload[..], b"\0x");
    assert_eq!((publish.qos, publish.retain, publish.persistent), (Qos::AtLeastOnce, false, false));
    assert_eq!(publish.expiry_ms, None);
    assert!(publish.declare.is_none() && publish.remember.is_none());
    let properties = publish.properties.unwrap();
    assert_eq!(properties.content_type.unwrap(), "application/json");
    let headers: Vec<_> = properties.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    // STOMP 1.2, "Repeated Header Entries"; nothing of the frame's own, and no secrets.
    assert_eq!(
        headers,
        [("foo", "1"), ("Foo", "2"), ("long:name", "a\nb"), ("empty", ""), ("transaction-like", "x")]
    );
}

#[test]
fn known_headers_become_properties() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SEND\ndestination:/topic/a\nqos:2\nqos:0\nretain:true\npersistent:true\nexpiration:5000\npriority:7\ncorrelation-id:c1\nreply-to:/topic/answers.1\n\n\0");
    let publish = peer.publish();
    assert_eq!((publish.qos, publish.retain, publish.persistent), (Qos::ExactlyOnce, true, true));
    assert_eq!(publish.expiry_ms, Some(5000));
    let properties = publish.properties.unwrap();
    assert_eq!(properties.priority, Some(7));
    assert_eq!(&properties.correlation.unwrap()[..], b"c1");
    let address = ReplyTo::Address { exchange: ExchangeName::TOPIC, key: RoutingKey::from("answers/1") };
    assert_eq!(properties.reply_to, Some(address));
    assert!(properties.headers.is_empty());

    for text in ["answers", "/amq/queue/answers", "http://x/y", "/reply-queue/x"] {
        peer.feed(&format!("SEND\ndestination:/topic/a\nreply-to:{}\n\n\0", text.replace(':', "\\c")));
        assert_eq!(peer.publish().properties.unwrap().reply_to, Some(ReplyTo::Text(text.into())));
    }
    peer.feed("SEND\ndestination:/topic/a\n\n\0");
    assert_eq!(peer.publish().properties, None);
}

#[test]
fn how_long_a_message_waits_is_said_in_rabbitmqs_word_or_in_activemqs_and_goes_no_further() {
    let mut peer = Peer::online(Version::V1_2);
    for (headers, delay_ms) in [
        ("x-delay:5000", 5000),
        ("x-delay:0", 0),
        ("AMQ_SCHEDULED_DELAY:4294967295000", 4_294_967_295_000),
        ("x-delay:7\nx-delay:9", 7),
        ("", 0),
    ] {
        let headers = if headers.is_empty() { String::new() } else { format!("{headers}\n") };
        peer.feed(&format!("SEND\ndestination:/topic/a\n{headers}\n\0"));
        let publish = peer.publish();
        assert_eq!((publish.delay_ms, publish.properties), (delay_ms, None), "{headers}");
    }
}

#[test]
fn binary_correlation_comes_back_as_it_was() {
    let mut peer = Peer::online(Version::V1_2);
    for (value, bytes) in [
        ("hex\\cff00", &b"\xff\x00"[..]),
        ("hex\\c61", b"hex:61"),
        ("hex\\cf", b"hex:f"),
        ("hex\\czz", b"hex:zz"),
    ] {
        peer.feed(&format!("SEND\ndestination:/topic/a\ncorrelation-id:{value}\n\n\0"));
        assert_eq!(&peer.publish().properties.unwrap().correlation.unwrap()[..], bytes);
    }
}

#[test]
fn only_queue_makes_a_queue() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SEND\ndestination:/queue/jobs\n\nx\0");
    let durable = QueueOptions {
        name: QueueName::new("jobs"),
        durable: true,
        exclusive: false,
        auto_delete: false,
        ready_max: None,
        ready_bytes_max: None,
        arguments: None,
    };
    assert_eq!(peer.publish().declare.as_deref(), Some(&durable.clone().into()));
    peer.feed("SEND\ndestination:/amq/queue/jobs\n\nx\0");
    assert_eq!(peer.publish().declare, None);
    peer.feed("SEND\ndestination:/queue/jobs\ndurable:false\n\nx\0");
    let own = QueueOptions { durable: false, exclusive: true, auto_delete: true, ..durable.clone() };
    let named = Named { durable: true, ..Named::default() };
    assert_eq!(peer.publish().declare.as_deref(), Some(&QueueDeclaration { options: own, named }));
    peer.feed(
        "SEND\ndestination:/queue/jobs\nauto-delete:true\nx-max-length:9\nx-max-length-bytes:99\n\nx\0",
    );
    let publish = peer.publish();
    let limited =
        QueueOptions { auto_delete: true, ready_max: Some(9), ready_bytes_max: Some(99), ..durable };
    let named = Named { auto_delete: true, ..Named::default() };
    assert_eq!(publish.declare.as_deref(), Some(&QueueDeclaration { options: limited, named }));
    assert_eq!(publish.properties, None, "not part of the message");
}

#[test]
fn the_receipt_comes_when_the_work_is_done() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SEND\ndestination:/queue/a\nreceipt:r\\c1\n\nx\0SEND\ndestination:/queue/a\n\nx\0");
    let requests = peer.requests();
    let [model::request::Request::Submit(first), model::request::Request::Submit(second)] = &requests[..]
    else {
        panic!("{requests:?}")
    };
    assert!(first.answer && !second.answer);
    assert!(first.ticket < second.ticket);
    assert!(peer.frames().is_empty());
    peer.accept(first.ticket);
    assert_eq!(peer.receipts(), ["r:1"]);
}

#[test]
fn a_refused_send_is_an_error_that_names_the_receipt() {
    // STOMP 1.2, "SEND": "the server MUST send the client an ERROR frame and then close the connection"
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SEND\ndestination:/exchange/x/k\nreceipt:r1\n\nx\0");
    let ticket = peer.submit().ticket;
    peer.refuse(ticket, Refusal::NoExchange(ExchangeName::new("x")));
    let frames = peer.frames();
    assert_eq!(frames.len(), 1, "no RECEIPT: {frames:?}");
    let error = &frames[0];
    assert_eq!(error.header("receipt-id").unwrap(), "r1");
    assert_eq!(error.header("error-code").unwrap(), "not_found");
    assert!(error.header("message").unwrap().starts_with("no exchange \"x\""));
    assert!(text(error).contains("SEND\ndestination:/exchange/x/k\nreceipt:r1\n"), "{}", text(error));
    assert!(!peer.is_open());
}

#[test]
fn a_send_without_receipt_is_refused_as_well() {
    let mut peer = Peer::online(Version::V1_1);
    peer.feed("SEND\ndestination:/topic/a\n\nx\0");
    let submit = peer.submit();
    assert!(!submit.answer);
    peer.refuse(submit.ticket, Refusal::Denied { action: "publish to", target: "/topic/a".into() });
    let error = peer.error();
    assert_eq!(error.header("message").unwrap(), "not allowed to publish to /topic/a");
    assert_eq!(error.header("error-code").unwrap(), "access_refused");
    assert_eq!(error.header("receipt-id"), None);
}

#[test]
fn wrong_destinations_are_refused() {
    for (destination, message, body) in [
        ("destination:/topic/a/b\n", "Invalid destination", "'/a/b' is not a valid topic destination"),
        ("destination:/queue/a/b\n", "Invalid destination", "'/a/b' is not a valid queue destination"),
        (
            "destination:/amq/queue/a/b\n",
            "Invalid destination",
            "'/a/b' is not a valid amq/queue destination",
        ),
        (
            "destination:/exchange/x/a/b\n",
            "Invalid destination",
            "'/x/a/b' is not a valid exchange destination",
        ),
        ("destination:/topic/\n", "Invalid destination", "'/' is not a valid topic destination"),
        ("destination:/topic\n", "Invalid destination", "'' is not a valid topic destination"),
        ("destination:/queue\n", "Invalid destination", "'' is not a valid queue destination"),
        ("destination:/exchange/\n", "Invalid destination", "'/' is not a valid exchange destination"),
        ("destination:/sub/chat/1\n", "Unknown destination", "'/sub/chat/1' is not a valid destination"),
        ("destination:/queues/a\n", "Unknown destination", "Valid destination types are:"),
        ("destination:a/b\n", "Unknown destination", "'a/b'"),
        ("destination:\n", "Unknown destination", "''"),
        ("destination:/temp-queue/a\n", "Unsupported destination", "in the header reply-to of SEND"),
        ("destination:/temp-queue/\n", "Invalid destination", "'/' is not a valid temp-queue destination"),
        ("destination:/reply-queue/\n", "Invalid destination", "'/' is not a valid reply-queue destination"),
        ("destination:/topic/a.#\n", "Invalid destination", "wildcard"),
        ("destination:/exchange/amq.topic/a.+\n", "Invalid destination", "wildcard"),
        ("destination:/topic/%ff\n", "Invalid destination", "not UTF-8"),
        ("destination:/topic/%00\n", "Invalid destination", "not UTF-8"),
        ("", "Missing Header", "SEND needs header destination"),
    ] {
        let mut peer = Peer::online(Version::V1_2);
        peer.feed(&format!("SEND\n{destination}receipt:r9\n\nx\0"));
        let error = peer.error();
        assert_eq!(error.header("message").unwrap(), message, "{destination}");
        assert!(text(&error).contains(body), "{destination}: {}", text(&error));
        assert_eq!(error.header("receipt-id").unwrap(), "r9");
        assert!(peer.requests().is_empty());
    }
}

#[test]
fn headers_that_mean_nothing_are_refused() {
    for header in [
        "qos:3",
        "qos:-1",
        "qos:",
        "qos:x",
        "expiration:soon",
        "expiration:-1",
        "expiration:",
        "priority:256",
        "priority:x",
        "x-delay:soon",
        "x-delay:-1",
        "x-delay:4294967295001",
        "AMQ_SCHEDULED_DELAY:1s",
        "AMQ_SCHEDULED_CRON:0 * * * *",
        "AMQ_SCHEDULED_PERIOD:1000",
        "AMQ_SCHEDULED_REPEAT:9",
        "message-id:1",
        "x-max-length:many",
    ] {
        let mut peer = Peer::online(Version::V1_2);
        assert_eq!(
            peer.refused(&format!("SEND\ndestination:/queue/a\n{header}\n\nx\0")),
            "Invalid header",
            "{header}"
        );
    }
}

#[test]
fn an_error_quotes_only_the_start_of_a_large_frame() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed(&format!("SEND\ndestination:/nowhere\nlong:{}\n\n{}\0", "가".repeat(2000), "x".repeat(9000)));
    let body = text(&peer.error());
    assert!(body.len() < 3000, "{}", body.len());
    assert!(body.contains("destination:/nowhere\nlong:가"));
}

#[test]
fn what_no_queue_takes_goes_back_to_whoever_asked_to_hear_of_it() {
    let mut peer = Peer::online(Version::V1_2);
    peer.subscribe("id:e\ndestination:/session/queue/request-error");
    peer.feed("SEND\ndestination:/topic/a.b\nmandatory:true\nfoo:1\nmandatory:false\npasscode:p\nreceipt:r\n\nbody\0");
    let submit = peer.submit();
    peer.notify(Event::Submitted { ticket: submit.ticket, result: Ok(Submitted::one(false)) });
    let frames = peer.frames();
    let [message, receipt] = &frames[..] else { panic!("{frames:?}") };
    for (name, value) in [
        ("destination", Some("/session/queue/request-error")),
        ("error-code", Some("no_route")),
        ("original-destination", Some("/topic/a.b")),
        ("receipt", Some("r")),
        ("foo", Some("1")),
        ("passcode", None),
        ("mandatory", None),
    ] {
        assert_eq!(message.header(name).map(|value| &**value), value, "{name}");
    }
    assert_eq!((message.command, &message.body[..]), (Command::Message, &b"body"[..]));
    assert_eq!(receipt.header("receipt-id").unwrap(), "r");
    assert_eq!(receipt.header("unroutable").unwrap(), "true");

    // Routed, or not asked for: nothing is said.
    for (asked, routed) in [("true", true), ("false", false), ("yes", false)] {
        peer.feed(&format!("SEND\ndestination:/topic/a.b\nmandatory:{asked}\nreceipt:r\n\nbody\0"));
        let ticket = peer.submit().ticket;
        peer.notify(Event::Submitted { ticket, result: Ok(Submitted::one(routed)) });
        let frames = peer.frames();
        assert!(frames.len() == 1 && frames[0].header("unroutable").is_none(), "{frames:?}");
    }
}

#[test]
fn of_a_transaction_those_go_back_that_no_queue_took() {
    let mut peer = Peer::online(Version::V1_2);
    peer.subscribe("id:e\ndestination:/session/queue/request-error");
    peer.feed("BEGIN\ntransaction:t\n\n\0");
    for (body, mandatory) in [("plain", "false"), ("taken", "true"), ("lost", "true")] {
        peer.feed(&format!(
            "SEND\ndestination:/topic/a\ntransaction:t\nmandatory:{mandatory}\nreceipt:{body}\n\n{body}\0"
        ));
    }
    peer.feed("COMMIT\ntransaction:t\nreceipt:c\n\n\0");
    let ticket = peer.submit().ticket;
    let unrouted = [0, 2].into_iter().collect();
    peer.notify(Event::Submitted { ticket, result: Ok(Submitted { unrouted }) });
    let said: Vec<_> = peer
        .frames()
        .iter()
        .map(|frame| match frame.header("receipt-id") {
            Some(receipt) => format!("{receipt} {}", frame.header("unroutable").is_some()),
            None => String::from_utf8_lossy(&frame.body).into_owned(),
        })
        .collect();
    assert_eq!(said, ["lost", "plain false", "taken false", "lost true", "c true"]);
}

#[test]
fn who_listens_nowhere_is_told_by_its_receipt_and_without_one_by_an_error() {
    let mut peer = Peer::online(Version::V1_2);
    peer.feed("SEND\ndestination:/topic/a\nmandatory:true\nreceipt:r\n\nx\0");
    let ticket = peer.submit().ticket;
    peer.notify(Event::Submitted { ticket, result: Ok(Submitted::one(false)) });
    let frames = peer.frames();
    assert!(frames.len() == 1 && frames[0].header("unroutable").is_some() && peer.is_open(), "{frames:?}");
    peer.feed("SEND\ndestination:/topic/a\nmandatory:true\n\nx\0");
    let submit = peer.submit();
    assert!(submit.answer);
    peer.notify(Event::Submitted { ticket: submit.ticket, result: Ok(Submitted::one(false)) });
    let frames = peer.frames();
    assert!(frames.len() == 1 && frames[0].command == Command::Error && !peer.is_open(), "{frames:?}");
    assert_eq!(frames[0].header("error-code").unwrap(), "no_route");
}
