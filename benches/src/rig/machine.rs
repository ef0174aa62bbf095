//! Describes the machine, and what a process uses of it. Reads Linux's `/proc`.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Ticks per second in which the kernel counts CPU time in `/proc`, whatever its own clock rate.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident memory now.
    pub(crate) rss_bytes: u64,
    /// Resident memory at its highest.
    pub(crate) rss_bytes_max: u64,
    /// CPU time of all its threads, in user and kernel mode.
    pub(crate) cpu: Duration,
}

/// What a process has used so far.
pub(crate) fn usage(pid: u32) -> anyhow::Result<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("could not read a process's memory")?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("could not read a process's CPU time")?;
    // The second field is the name, which may hold spaces and ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(')').context("a process's CPU time is not as expected")?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Usage {
        rss_bytes: kib(&status, "VmRSS:") * 1_024,
        rss_bytes_max: kib(&status, "VmHWM:") * 1_024,
        cpu: Duration::from_millis(ticks * TICK.as_millis() as u64),
    })
}

/// Resets this process's peak resident memory.
pub(crate) fn forget_highest_memory() -> anyhow::Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("could not reset the highest memory")
}

/// What a process and its descendants have used so far. Memory they share counts once for each.
pub(crate) fn usage_of_tree(root: u32) -> anyhow::Result<Usage> {
    let mut total = usage(root)?;
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .context("could not list the processes")?
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect();
    let mut above = vec![root];
    while let Some(parent) = above.pop() {
        for &(child, _) in parents.iter().filter(|(_, of)| *of == parent) {
            above.push(child);
            // It may have ended by now.
            let Ok(usage) = usage(child) else { continue };
            total.rss_bytes += usage.rss_bytes;
            total.rss_bytes_max += usage.rss_bytes_max;
            total.cpu += usage.cpu;
        }
    }
    Ok(total)
}

/// Watches for other work on the machine: figures taken beside a compiler mean nothing.
pub(crate) struct Watch {
    since: Instant,
    busy: Duration,
}

impl Watch {
    /// Starts watching.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self { since: Instant::now(), busy: busy()? })
    }

    /// The average number of cores kept busy by others since the start, including the hypervisor.
    ///
    /// - `ours`: the CPU time that our own processes have used since then.
    pub(crate) fn others_cores(&self, ours: Duration) -> anyhow::Result<f64> {
        let others = (busy()? - self.busy).saturating_sub(ours);
        Ok(others.as_secs_f64() / self.since.elapsed().as_secs_f64())
    }
}

/// The busy time of all cores since the machine started.
fn busy() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("could not read the machine's CPU time")?;
    let times = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
    // user, nice, system, idle, waiting for a disk, interrupts, soft interrupts, stolen.
    let busy = times.enumerate().filter(|(column, _)| !matches!(column, 3 | 4));
    let ticks: u64 = busy.filter_map(|(_, ticks)| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * TICK.as_millis() as u64))
}

/// Describes the machine in one line: cores, memory, how long `dir` takes to make a small file durable, and the load.
pub(crate) fn describe(dir: &Path) -> anyhow::Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1)).unwrap_or("unknown");
    Ok(format!(
        "Machine: {} cores ({}), {:.1} GiB of memory; a durable write of 64 KiB takes {:.1} ms; load before: {}",
        std::thread::available_parallelism().map_or(1, usize::from),
        model.trim(),
        kib(&memory, "MemTotal:") as f64 / (1 << 20) as f64,
        sync_time(dir)?.as_secs_f64() * 1e3,
        load.split_whitespace().next().unwrap_or("unknown"),
    ))
}

/// The number behind a label, in a file of `Label:   123 kB` lines.
fn kib(text: &str, label: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(label));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The median time to write and sync a new file of 64 KiB: no acknowledgement can be faster.
fn sync_time(dir: &Path) -> anyhow::Result<Duration> {
    const WRITES: usize = 25;
    let mut times = Vec::with_capacity(WRITES);
    for number in 0..WRITES {
        let path = dir.join(format!("sync-{number}"));
        let started = Instant::now();
        let mut file = File::create(&path).with_context(|| format!("could not write to {}", dir.display()))?;
        file.write_all(&[7; 64 * 1_024])?;
        file.sync_all()?;
        times.push(started.elapsed());
        fs::remove_file(&path)?;
    }
    times.sort();
    Ok(times[WRITES / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 1 << 20 && usage.rss_bytes <= usage.rss_bytes_max);
    }

    #[test]
    fn a_label_is_found_among_others() {
        assert_eq!(kib("VmPeak:  9 kB\nVmRSS:\t  123 kB\n", "VmRSS:"), 123);
        assert_eq!(kib("", "VmRSS:"), 0);
    }
}
