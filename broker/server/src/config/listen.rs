//! Listen: an address as a URL, `--listen mqtt://0.0.0.0:1883`, to the table that a file would have.

use crate::config::check::address;
use crate::config::nearest::nearest;
use crate::config::origin::{ConfigError, Origin};
use crate::config::tree::{Node, Table, Value};

/// The listeners where nobody named any: this machine alone.
pub(crate) fn defaults() -> Node {
    let listeners = vec![
        listener(&Origin::Default, "mqtt", "127.0.0.1:1883", false, None),
        listener(&Origin::Default, "stomp", "127.0.0.1:61613", false, None),
        listener(&Origin::Default, "web", "127.0.0.1:15674", false, None),
        listener(&Origin::Default, "web", "127.0.0.1:15675", false, None),
        listener(&Origin::Default, "admin", "127.0.0.1:15672", false, None),
    ];
    Node { value: Value::List(listeners), origin: Origin::Default }
}

/// What `--listen` says.
///
/// # Errors
///
/// If it is no URL, of no known scheme, or of one that is not supported yet. Whether there is a certificate is seen later.
pub(crate) fn from_url(url: &str) -> Result<Node, ConfigError> {
    let origin = Origin::Flag(format!("--listen {url}"));
    read(url, &origin).map_err(|text| ConfigError::new(&origin, text))
}

/// Gives every listener without a name one: its protocol and its number among those of that protocol.
pub(crate) fn name_all(listeners: &mut Node) {
    let Value::List(list) = &mut listeners.value else { return };
    let mut seen: Vec<String> = Vec::new();
    for listener in list {
        let Value::Table(table) = &mut listener.value else { continue };
        let Some(Value::Text(protocol) | Value::Raw(protocol)) =
            table.get("protocol").map(|node| &node.value)
        else {
            continue;
        };
        seen.push(protocol.clone());
        let number = seen.iter().filter(|one| *one == protocol).count();
        let name = format!("{protocol}-{number}");
        if table.get("name").is_none() {
            table.put("name", Node { value: Value::Text(name), origin: Origin::Default });
        }
    }
}

