//! Local: a Unix socket for whoever owns the broker, and what is this machine over TCP

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, header};
use tokio::net::UnixListener;

/// A Unix socket that nobody but its owner can open. It goes with this.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
}

impl Socket {
    /// Makes it, in place of one that an earlier process left.
    ///
    /// # Errors
    ///
    /// What the system says: that the path is too long (107 bytes), mostly.
    pub fn bind(path: &Path) -> io::Result<(Self, UnixListener)> {
        // Under another name until its mode is right, so that nobody connects before that.
        let mut unready = path.as_os_str().to_owned();
        unready.push(".new");
        let unready = PathBuf::from(unready);
        match fs::remove_file(&unready) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&unready)?;
        fs::set_permissions(&unready, fs::Permissions::from_mode(0o600))?;
        fs::rename(&unready, path)?;
        Ok((Self { path: path.to_owned() }, listener))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Whoever took it away before has done the same.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the name that the request was sent to is this machine. A page of another site that has the browser ask under a name of
/// its own (DNS rebinding) says that name.
pub(crate) fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    host.to_str().is_ok_and(is_this_machine)
}

/// Whether that `Host` can only be this machine.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_name_of_this_machine_is_known_and_no_other() {
        let check = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            names_this_machine(&headers)
        };
        for host in ["localhost", "LOCALHOST:15672", "127.0.0.1:1", "127.0.0.2", "[::1]:15672", "[::1]"] {
            assert!(check(host), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example", "192.0.2.1:15672", "[::2]", "127.0.0.1.nip.io"]
        {
            assert!(!check(host), "{host}");
        }
    }
}
