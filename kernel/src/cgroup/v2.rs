//! Limits as writes to the control files of cgroup v2. Pure.

use super::convert::shares_to_weight;
use super::limits::{Limits, UNLIMITED};
use super::transaction::Write;
use super::{Error, Result};

/// The controllers a group of ours wants.
pub(super) const CONTROLLERS: [&str; 6] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"];

/// What the group has now, for limits that are given by halves.
#[derive(Debug, Clone, Default)]
pub(super) struct Current {
    /// First word of `cpu.max`.
    pub(super) quota: Option<String>,
    /// `memory.max`; `u64::MAX` for no limit.
    pub(super) memory: Option<u64>,
}

/// The writes, in order. Files named by `unified` come last and so win over the fields.
pub(super) fn writes(limits: &Limits, current: &Current) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    writes.extend(limits.cpuset_cpus.iter().map(|list| Write::new("cpuset", "cpuset.cpus", list)));
    writes.extend(limits.cpuset_mems.iter().map(|list| Write::new("cpuset", "cpuset.mems", list)));
    writes.extend(limits.cpu_shares.map(|shares| Write::new("cpu", "cpu.weight", shares_to_weight(shares))));
    writes.extend(bandwidth(limits, current).map(|value| Write::new("cpu", "cpu.max", value)));
    // Swap first: shrinking memory under the old swap limit would push pages out that may not be there afterwards.
    writes.extend(
        swap(limits, current)?.map(|value| Write::new("memory", "memory.swap.max", value).optional()),
    );
    writes.extend(limits.memory_limit.map(|bytes| Write::new("memory", "memory.max", or_max(bytes))));
    writes.extend(limits.pids_max.map(|max| Write::new("pids", "pids.max", or_max(max))));
    for page in &limits.hugepages {
        let size = &page.page_size;
        writes.push(Write::new("hugetlb", format!("hugetlb.{size}.max"), page.limit));
        writes.push(Write::new("hugetlb", format!("hugetlb.{size}.rsvd.max"), page.limit).optional());
    }
    for (file, value) in &limits.unified {
        let controller = file.split('.').next().unwrap_or_default();
        writes.push(Write::new(controller, file.clone(), value));
    }
    Ok(writes)
}

/// `cpu.max` holds quota and period in one line; a quota alone leaves the period, a period alone needs the quota.
fn bandwidth(limits: &Limits, current: &Current) -> Option<String> {
    let quota = limits.cpu_quota_us.map(or_max);
    match (quota, limits.cpu_period_us) {
        (None, None) => None,
        (Some(quota), None) => Some(quota),
        (quota, Some(period)) => {
            let quota = quota.or_else(|| current.quota.clone()).unwrap_or_else(|| "max".to_owned());
            Some(format!("{quota} {period}"))
        }
    }
}

/// v1 limits memory and swap together, v2 swap alone: the difference (F-83).
fn swap(limits: &Limits, current: &Current) -> Result<Option<String>> {
    let both = match (limits.memory_limit, limits.memory_swap_limit) {
        (Some(UNLIMITED), None) | (_, Some(UNLIMITED)) => return Ok(Some("max".to_owned())),
        (_, None) => return Ok(None),
        (_, Some(both)) => both,
    };
    let refused = |reason| Error::Limit { name: "memory_swap_limit".into(), value: both.to_string(), reason };
    let memory = match limits.memory_limit {
        Some(memory) => memory,
        None => current
            .memory
            .and_then(|bytes| i64::try_from(bytes).ok())
            .ok_or_else(|| refused("it needs a memory limit, from which the swap limit is computed"))?,
    };
    let swap = both - memory;
    if swap < 0 {
        return Err(refused("it counts memory and swap, so it is at least the memory limit"));
    }
    Ok(Some(swap.to_string()))
}

fn or_max(value: i64) -> String {
    if value == UNLIMITED { "max".to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests;
