//! Who listens on a port already.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its program, cut to 15 bytes by the system.
    pub program: String,
}

impl Holder {
    /// Looks for whoever listens on the port of `address`. A guess as good as `/proc` allows: the files of other users'
    /// processes cannot be seen without privileges.
    pub fn find(address: SocketAddr) -> Option<Self> {
        let inodes = listening_inodes(address.port());
        let processes = fs::read_dir("/proc").ok()?.flatten();
        processes.into_iter().find_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            holds_one_of(&process.path(), &inodes).then(|| Self { pid, program: program_of(&process.path()) })
        })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({})", self.pid, self.program.escape_debug())
    }
}

/// The sockets that listen on `port`, on whichever address: a listener on all of them is in the way as well.
fn listening_inodes(port: u16) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines()).filter_map(|line| listening_inode(line, port)).collect()
}

/// A line is `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`, addresses and state in
/// hexadecimal.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (_, local_port) = fields.next()?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?;
    let wanted = u16::from_str_radix(local_port, 16) == Ok(port) && state == LISTEN;
    wanted.then(|| format!("socket:[{inode}]"))
}

fn holds_one_of(process: &Path, inodes: &[String]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
}

fn program_of(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).unwrap_or_default().trim().to_owned()
}

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_told_from_others_on_its_port() {
        let listening = "   0: 00000000:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0";
        let connected = "   1: 0100007F:075B 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0";
        assert_eq!(listening_inode(listening, 1883).as_deref(), Some("socket:[4711]"));
        assert_eq!(listening_inode(listening, 1884), None);
        assert_eq!(listening_inode(connected, 1883), None);
        assert_eq!(listening_inode("  sl  local_address rem_address   st", 1883), None);
        assert_eq!(listening_inode("", 1883), None);
    }
}
