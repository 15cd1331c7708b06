//! Gauge: looks at disk and memory, and says what holds.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::core::{Core, Cores};
use crate::pressure::{Alarms, DISK, MEMORY, REFUSE, STORE};

/// Looks at disk and memory until the broker is gone. All vhosts are on one disk, and in one memory.
pub(crate) async fn watch(core: Weak<Core>) {
    let limit = memory_limit_bytes();
    let mut gauge = Gauge { limit, relief: None };
    loop {
        {
            let Some((core, cores)) =
                core.upgrade().and_then(|core| Some((Arc::clone(&core), core.cores()?)))
            else {
                return;
            };
            let before = core.pressure.now();
            let now = gauge.read(&core, &cores, before);
            core.pressure.set(now);
            tell(&core, before, now);
            if before.any() || now.any() {
                core.pressure.wake();
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

struct Gauge {
    limit: Option<u64>,
    /// The queues have been emptied since the alarm, and the allocator keeps what it has: only from so many bytes on is
    /// that more than before.
    relief: Option<u64>,
}

impl Gauge {
    fn read(&mut self, core: &Core, cores: &Cores, before: Alarms) -> Alarms {
        let all = cores.all();
        let marks = &core.parts.vhost.options.watermarks;
        let is_any_blocked = all.iter().any(|core| core.parts.durable.waits_for_room());
        let disk = core.parts.durable.disk().is_some_and(|disk| {
            let share = disk.total_bytes / 100 * marks.disk_free_percent;
            let mark = marks.disk_free_bytes.min(share);
            // Some more than that, or it would be on and off with every file.
            let mark = if before.has(DISK) { mark + mark / 10 } else { mark };
            is_any_blocked || disk.free_bytes < mark
        });
        let (hold, refuse) = self.read_memory(core, &all, before);
        let behind = all.iter().any(|core| core.parts.durable.is_behind());
        Alarms::new([(DISK, disk), (STORE, behind), (MEMORY, hold), (REFUSE, refuse)])
    }

    fn read_memory(&mut self, core: &Core, all: &[Arc<Core>], before: Alarms) -> (bool, bool) {
        let marks = &core.parts.vhost.options.watermarks;
        let (Some(limit), Some(used)) = (self.limit, memory_used_bytes()) else { return (false, false) };
        let above = |percent: u64, is_on: bool| {
            let mark = limit / 100 * percent;
            percent > 0 && used > if is_on { mark - mark / 20 } else { mark }
        };
        let refuse = above(marks.memory_refuse_percent, before.has(REFUSE));
        if !above(marks.memory_hold_percent, before.has(MEMORY)) {
            self.relief = None;
            return (false, refuse);
        }
        if before.has(MEMORY) {
            // What is free within the process is not given back to the system at once.
            let queues = all.iter().flat_map(|core| core.parts.vhost.router.queues());
            let held: u64 = queues.map(|queue| queue.stats().ready_bytes).sum();
            if held < used / RELIEVED_PART {
                self.relief = Some(used + used / RELIEVED_PART);
            }
        }
        (self.relief.is_none_or(|relief| used > relief), refuse)
    }
}

/// What changed goes to the log and to the counters.
fn tell(core: &Core, before: Alarms, now: Alarms) {
    let metrics = &core.parts.metrics;
    for (which, name, gauge) in [
        (DISK, "disk", &metrics.alarm_disk),
        (STORE, "store", &metrics.alarm_store),
        (MEMORY, "memory", &metrics.alarm_memory),
        (REFUSE, "memory_refuse", &metrics.alarm_memory_refuse),
    ] {
        match (before.has(which), now.has(which)) {
            (false, true) => {
                gauge.increment();
                tracing::warn!(alarm = name, "pressure.on: publishers are held until it is over");
            }
            (true, false) => {
                gauge.decrement();
                tracing::warn!(alarm = name, "pressure.off");
            }
            (true, true) | (false, false) => {}
        }
    }
}

fn memory_used_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What this process may take: what the machine has, or less where its cgroup, or one above that, says so.
pub fn memory_limit_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().flat_map(|line| group_limits(line, Path::new("/sys/fs/cgroup")));
    own.chain(machine).min()
}

/// The limits of one line of `/proc/self/cgroup`, `0::/path` (version 2) or `4:memory:/path` (version 1), from its group
/// upwards.
fn group_limits(line: &str, root: &Path) -> Vec<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (root, file) = match controllers {
        "" => (root.to_owned(), "memory.max"),
        _ if controllers.split(',').any(|one| one == "memory") => {
            (root.join("memory"), "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let group = root.join(path.trim_start_matches('/'));
    let above = group.ancestors().take_while(|folder| folder.starts_with(&root));
    // `max` is no number, and no limit.
    above.filter_map(|folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()).collect()
}

const EVERY: Duration = Duration::from_millis(250);
/// Less than so small a part of the memory waits in queues: it is not they that take it.
const RELIEVED_PART: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_of_a_group_and_those_above_it_counts() {
        let root = tempfile::tempdir().expect("a folder");
        let group = root.path().join("a/b");
        fs::create_dir_all(&group).expect("a folder");
        fs::write(root.path().join("a/memory.max"), "5000\n").expect("a file");
        fs::write(group.join("memory.max"), "max\n").expect("a file");
        assert_eq!(group_limits("0::/a/b", root.path()), [5000]);
        assert!(group_limits("3:cpu,io:/a/b", root.path()).is_empty());
        assert!(group_limits("nonsense", root.path()).is_empty());
    }
}
