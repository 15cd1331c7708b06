//! Door: a place where the broker is to listen.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// What is spoken at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// MQTT over TCP.
    Mqtt,
    /// STOMP over TCP.
    Stomp,
    /// Either over WebSocket, at `/ws`.
    Web,
    /// Whatever the first bytes say.
    Auto,
    /// HTTP for people.
    Admin,
}

impl Door {
    /// All doors there are.
    pub const ALL: [Self; 5] = [Self::Mqtt, Self::Stomp, Self::Web, Self::Auto, Self::Admin];

    /// What `--listen` takes.
    pub fn url(self, address: SocketAddr, by_tls: bool) -> String {
        match (self, by_tls) {
            (Self::Mqtt, false) => format!("mqtt://{address}"),
            (Self::Mqtt, true) => format!("mqtts://{address}"),
            (Self::Stomp, false) => format!("stomp://{address}"),
            (Self::Stomp, true) => format!("stomps://{address}"),
            (Self::Web, false) => format!("ws://{address}/ws"),
            (Self::Web, true) => format!("wss://{address}/ws"),
            (Self::Auto, false) => format!("auto://{address}"),
            (Self::Auto, true) => format!("auto+tls://{address}"),
            (Self::Admin, false) => format!("http://{address}"),
            (Self::Admin, true) => format!("https://{address}"),
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mqtt => "mqtt",
            Self::Stomp => "stomp",
            Self::Web => "web",
            Self::Auto => "auto",
            Self::Admin => "admin",
        })
    }
}

/// An address of this machine that nobody listens on now, and that no other broker of a test waits to have again. The port lies below those that the system lends to outgoing
/// connections: else a client could sit on it while the broker restarts, or connect to itself.
pub fn free_address() -> SocketAddr {
    reserved_address().0
}

/// The same, and what keeps it: as long as that lives, no test is given the address, though nobody may listen on it for a
/// while. A broker that is killed and started again must not find another one in its place. Nothing here speaks UDP, so the
/// port of that name is free to say so, to other processes as well.
pub fn reserved_address() -> (SocketAddr, UdpSocket) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that run beside each other start in different places.
    let start = u16::try_from(std::process::id() % 120).unwrap_or(0) * 100;
    loop {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok()
            && let Ok(reserved) = UdpSocket::bind(address)
        {
            return (address, reserved);
        }
    }
}

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
