//! What a group has used.

use std::path::Path;

use super::control;
use super::hierarchy::Version;
use super::{Cgroup, Error, Result};

/// Use of one group with all groups below it. A value is 0 where the host has no such counter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// CPU time, nanoseconds.
    pub cpu_usage_ns: u64,
    /// CPU time in user mode, nanoseconds.
    pub cpu_user_ns: u64,
    /// CPU time in kernel mode, nanoseconds.
    pub cpu_system_ns: u64,
    /// Memory charged, bytes, page cache included.
    pub memory_usage: u64,
    /// Page cache that can be reclaimed first, bytes; usage without it is the working set.
    pub memory_inactive_file: u64,
    /// Anonymous memory, bytes.
    pub memory_anon: u64,
    /// Page faults.
    pub page_faults: u64,
    /// Page faults that needed I/O.
    pub major_page_faults: u64,
    /// Swap used, bytes.
    pub swap_usage: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Processes killed because the group or one above it was out of memory (see [`Cgroup::oom_kills`]).
    pub oom_kills: u64,
    /// Time lost waiting for CPU, where the kernel measures it.
    pub cpu_pressure: Option<Pressure>,
    /// Time lost waiting for memory.
    pub memory_pressure: Option<Pressure>,
    /// Time lost waiting for I/O.
    pub io_pressure: Option<Pressure>,
}

/// Pressure stall information of one resource.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// At least one task was stalled.
    pub some: PressureLine,
    /// All tasks were stalled.
    pub full: PressureLine,
}

/// One line of a pressure file.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PressureLine {
    /// Share of the last 10 seconds, percent.
    pub avg10: f64,
    /// Share of the last 60 seconds, percent.
    pub avg60: f64,
    /// Share of the last 300 seconds, percent.
    pub avg300: f64,
    /// Stalled time in total, microseconds.
    pub total_us: u64,
}

/// CPUs and memory nodes a group may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpuset {
    /// In the kernel's list format.
    pub cpus: String,
    /// In the kernel's list format.
    pub mems: String,
}

impl Cgroup {
    /// Reads the use of the group. The group of an exec has no counters of its own: ask the container's.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Content`].
    pub fn stats(&self) -> Result<Stats> {
        let mut stats = match self.hierarchies.version() {
            Version::V1 => self.stats_v1()?,
            Version::V2 => self.stats_v2()?,
        };
        stats.oom_kills = self.oom_kills()?;
        if let Some(directory) = self.unified() {
            stats.cpu_pressure = pressure(&directory.join("cpu.pressure"))?;
            stats.memory_pressure = pressure(&directory.join("memory.pressure"))?;
            stats.io_pressure = pressure(&directory.join("io.pressure"))?;
        }
        Ok(stats)
    }

    fn stats_v1(&self) -> Result<Stats> {
        let number = |controller: &str, file: &str| match self.controller(controller) {
            Some(directory) => Ok(control::number(&directory.join(file))?.unwrap_or(0)),
            None => Ok(0),
        };
        let memory = match self.controller("memory") {
            Some(directory) => control::read_if_present(&directory.join("memory.stat"))?.unwrap_or_default(),
            None => String::new(),
        };
        let memory = |key| control::keyed(&memory, key).unwrap_or(0);
        Ok(Stats {
            cpu_usage_ns: number("cpuacct", "cpuacct.usage")?,
            cpu_user_ns: number("cpuacct", "cpuacct.usage_user")?,
            cpu_system_ns: number("cpuacct", "cpuacct.usage_sys")?,
            memory_usage: number("memory", "memory.usage_in_bytes")?,
            memory_inactive_file: memory("total_inactive_file"),
            memory_anon: memory("total_rss"),
            page_faults: memory("total_pgfault"),
            major_page_faults: memory("total_pgmajfault"),
            swap_usage: memory("total_swap"),
            pids: number("pids", "pids.current")?,
            ..Stats::default()
        })
    }

