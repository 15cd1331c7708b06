//! A probe: what a process of this machine takes, by what Linux says of it below `/proc`.

use std::fs;
use std::time::Duration;

use crate::failure::Failure;

/// What a process took so far, and takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Processor time of all its threads, its own and the kernel's for it.
    pub(crate) cpu: Duration,
    /// Resident memory, in kilobytes.
    pub(crate) resident_kb: u64,
}

impl Probe {
    /// Looks at that process now.
    ///
    /// # Errors
    ///
    /// There is none, or this system has no such files.
    pub(crate) fn take(pid: u32) -> Result<Self, Failure> {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
        let taken = read("stat").and_then(|stat| Ok((stat, read("status")?)));
        let (stat, status) =
            taken.map_err(|error| Failure::runtime(format!("cannot look at process {pid}: {error}")))?;
        let unknown = || Failure::runtime(format!("what /proc says of process {pid} makes no sense"));
        Ok(Self {
            cpu: cpu(&stat).ok_or_else(unknown)?,
            resident_kb: resident_kb(&status).ok_or_else(unknown)?,
        })
    }
}

/// Fields 14 and 15, counted from behind the name in brackets, which may have anything in it (proc_pid_stat(5)).
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * TICK_MS))
}

fn resident_kb(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// What Linux counts processor time in, towards programs: USER_HZ is 100 wherever we run.
const TICK_MS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_anything_in_it_confuses_nobody() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 5 6 7";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu("7 (a) S 1"), None);
        assert_eq!(resident_kb("Name:\tx\nVmRSS:\t    9344 kB\n"), Some(9344));
    }

    #[test]
    fn this_process_takes_something_and_one_that_is_not_there_is_named() {
        assert!(Probe::take(std::process::id()).expect("we are here").resident_kb > 0);
        let failure = Probe::take(u32::MAX).expect_err("no such process");
        assert!(failure.text.contains(&u32::MAX.to_string()), "{failure}");
    }
}
