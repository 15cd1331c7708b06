//! Destinations that lead nowhere.

use crate::bad_frames::row::{Bad, bad};

/// The rows: each destination for SEND, for SUBSCRIBE, or for both.
#[rustfmt::skip]
pub(super) fn rows() -> Vec<Bad> {
    let key = format!("/topic/{}", "k".repeat(1025));
    let deep = format!("/topic/{}", ".".repeat(128));
    let name = format!("/queue/{}", "n".repeat(256));
    let exchange = format!("/exchange/{}/k", "n".repeat(256));
    let both = [
        ("an empty destination", "", "Unknown destination", "not a valid destination"),
        ("a slash", "/", "Unknown destination", "Valid destination types are"),
        ("an unknown prefix", "/nowhere/bad", "Unknown destination", "[[stomp.prefix]]"),
        ("Spring's prefix without a configuration", "/sub/chat/room/5", "Unknown destination", "[[stomp.prefix]]"),
        ("a prefix in capitals", "/TOPIC/bad", "Unknown destination", "not a valid destination"),
        ("a prefix that only begins like one", "/topical/bad", "Unknown destination", "not a valid destination"),
        ("a prefix without its slash", "topic/bad", "Unknown destination", "not a valid destination"),
        ("two slashes before a prefix", "//topic/bad", "Unknown destination", "not a valid destination"),
        ("half of a prefix", "/amq/bad", "Unknown destination", "not a valid destination"),
        ("a topic of no name", "/topic/", "Invalid destination", "not a valid topic destination"),
        ("a topic and nothing", "/topic", "Invalid destination", "not a valid topic destination"),
        ("a topic of two levels", "/topic/bad/b", "Invalid destination", "'/bad/b' is not a valid topic destination"),
        ("a topic that ends in a slash", "/topic/bad/", "Invalid destination", "not a valid topic destination"),
        ("a queue of no name", "/queue/", "Invalid destination", "not a valid queue destination"),
        ("a queue and nothing", "/queue", "Invalid destination", "not a valid queue destination"),
        ("a queue of two levels", "/queue/bad/b", "Invalid destination", "'/bad/b' is not a valid queue destination"),
        ("an exchange of no name", "/exchange/", "Invalid destination", "not a valid exchange destination"),
        ("an exchange and nothing", "/exchange", "Invalid destination", "not a valid exchange destination"),
        ("an exchange with a key and no name", "/exchange//bad", "Invalid destination", "not a valid exchange destination"),
        ("an exchange and two keys", "/exchange/amq.topic/bad/b", "Invalid destination", "not a valid exchange destination"),
        ("an exchange that is not there", "/exchange/nobody/bad", "no exchange", "[[exchange]]"),
        ("a queue of AMQP of no name", "/amq/queue/", "Invalid destination", "amq/queue destination"),
        ("a queue of AMQP of two levels", "/amq/queue/bad/b", "Invalid destination", "amq/queue destination"),
        ("a NUL in disguise", "/topic/bad%00", "Invalid destination", "NULs"),
        ("half a character in disguise", "/topic/bad%FF", "Invalid destination", "not UTF-8"),
        ("half a character in disguise in a queue", "/queue/bad%C3", "Invalid destination", "not UTF-8"),
        ("a key that is too long", &key, "Invalid destination", "longer than 1024 bytes"),
        ("a key that is too deep", &deep, "Invalid destination", "more than 128 levels"),
        ("a queue's name that is too long", &name, "Invalid destination", "longer than 255 bytes"),
        ("an exchange's name that is too long", &exchange, "Invalid destination", "longer than 255 bytes"),
    ];
    let mut rows: Vec<Bad> = Vec::new();
    for (name, destination, message, says) in both {
        let send = format!("SEND\ndestination:{destination}\nreceipt:r7\n\nx\0");
        rows.push(bad(name, "2", send, message, says));
        let subscribe = format!("SUBSCRIBE\nid:0\ndestination:{destination}\nreceipt:r7\n\n\0");
        rows.push(bad(name, "1", subscribe, message, says));
    }
    for (name, destination) in [
        ("a wildcard of MQTT for one level", "/topic/bad.+"),
        ("a wildcard for many levels", "/topic/bad.#"),
        ("a wildcard within a word", "/topic/b+d"),
        ("a wildcard in disguise", "/topic/bad.%23"),
        ("a wildcard by the name of the exchange", "/exchange/amq.topic/bad.#"),
    ] {
        let send = format!("SEND\ndestination:{destination}\nreceipt:r7\n\nx\0");
        rows.push(bad(name, "012", send, "Invalid destination", "a message is sent to one destination"));
    }
    for (name, destination) in [
        ("a topic of the broker's own", "/topic/$SYS.bad"),
        ("a topic of the broker's own in disguise", "/topic/%24SYS.bad"),
        ("a topic that looks like an exchange of MQTT", "/topic/$exchange.bad.k"),
        ("a topic of the broker's own by the name of the exchange", "/exchange/amq.topic/$share.g.bad"),
    ] {
        let send = format!("SEND\ndestination:{destination}\nreceipt:r7\n\nx\0");
        rows.push(bad(name, "012", send, "Invalid destination", "the broker's own"));
    }
    rows.push(bad("a queue that is not there", "012", "SUBSCRIBE\nid:0\ndestination:/amq/queue/nobody\nreceipt:r7\n\n\0", "does not exist", "use /queue/nobody"));
    rows
}
