//! Measures the machine for the dashboard: on a thread of its own, because a driver may take its
//! time, and with what the system offers without asking for more. What cannot be measured is missing.

use crate::dashboard::{Gpu, System};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often.
const EVERY: Duration = Duration::from_secs(2);
const MIB: u64 = 1 << 20;

/// The newest figures.
#[derive(Clone, Default)]
pub(super) struct Meter(Arc<Mutex<System>>);

impl Meter {
    /// Begins to measure the machine, and with `process` the memory of what trains.
    /// Ends by itself when nobody holds the meter any more.
    pub(super) fn start(process: impl Fn() -> Option<u64> + Send + 'static) -> Self {
        let meter = Self::default();
        let figures = Arc::downgrade(&meter.0);
        // Without the thread there are no figures, and that is all.
        let _ = std::thread::Builder::new().name("meter".into()).spawn(move || {
            let mut has_gpu = true;
            loop {
                let gpus = if has_gpu { gpus() } else { None };
                has_gpu = gpus.is_some();
                let system = System {
                    process_bytes: process(),
                    memory_bytes: memory(),
                    gpus: gpus.unwrap_or_default(),
                };
                let Some(figures) = figures.upgrade() else { return };
                if let Ok(mut figures) = figures.lock() {
                    *figures = system;
                }
                drop(figures);
                std::thread::sleep(EVERY);
            }
        });
        meter
    }

    pub(super) fn read(&self) -> System {
        self.0.lock().map(|system| system.clone()).unwrap_or_default()
    }
}

/// Resident memory of this process, where the system says so in `/proc`.
pub(super) fn own() -> Option<u64> {
    Some(status("self")?.resident)
}

/// Resident memory of the largest process among `root` and all that it has started: a launcher trains in
/// processes of its own, which share too many pages to be summed.
pub(super) fn largest_under(root: u32) -> Option<u64> {
    let entries = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let of = |name: &str| Some((name.parse().ok()?, status(name)?));
    let all: Vec<(u32, Status)> = entries.filter_map(|entry| of(entry.file_name().to_str()?)).collect();
    let family = family(root, &all);
    all.iter().filter(|(id, _)| family.contains(id)).map(|(_, status)| status.resident).max()
}

/// The ids of `root` and of all that it has started, and these in turn.
fn family(root: u32, all: &[(u32, Status)]) -> Vec<u32> {
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        let children = all.iter().filter(|(_, status)| status.parent == parent).map(|(id, _)| *id);
        let new: Vec<u32> = children.filter(|id| !family.contains(id)).collect();
        family.extend(new);
        next += 1;
    }
    family
}

/// What `/proc` says of a process.
struct Status {
    parent: u32,
    resident: u64,
}

/// Of a process that has ended and of one without memory of its own there is none.
fn status(process: &str) -> Option<Status> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let resident = kilobytes(&status, "VmRSS:")?;
    Some(Status { parent: figure(&status, "PPid:")? as u32, resident })
}

/// Memory that a program could still have; `None` where the system does not say.
pub(super) fn free() -> Option<u64> {
    memory().map(|(used, all)| all.saturating_sub(used))
}

/// Memory, used and all there is: of the machine, or of the container that allows less of it.
fn memory() -> Option<(u64, u64)> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let all = kilobytes(&info, "MemTotal:")?;
    let machine = (all.saturating_sub(kilobytes(&info, "MemAvailable:")?), all);
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let allowed = places(&groups).into_iter().filter_map(|place| {
        let read = |name| std::fs::read_to_string(place.folder.join(name)).ok();
        allowed(&read(place.limit)?, &read(place.used)?, &read("memory.stat").unwrap_or_default())
    });
    allowed.chain([machine]).min_by_key(|(used, all)| all.saturating_sub(*used))
}

/// A folder in which the kernel says what a group of processes may have, and the names of its files.
#[derive(Debug, PartialEq)]
struct Place {
    folder: PathBuf,
    limit: &'static str,
    used: &'static str,
}

/// Where limits may be that hold for a process, by its `/proc/self/cgroup`: those of its own group and of
/// all that this one is in, of the second version and of the first.
fn places(groups: &str) -> Vec<Place> {
    let of_line = |line: &str| -> Option<Vec<Place>> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let (root, limit, used) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
            }
            _ => return None,
        };
        let folders = Path::new(path).ancestors().map(|group| Path::new(root).join(group));
        Some(folders.map(|folder| Place { folder, limit, used }).collect())
    };
    groups.lines().filter_map(of_line).flatten().collect()
}

