//! Banner: what a person sees at the start.

use std::fmt::Write;
use std::net::SocketAddr;

use auth::Anonymous;
use engine::Levels;
use model::durability::Durability;

/// What the banner says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Banner<'a> {
    /// What the broker is called.
    pub(crate) name: &'a str,
    /// For development.
    pub(crate) dev: bool,
    /// Where everything is kept; `None`: nowhere.
    pub(crate) data_dir: Option<&'a str>,
    /// What acknowledged messages outlive.
    pub(crate) levels: &'a Levels,
    /// Who is let in.
    pub(crate) auth: &'a auth::Options,
    /// Where clients may come in.
    pub(crate) listeners: &'a [Open],
}

/// A place that is being listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    /// What the log calls it.
    pub(crate) name: String,
    /// `mqtt`, `stomp`, `web`, `auto`, `admin`.
    pub(crate) protocol: String,
    /// Where; the port is the one that the system chose, if it was asked to.
    pub(crate) address: SocketAddr,
    /// Whether TLS is spoken there.
    pub(crate) is_secure: bool,
    /// The paths of a WebSocket listener: that for STOMP, that for MQTT.
    pub(crate) paths: Option<(String, String)>,
    /// Where it serves SockJS.
    pub(crate) sockjs: Vec<String>,
}

impl Open {
    /// Whether others than this machine can reach it.
    pub(crate) fn is_open_to_others(&self) -> bool {
        !self.address.ip().to_canonical().is_loopback()
    }
}

impl Banner<'_> {
    /// The lines, each with its end.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("duetmq {}", env!("CARGO_PKG_VERSION"));
        if self.name != "duetmq" {
            let _ = write!(out, " {}", self.name);
        }
        out.push_str(if self.dev {
            ", for development: this machine only unless bound otherwise\n"
        } else {
            "\n"
        });
        match self.data_dir {
            Some(directory) => {
                let _ = writeln!(out, "data    {directory}");
                out.push_str(match self.levels.usual() {
                    Durability::Disk => "disk: acknowledged means fdatasync done\n",
                    Durability::Os => {
                        "os: acknowledged means written; it outlives kill -9, not a loss of power\n"
                    }
                    Durability::Memory => {
                        "memory: acknowledged messages outlive nothing; what else lasts is on disk\n"
                    }
                });
            }
            None => out.push_str("memory: nothing survives\n"),
        }
        for open in self.listeners {
            self.listener(open, &mut out);
        }
        let _ = writeln!(out, "access  {}", self.access());
        for warning in self.warnings() {
            let _ = writeln!(out, "warning: {warning}");
        }
        out
    }

    /// What is dangerous about this configuration, one line each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let clients =
            self.listeners.iter().filter(|open| open.protocol != "admin" && open.is_open_to_others());
        if self.auth.anonymous != Anonymous::Always {
            return Vec::new();
        }
        let warning = |open: &Open| {
            format!(
                "{} {}: everybody who reaches it may publish and read everything, for auth.anonymous is \"always\"",
                open.protocol, open.address
            )
        };
        clients.map(warning).collect()
    }

    fn listener(&self, open: &Open, out: &mut String) {
        let _ = write!(out, "{:<7} {:<21}", open.protocol, open.address.to_string());
        if open.is_secure {
            out.push_str("  TLS");
        }
        if open.protocol == "admin" {
            let page = if self.dev { "demo" } else { "health" };
            let scheme = if open.is_secure { "https" } else { "http" };
            let path = if self.dev { "" } else { "healthz" };
            let _ = write!(out, "  {page}: {scheme}://{}/{path}", open.address);
        }
        if let Some((ws, mqtt)) = &open.paths {
            let _ = write!(out, "  {ws}  {mqtt}");
        }
        for path in &open.sockjs {
            let _ = write!(out, "  {path} (SockJS)");
        }
        if open.protocol != "admin" {
            let _ = write!(out, "  acks: {}", self.acks());
        }
        if open.is_open_to_others() {
            out.push('\n');
        } else {
            let everywhere = match open.address {
                SocketAddr::V4(_) => "0.0.0.0",
                SocketAddr::V6(_) => "[::]",
            };
            let port = open.address.port();
            let _ = writeln!(out, "  this machine only  (others: bind = \"{everywhere}:{port}\")");
        }
    }

    /// What an acknowledgement means.
    fn acks(&self) -> String {
        let level = if self.data_dir.is_some() { self.levels.usual() } else { Durability::Memory };
        match self.levels.rules() {
            0 => level.as_str().to_owned(),
            1 => format!("{}, or by 1 rule", level.as_str()),
            rules => format!("{}, or by {rules} rules", level.as_str()),
        }
    }

    fn access(&self) -> String {
        let users = self.auth.file.as_ref().map(|file| format!("the users of {}", file.display()));
        let tokens = self.auth.jwt.as_ref().map(|_| "clients with a signed token".to_owned());
        let users = users.into_iter().chain(tokens).reduce(|users, tokens| format!("{users}; {tokens}"));
        let others = match (self.auth.anonymous, self.auth.guest_loopback) {
            (Anonymous::Loopback, true) => "clients of this machine, without a user name or as guest/guest",
            (Anonymous::Loopback, false) => "clients of this machine, without a user name",
            (Anonymous::Always, true) => "everybody without a user name; guest/guest from this machine",
            (Anonymous::Always, false) => "everybody without a user name",
            (Anonymous::Never, true) => "guest/guest from this machine",
            (Anonymous::Never, false) => {
                return users.unwrap_or_else(|| {
                    "nobody: auth.anonymous is \"never\", auth.guest_loopback is false, and there is no auth.file.path"
                        .to_owned()
                });
            }
        };
        users.map_or_else(|| others.to_owned(), |users| format!("{users}; {others}"))
    }
}

