//! Files: how many the system lets this process have open, and how many connections that leaves room for

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises what the process may have open to what it may raise it to: systems start with 1,024 for the sake of programs that
/// are older than that. Says how much that is; `None`: there is no limit.
pub fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_ok() {
        return limit.maximum;
    }
    limit.current
}

/// `wanted`, or as many connections as there are files for, once that is raised.
pub(crate) fn connections_max(wanted: usize) -> usize {
    let Some(files) = raise() else { return wanted };
    let room = room(usize::try_from(files).unwrap_or(usize::MAX));
    if wanted > room {
        tracing::warn!(
            files,
            wanted,
            connections = room,
            "limits.connections: the system lets the process open too few files for so many (ulimit -n, LimitNOFILE)"
        );
    }
    wanted.min(room)
}

/// What is left for connections: the store has files, too, and so do those who look after the broker.
fn room(files: usize) -> usize {
    files.saturating_sub(OTHERS).max(files / 2).max(1)
}

const OTHERS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_left_for_others_than_connections() {
        assert_eq!(room(1024), 768);
        assert_eq!(room(100_256), 100_000);
        assert_eq!(room(300), 150);
        assert_eq!(room(0), 1);
    }

    #[test]
    fn fewer_connections_than_files_are_as_many_as_were_asked_for() {
        assert_eq!(connections_max(1), 1);
    }
}
