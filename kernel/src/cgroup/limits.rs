//! What a group may use.

use std::collections::BTreeMap;

use super::{Error, Result};

/// The value of a signed limit that means "no limit".
pub const UNLIMITED: i64 = -1;

/// Limits of one group, in the units of CRI and OCI, which are those of cgroup v1. `None` leaves the kernel's value
/// alone, so the same type serves a new group and an update.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Relative weight, 2 to 262144; turned into a weight on v2 ([`super::shares_to_weight`]).
    pub cpu_shares: Option<u64>,
    /// CPU time per period, microseconds, at least 1000; [`UNLIMITED`].
    pub cpu_quota_us: Option<i64>,
    /// Period, microseconds, 1000 to 1000000.
    pub cpu_period_us: Option<u64>,
    /// Memory, bytes; [`UNLIMITED`].
    pub memory_limit: Option<i64>,
    /// Memory and swap together, bytes, at least the memory limit; [`UNLIMITED`]. Equal to the memory limit: no swap.
    /// Ignored where the kernel does not account swap (F-83).
    pub memory_swap_limit: Option<i64>,
    /// CPUs in the kernel's list format (`0-3,7`).
    pub cpuset_cpus: Option<String>,
    /// Memory nodes in the kernel's list format.
    pub cpuset_mems: Option<String>,
    /// Processes and threads; [`UNLIMITED`].
    pub pids_max: Option<i64>,
    /// Huge pages by size. Ignored where the kernel has no hugetlb controller (F-86).
    pub hugepages: Vec<HugepageLimit>,
    /// Files of cgroup v2 and the values to write to them (F-87). Refused on v1.
    pub unified: BTreeMap<String, String>,
}

/// A limit on huge pages of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HugepageLimit {
    /// As the kernel names it: `2MB`, `1GB`, `64KB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}

impl Limits {
    /// Checks what can be judged without looking at the host.
    ///
    /// # Errors
    /// [`Error::Limit`], naming the field.
    pub fn validate(&self) -> Result<()> {
        if let Some(quota) = self.cpu_quota_us {
            check(
                quota == UNLIMITED || quota >= 1000,
                "cpu_quota_us",
                quota,
                "at least 1000, or -1 for no limit",
            )?;
        }
        if let Some(period) = self.cpu_period_us {
            check((1000..=1_000_000).contains(&period), "cpu_period_us", period, "between 1000 and 1000000")?;
        }
        if let Some(memory) = self.memory_limit {
            check(memory == UNLIMITED || memory > 0, "memory_limit", memory, "positive, or -1 for no limit")?;
        }
        if let Some(swap) = self.memory_swap_limit {
            check(swap == UNLIMITED || swap > 0, "memory_swap_limit", swap, "positive, or -1 for no limit")?;
            let memory = self.memory_limit.unwrap_or(0);
            let below = swap != UNLIMITED && (memory == UNLIMITED || swap < memory);
            check(
                !below,
                "memory_swap_limit",
                swap,
                "it counts memory and swap, so it is at least memory_limit",
            )?;
        }
        if let Some(pids) = self.pids_max {
            check(pids == UNLIMITED || pids > 0, "pids_max", pids, "positive, or -1 for no limit")?;
        }
        for (name, list) in [("cpuset_cpus", &self.cpuset_cpus), ("cpuset_mems", &self.cpuset_mems)] {
            if let Some(list) = list {
                check(is_list(list), name, list, "a list such as 0-3,7")?;
            }
        }
        for page in &self.hugepages {
            check(
                is_page_size(&page.page_size),
                "hugepages",
                &page.page_size,
                "a page size such as 2MB or 1GB",
            )?;
        }
        for (file, value) in &self.unified {
            // The name becomes a path component below the group, and `cgroup.*` files move, kill and freeze.
            let named = file.contains('.') && !file.contains(['/', '\0']) && !file.starts_with(['.']);
            check(named, file, value, "the name of a controller's file, such as memory.high")?;
            check(!file.starts_with("cgroup."), file, value, "files of the group itself cannot be set")?;
            check(!value.is_empty() && !value.contains(['\0', '\n']), file, value, "one line")?;
        }
        Ok(())
    }
}

fn check(good: bool, name: &str, value: impl ToString, reason: &'static str) -> Result<()> {
    if good { Ok(()) } else { Err(Error::Limit { name: name.to_owned(), value: value.to_string(), reason }) }
}

/// `0-3,7` with numbers in order within each range.
fn is_list(list: &str) -> bool {
    let number =
        |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    list.split(',').all(|part| match part.split_once('-') {
        None => number(part).is_some(),
        Some((first, last)) => {
            matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
        }
    })
}

fn is_page_size(size: &str) -> bool {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_uppercase());
    let unit = &size[digits.len()..];
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && ["KB", "MB", "GB"].contains(&unit)
}

#[cfg(test)]
mod tests;