/// What a group of processes has and may have, by the texts of the kernel's files; `None` where it may have
/// all there is. What was read from files and is kept in case it is read again, is given back when asked for.
fn allowed(limit: &str, used: &str, stat: &str) -> Option<(u64, u64)> {
    let (limit, used) = (limit.trim().parse().ok()?, used.trim().parse::<u64>().ok()?);
    let kept = |name| figure(stat, name);
    // The first version says of a group alone and of all in it together.
    let kept = kept("total_inactive_file ").or_else(|| kept("inactive_file ")).unwrap_or(0);
    Some((used.saturating_sub(kept), limit))
}

/// The figure behind a name, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    Some(figure(text, name)? * 1024)
}

fn figure(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What NVIDIA's driver says through its own program; `None` where there is none.
fn gpus() -> Option<Vec<Gpu>> {
    let output = Command::new("nvidia-smi")
        .args(["--query-gpu=name,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).lines().filter_map(gpu).collect())
}

/// One line of it; figures that a card does not have are `[N/A]`.
fn gpu(line: &str) -> Option<Gpu> {
    let mut fields = line.rsplitn(4, ',').map(str::trim);
    let mut number = || fields.next()?.parse::<f64>().ok();
    let (all, used, load) = (number(), number(), number());
    let bytes = |mebibytes: f64| mebibytes as u64 * MIB;
    Some(Gpu {
        name: fields.next()?.to_owned(),
        load: load.map(|percent| percent / 100.0),
        memory_bytes: used.zip(all).map(|(used, all)| (bytes(used), bytes(all))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_says() {
        let card = gpu("NVIDIA H200, 97, 40960, 143771").unwrap();
        assert_eq!((card.name.as_str(), card.load), ("NVIDIA H200", Some(0.97)));
        assert_eq!(card.memory_bytes, Some((40_960 * MIB, 143_771 * MIB)));
        assert_eq!(gpu("Old, Card, [N/A], 3, 4").unwrap().load, None);
        assert_eq!(gpu("nonsense"), None);
    }

    #[test]
    fn a_family_is_all_that_a_process_has_started() {
        let all = [(1, 1), (20, 10), (30, 20), (10, 1), (21, 10), (40, 2)];
        let all = all.map(|(id, parent)| (id, Status { parent, resident: 0 }));
        let mut family = family(10, &all);
        family.sort_unstable();
        assert_eq!(family, [10, 20, 21, 30]);
    }

    #[test]
    fn a_container_may_allow_less_than_the_machine_has() {
        assert_eq!(allowed("8589934592\n", "2147483648\n", ""), Some((2 << 30, 8 << 30)));
        let stat = "anon 1073741824\ninactive_file 536870912\nactive_file 7\n";
        assert_eq!(allowed("8589934592\n", "2147483648\n", stat), Some((3 << 29, 8 << 30)));
        // The first version: those of the group alone, and all in it.
        let stat = "inactive_file 1\ntotal_inactive_file 1048576\n";
        assert_eq!(allowed("1073741824\n", "2097152\n", stat), Some((MIB, 1 << 30)));
        // No limit, by the second version and by the first, which names more than any machine has.
        assert_eq!(allowed("max\n", "2147483648\n", ""), None);
        assert!(allowed("9223372036854771712\n", "4096\n", "").is_some_and(|(_, all)| all > 1 << 60));
        assert_eq!(allowed("", "", ""), None);
    }

    #[test]
    fn limits_are_looked_for_from_the_own_group_up() {
        let folders = |groups| -> Vec<String> {
            places(groups).iter().map(|place| place.folder.join(place.limit).display().to_string()).collect()
        };
        assert_eq!(
            folders("0::/user.slice/job.scope\n"),
            [
                "/sys/fs/cgroup/user.slice/job.scope/memory.max",
                "/sys/fs/cgroup/user.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(folders("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
        // Both versions side by side.
        assert_eq!(
            folders("5:cpu,cpuacct:/x\n4:memory:/box\n0::/\n"),
            [
                "/sys/fs/cgroup/memory/box/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert!(places("").is_empty());
    }

    #[test]
    fn what_the_system_says() {
        assert_eq!(kilobytes("VmPeak:\t 9 kB\nVmRSS:\t  120 kB\n", "VmRSS:"), Some(122_880));
        assert_eq!(kilobytes("", "VmRSS:"), None);
        if cfg!(target_os = "linux") {
            assert!(own().unwrap() > MIB && memory().unwrap().1 > MIB);
            assert!(largest_under(std::process::id()).unwrap() > MIB);
        }
    }
}
