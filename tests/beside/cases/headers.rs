//! Headers exchanges.

use serde_json::{Value, json};

use crate::case::Case;
use crate::topology::Topology;

/// See the file.
pub(crate) fn cases() -> Vec<Case> {
    let two = |mode: &str| json!({ "x-match": mode, "format": "pdf", "kind": "report" });
    let with_x = |mode: &str| json!({ "x-match": mode, "format": "pdf", "x-colour": "red" });
    let simple: [&'static [(&'static str, &'static str)]; 5] = [
        &[("format", "pdf"), ("kind", "report")],
        &[("format", "pdf"), ("kind", "log")],
        &[("format", "PDF")],
        &[("kind", "report"), ("other", "1")],
        &[],
    ];
    let colours: [&'static [(&'static str, &'static str)]; 4] = [
        &[("format", "pdf"), ("x-colour", "red")],
        &[("format", "pdf"), ("x-colour", "blue")],
        &[("x-colour", "red")],
        &[("format", "txt")],
    ];
    vec![
        headers("x-match: all", two("all"), &simple),
        headers("x-match: any", two("any"), &simple),
        headers("no x-match is all", json!({ "format": "pdf", "kind": "report" }), &simple),
        headers("all leaves out arguments that begin with x-", with_x("all"), &colours),
        headers("any leaves out arguments that begin with x-", with_x("any"), &colours),
        headers("all-with-x counts them", with_x("all-with-x"), &colours),
        headers("any-with-x counts them", with_x("any-with-x"), &colours),
        headers("all without arguments matches everything", json!({ "x-match": "all" }), &simple),
        headers("any without arguments matches nothing", json!({ "x-match": "any" }), &simple),
        typed(
            "numbers and truth values that are typed on both sides",
            json!({ "x-match": "all", "n": 7, "yes": true }),
            &[r#"{"n":7,"yes":true}"#, r#"{"n":8,"yes":true}"#, r#"{"n":7,"yes":false}"#, r#"{"n":7}"#],
        ),
        headers("a number in the binding, a text in the message", json!({ "n": 7 }), &[&[("n", "7")], &[("n", "07")]])
            .but("Headers of STOMP and MQTT are texts: a number is compared as it is written, so that such a binding is of use"),
    ]
}

fn headers(
    name: &'static str,
    arguments: Value,
    messages: &[&'static [(&'static str, &'static str)]],
) -> Case {
    let messages = messages.to_vec();
    let topology = Topology::new().exchange("@x", "headers").queue("@q").bind_headers("@x", "@q", arguments);
    Case::new(name, topology, move |stage| {
        for headers in &messages {
            let body: Vec<String> = headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let body = if body.is_empty() { "none".to_owned() } else { body.join(",") };
            stage.send("/exchange/@x/any-key", &body, headers)?;
        }
        stage.drain(&["@q"], &[])
    })
}

/// Where RabbitMQ is sent headers with types, by its API, and ours the same as text.
fn typed(name: &'static str, arguments: Value, messages: &'static [&'static str]) -> Case {
    let topology = Topology::new().exchange("@x", "headers").queue("@q").bind_headers("@x", "@q", arguments);
    Case::new(name, topology, move |stage| {
        for body in messages {
            let headers: Value = serde_json::from_str(body)?;
            if stage.peer.publish_typed(&stage.name("@x"), body, &headers)? {
                continue;
            }
            let pairs = headers.as_object().into_iter().flatten();
            let pairs: Vec<(&str, String)> =
                pairs.map(|(name, value)| (name.as_str(), value.to_string())).collect();
            let pairs: Vec<(&str, &str)> =
                pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            stage.send("/exchange/@x", body, &pairs)?;
        }
        stage.drain(&["@q"], &[])
    })
}