#[cfg(test)]
mod tests {
    use engine::LevelRule;
    use model::key::KeyPattern;
    use model::name::ExchangeName;

    use super::*;

    #[test]
    fn the_banner_names_every_listener_and_how_to_open_it() {
        let auth = auth::Options::default();
        let listeners = [
            open("mqtt", "127.0.0.1:1883"),
            open("stomp", "[::1]:61613"),
            open("web", "0.0.0.0:15674"),
            open("admin", "127.0.0.1:15672"),
        ];
        let levels = Levels::default();
        let banner = Banner {
            name: "duetmq",
            dev: true,
            data_dir: Some("d"),
            levels: &levels,
            auth: &auth,
            listeners: &listeners,
        };
        let text = banner.text();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "data    d",
                "disk: acknowledged means fdatasync done",
                "mqtt    127.0.0.1:1883         acks: disk  this machine only  (others: bind = \"0.0.0.0:1883\")",
                "stomp   [::1]:61613            TLS  acks: disk  this machine only  (others: bind = \"[::]:61613\")",
                "web     0.0.0.0:15674          /ws  /mqtt  /stomp (SockJS)  acks: disk",
                "admin   127.0.0.1:15672        demo: http://127.0.0.1:15672/  this machine only  \
                 (others: bind = \"0.0.0.0:15672\")",
                "access  clients of this machine, without a user name or as guest/guest",
            ]
        );
        let in_memory = Banner { data_dir: None, ..banner }.text();
        assert!(in_memory.contains("\nmemory: nothing survives\n") && in_memory.contains("acks: memory"));
        let rule = LevelRule {
            exchange: ExchangeName::TOPIC,
            pattern: KeyPattern::from_words("a.#"),
            level: Durability::Memory,
        };
        let levels = Levels::new(Durability::Os, vec![rule]);
        let text = Banner { levels: &levels, ..banner }.text();
        assert!(text.contains("\nos: acknowledged means written"), "{text}");
        assert_eq!(text.matches("  acks: os, or by 1 rule").count(), 3, "{text}");
    }

    #[test]
    fn a_door_open_to_all_is_warned_of() {
        let listeners = [
            open("mqtt", "127.0.0.1:1883"),
            open("stomp", "0.0.0.0:61613"),
            open("admin", "0.0.0.0:15672"),
            open("web", "[::]:15674"),
        ];
        let warnings = |anonymous| {
            let auth = auth::Options { anonymous, ..auth::Options::default() };
            let banner = Banner {
                name: "n",
                dev: false,
                data_dir: None,
                levels: &Levels::default(),
                auth: &auth,
                listeners: &listeners,
            };
            assert_eq!(banner.text().matches("warning: ").count(), banner.warnings().len());
            banner.warnings()
        };
        assert!(warnings(Anonymous::Loopback).is_empty());
        assert!(warnings(Anonymous::Never).is_empty());
        let always = warnings(Anonymous::Always);
        assert_eq!(always.len(), 2, "{always:?}");
        assert!(always[0].starts_with("stomp 0.0.0.0:61613: everybody who reaches it"), "{always:?}");
    }

    fn open(protocol: &str, address: &str) -> Open {
        Open {
            name: format!("{protocol}-1"),
            protocol: protocol.to_owned(),
            address: address.parse().expect("an address"),
            is_secure: protocol == "stomp",
            paths: (protocol == "web").then(|| ("/ws".to_owned(), "/mqtt".to_owned())),
            sockjs: if protocol == "web" { vec!["/stomp".to_owned()] } else { Vec::new() },
        }
    }
}
