//! Limits as writes to the control files of cgroup v1. Pure.

use super::limits::{Limits, UNLIMITED};
use super::transaction::Write;
use super::{Error, Result};

/// What the group has now; decides the order of writes that the kernel checks against each other.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Current {
    /// `memory.memsw.limit_in_bytes`, if swap is accounted.
    pub(super) memory_and_swap: Option<u64>,
    /// `cpu.cfs_period_us`.
    pub(super) period_us: Option<u64>,
}

/// The writes, in an order in which every intermediate state is one the kernel accepts.
pub(super) fn writes(limits: &Limits, current: Current) -> Result<Vec<Write>> {
    if let Some((file, value)) = limits.unified.first_key_value() {
        return Err(Error::Limit {
            name: file.clone(),
            value: value.clone(),
            reason: "this host uses cgroup v1, which has no such file",
        });
    }
    let mut writes = Vec::new();
    writes.extend(limits.cpuset_cpus.iter().map(|list| Write::new("cpuset", "cpuset.cpus", list)));
    writes.extend(limits.cpuset_mems.iter().map(|list| Write::new("cpuset", "cpuset.mems", list)));
    writes.extend(limits.cpu_shares.map(|shares| Write::new("cpu", "cpu.shares", shares)));
    bandwidth(limits, current, &mut writes);
    memory(limits, current, &mut writes);
    writes.extend(limits.pids_max.map(|max| Write::new("pids", "pids.max", or_max(max))));
    for page in &limits.hugepages {
        let size = &page.page_size;
        writes.push(Write::new("hugetlb", format!("hugetlb.{size}.limit_in_bytes"), page.limit));
        writes.push(
            Write::new("hugetlb", format!("hugetlb.{size}.rsvd.limit_in_bytes"), page.limit).optional(),
        );
    }
    Ok(writes)
}

/// The kernel refuses a group whose quota per period exceeds its parent's, after each of the two writes. A longer
/// period goes first, a shorter one last: then the state in between has the smaller of the two ratios.
fn bandwidth(limits: &Limits, current: Current, writes: &mut Vec<Write>) {
    let period = limits.cpu_period_us.map(|period| Write::new("cpu", "cpu.cfs_period_us", period));
    let quota = limits.cpu_quota_us.map(|quota| Write::new("cpu", "cpu.cfs_quota_us", quota));
    if limits.cpu_period_us >= current.period_us {
        writes.extend(period.into_iter().chain(quota));
    } else {
        writes.extend(quota.into_iter().chain(period));
    }
}

/// The kernel demands that memory <= memory + swap at every moment, so a rising limit is written top first.
fn memory(limits: &Limits, current: Current, writes: &mut Vec<Write>) {
    let both = match (limits.memory_limit, limits.memory_swap_limit) {
        // An unlimited memory under the old limit of both would be refused.
        (Some(UNLIMITED), None) => Some(UNLIMITED),
        (_, both) => both,
    };
    let memory = limits.memory_limit.map(|bytes| Write::new("memory", "memory.limit_in_bytes", bytes));
    // Absent where the kernel runs with swapaccount=0 (F-83).
    let swap = both.map(|bytes| Write::new("memory", "memory.memsw.limit_in_bytes", bytes).optional());
    let rises = match (both, current.memory_and_swap) {
        (Some(both), Some(now)) => u64::try_from(both).map_or(true, |both| both > now),
        _ => false,
    };
    if rises {
        writes.extend(swap.into_iter().chain(memory));
    } else {
        writes.extend(memory.into_iter().chain(swap));
    }
}

fn or_max(value: i64) -> String {
    if value == UNLIMITED { "max".to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests;