fn read(url: &str, origin: &Origin) -> Result<Node, String> {
    let (scheme, rest) = url.split_once("://").ok_or("expected a URL such as mqtt://127.0.0.1:1883")?;
    let (protocol, port, by_tls) = match scheme {
        "mqtt" | "tcp" => ("mqtt", Some(1883), false),
        "stomp" => ("stomp", Some(61613), false),
        "ws" | "sockjs" => ("web", Some(15674), false),
        "http" => ("admin", Some(15672), false),
        "auto" => ("auto", None, false),
        "mqtts" | "mqtt+tls" | "ssl" | "tls" => ("mqtt", Some(8883), true),
        "stomps" | "stomp+tls" | "stomp+ssl" => ("stomp", Some(61614), true),
        "wss" | "ws+tls" | "sockjs+tls" => ("web", Some(15673), true),
        "https" => ("admin", Some(15671), true),
        "auto+tls" => ("auto", None, true),
        "unix" => return Err(format!("{scheme} is not supported yet")),
        other => {
            let meant = nearest(other, SCHEMES).map(|meant| format!(" - did you mean \"{meant}\"?"));
            let known = || format!("; there are {}", SCHEMES.join(", "));
            return Err(format!("unknown scheme {other:?}{}", meant.unwrap_or_else(known)));
        }
    };
    let (place, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    if !matches!(path, "" | "/") && protocol != "web" {
        return Err(format!("{scheme} has no path; leave out {path:?}"));
    }
    // The other colons of an IPv6 address are inside its brackets.
    let has_port = place.rsplit(']').next().is_some_and(|end| end.contains(':'));
    let place = match (has_port, port) {
        (true, _) => place.to_owned(),
        (false, Some(port)) => format!("{place}:{port}"),
        (false, None) => {
            return Err(format!("{scheme} has no port of its own; write {scheme}://127.0.0.1:7000"));
        }
    };
    let bind = address(&place).ok_or_else(|| {
        format!(
            "{place:?} is no address to listen on; expected an address and a port, such as 127.0.0.1:1883"
        )
    })?;
    // Where MQTT is spoken anyhow it is not STOMP that is asked for.
    let key = match path {
        _ if scheme.starts_with("sockjs") => "sockjs",
        MQTT_PATH => "mqtt",
        _ => "ws",
    };
    let path = path.strip_suffix('/').filter(|_| key == "sockjs").unwrap_or(path);
    Ok(listener(origin, protocol, &bind.to_string(), by_tls, (path.len() > 1).then_some((key, path))))
}

/// One that is `by_tls` shows the certificate that is called `default`.
fn listener(origin: &Origin, protocol: &str, bind: &str, by_tls: bool, path: Option<(&str, &str)>) -> Node {
    let text = |text: &str| Node { value: Value::Text(text.to_owned()), origin: origin.clone() };
    let mut table = Table::default();
    table.put("protocol", text(protocol));
    table.put("bind", text(bind));
    if by_tls {
        table.put("tls", text("default"));
    }
    if let Some((key, path)) = path {
        let mut paths = Table::default();
        paths.put(key, text(path));
        table.put("paths", Node { value: Value::Table(paths), origin: origin.clone() });
    }
    Node { value: Value::Table(table), origin: origin.clone() }
}

/// What `listener.paths.mqtt` is where nobody says otherwise.
const MQTT_PATH: &str = "/mqtt";

const SCHEMES: [&str; 12] = [
    "mqtt",
    "stomp",
    "ws",
    "sockjs",
    "auto",
    "http",
    "mqtts",
    "stomps",
    "wss",
    "sockjs+tls",
    "auto+tls",
    "https",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_protocol_address_and_path() {
        check("mqtt://0.0.0.0:1884", "mqtt 0.0.0.0:1884");
        check("mqtt://127.0.0.1", "mqtt 127.0.0.1:1883");
        check("mqtt://", "mqtt 127.0.0.1:1883");
        check("stomp://[::1]", "stomp [::1]:61613");
        check("stomp://[::]:7", "stomp [::]:7");
        check("ws://:15674/chat", "web 127.0.0.1:15674 /chat");
        check("ws://:15675/mqtt", "web 127.0.0.1:15675 mqtt /mqtt");
        check("ws://localhost:8083", "web 127.0.0.1:8083");
        check("sockjs://:13001/chat", "web 127.0.0.1:13001 sockjs /chat");
        check("sockjs://localhost", "web 127.0.0.1:15674");
        check("http://127.0.0.1:8080/", "admin 127.0.0.1:8080");
        check("auto://10.0.0.1:7000", "auto 10.0.0.1:7000");
        check("mqtts://0.0.0.0", "mqtt 0.0.0.0:8883 by tls");
        check("ssl://:1", "mqtt 127.0.0.1:1 by tls");
        check("stomps://:61615", "stomp 127.0.0.1:61615 by tls");
        check("stomp+tls://localhost", "stomp 127.0.0.1:61614 by tls");
        check("wss://:443/chat", "web 127.0.0.1:443 by tls /chat");
        check("sockjs+tls://:443/chat/", "web 127.0.0.1:443 by tls sockjs /chat");
        check("https://localhost", "admin 127.0.0.1:15671 by tls");
        check("auto+tls://:7000", "auto 127.0.0.1:7000 by tls");
    }

    #[test]
    fn what_cannot_be_listened_on_is_refused_with_a_reason() {
        refuse("unix:///run/x.sock", "unix is not supported yet");
        refuse("mqqt://:1", "did you mean \"mqtt\"?");
        refuse("amqp://:5672", "there are mqtt, stomp");
        refuse("1883", "expected a URL");
        refuse("mqtt://broker.example.org:1883", "is no address to listen on");
        refuse("mqtt://127.0.0.1:99999", "is no address to listen on");
        refuse("mqtt://127.0.0.1:1883/x", "has no path");
        refuse("auto://127.0.0.1", "no port of its own");
        refuse("auto+tls://127.0.0.1", "no port of its own");
        refuse("mqtts://:1/x", "has no path");
    }

    #[track_caller]
    fn check(url: &str, expected: &str) {
        let Value::Table(table) = from_url(url).expect(url).value else { panic!("{url}") };
        let text = |table: &Table, name: &str| match table.get(name).map(|node| node.value.clone()) {
            Some(Value::Text(text)) => text,
            other => panic!("{url}: {other:?}"),
        };
        let mut shown = format!("{} {}", text(&table, "protocol"), text(&table, "bind"));
        if table.get("tls").is_some() {
            assert_eq!(text(&table, "tls"), "default");
            shown.push_str(" by tls");
        }
        if let Some(Node { value: Value::Table(paths), .. }) = table.get("paths") {
            let keys = ["ws", "mqtt", "sockjs"];
            let key = keys.into_iter().find(|key| paths.get(key).is_some()).unwrap_or_default();
            let path = text(paths, key);
            shown.push_str(&if key == "ws" { format!(" {path}") } else { format!(" {key} {path}") });
        }
        assert_eq!(shown, expected, "{url}");
    }

    #[track_caller]
    fn refuse(url: &str, reason: &str) {
        let error = from_url(url).expect_err(url).to_string();
        assert!(error.starts_with(&format!("--listen {url}: ")) && error.contains(reason), "{error}");
    }
}
