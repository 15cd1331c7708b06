//! Listening, socket options.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::tcp::holder::Holder;

pub mod holder;

/// Listens on `address`; port 0 lets the system choose. Must be called within a tokio runtime.
///
/// # Errors
///
/// Says which address it was, and if somebody else listens there, who.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    open(address).map_err(|source| {
        let holder = (source.kind() == io::ErrorKind::AddrInUse).then(|| Holder::find(address)).flatten();
        BindError { address, source, holder }
    })
}

/// Waits for the next connection. It sends at once what it is given (`TCP_NODELAY`): whoever writes here writes all that
/// there is in one call.
///
/// # Errors
///
/// As `accept(2)`. [`concerns_one_peer`] tells whether the next call may be made at once.
pub async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, address))
}

/// Whether a failed [`accept`] was about the peer that came, and not about this process or machine (no more file
/// descriptors, no memory), which it takes some time to recover from.
pub fn concerns_one_peer(error: &io::Error) -> bool {
    [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::NotConnected,
        io::ErrorKind::InvalidInput,
        io::ErrorKind::Interrupted,
    ]
    .contains(&error.kind())
}

/// Why we cannot listen on an address; its text says what to do.
#[derive(Debug)]
pub struct BindError {
    /// Where we wanted to listen.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
    /// Who listens there, if that is the trouble and can be found out.
    pub holder: Option<Holder>,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.address)?;
        match (&self.holder, self.source.kind()) {
            (Some(holder), _) => write!(f, "in use by {holder}; stop it or set bind"),
            (None, io::ErrorKind::AddrInUse) => f.write_str("in use by another program; stop it or set bind"),
            (None, io::ErrorKind::AddrNotAvailable) => {
                f.write_str("this machine has no such address; set bind")
            }
            (None, io::ErrorKind::PermissionDenied) => {
                f.write_str("not allowed to; ports below 1024 need CAP_NET_BIND_SERVICE, or set bind")
            }
            (None, _) => write!(f, "{}", self.source),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the last life to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Connections that may wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