    fn stats_v2(&self) -> Result<Stats> {
        let directory = self.directory(0);
        let text =
            |file: &str| control::read_if_present(&directory.join(file)).map(Option::unwrap_or_default);
        let number = |file: &str| control::number(&directory.join(file)).map(Option::unwrap_or_default);
        let (cpu, memory) = (text("cpu.stat")?, text("memory.stat")?);
        let nanoseconds = |key| control::keyed(&cpu, key).unwrap_or(0).saturating_mul(1000);
        let memory = |key| control::keyed(&memory, key).unwrap_or(0);
        Ok(Stats {
            cpu_usage_ns: nanoseconds("usage_usec"),
            cpu_user_ns: nanoseconds("user_usec"),
            cpu_system_ns: nanoseconds("system_usec"),
            memory_usage: number("memory.current")?,
            memory_inactive_file: memory("inactive_file"),
            memory_anon: memory("anon"),
            page_faults: memory("pgfault"),
            major_page_faults: memory("pgmajfault"),
            swap_usage: number("memory.swap.current")?,
            pids: number("pids.current")?,
            ..Stats::default()
        })
    }

    /// How many processes of the group and the groups below it the kernel has killed for want of memory, whichever
    /// ancestor's limit it was (RC-14). Read it after the last process has ended and before the group is removed; 0
    /// for a group that does not exist.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn oom_kills(&self) -> Result<u64> {
        let Some(directory) = self.controller("memory") else { return Ok(0) };
        match self.hierarchies.version() {
            Version::V2 => {
                let text = control::read_if_present(&directory.join("memory.events"))?.unwrap_or_default();
                // `oom_group_kill` counts the groups killed as one; their processes are in `oom_kill` already.
                Ok(control::keyed(&text, "oom_kill").unwrap_or(0))
            }
            Version::V1 => oom_kills_v1(&directory),
        }
    }

    /// The CPUs and memory nodes the group really has, after what its ancestors leave it.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Controller`] if the host has no cpuset controller here.
    pub fn effective_cpuset(&self) -> Result<Cpuset> {
        let (cpus, mems) = match self.hierarchies.version() {
            Version::V1 => ("cpuset.effective_cpus", "cpuset.effective_mems"),
            Version::V2 => ("cpuset.cpus.effective", "cpuset.mems.effective"),
        };
        let absent = || Error::Controller {
            path: self.path(),
            controller: "cpuset".to_owned(),
            file: cpus.to_owned(),
        };
        let directory = self.controller("cpuset").ok_or_else(absent)?;
        let read = |file| control::read_if_present(&directory.join(file))?.ok_or_else(absent);
        Ok(Cpuset { cpus: read(cpus)?, mems: read(mems)? })
    }
}

/// v1 counts for each group alone, and a container may have made groups below its own.
fn oom_kills_v1(top: &Path) -> Result<u64> {
    let mut total: u64 = 0;
    let mut pending = vec![top.to_owned()];
    while let Some(directory) = pending.pop() {
        let text = control::read_if_present(&directory.join("memory.oom_control"))?.unwrap_or_default();
        total = total.saturating_add(control::keyed(&text, "oom_kill").unwrap_or(0));
        pending.extend(control::children(&directory)?);
    }
    Ok(total)
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`. `None` where the kernel does not
/// measure: no file, or EOPNOTSUPP when it is built in but off.
fn pressure(path: &Path) -> Result<Option<Pressure>> {
    let text = match control::read(path) {
        Ok(text) => text,
        Err(error) if control::is_absent(&error) || error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            return Ok(None);
        }
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    Ok(Some(parse_pressure(&text)))
}

fn parse_pressure(text: &str) -> Pressure {
    let line = |name: &str| {
        let mut parsed = PressureLine::default();
        let fields =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_default();
        for (key, value) in fields.split(' ').filter_map(|field| field.split_once('=')) {
            match key {
                "avg10" => parsed.avg10 = value.parse().unwrap_or_default(),
                "avg60" => parsed.avg60 = value.parse().unwrap_or_default(),
                "avg300" => parsed.avg300 = value.parse().unwrap_or_default(),
                "total" => parsed.total_us = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        parsed
    };
    Pressure { some: line("some"), full: line("full") }
}

#[cfg(test)]
mod tests;
