//! A policy as a program: choose by architecture, then find the number in a balanced tree of ranges.

use std::collections::BTreeMap;

use crate::plan::SockFilter;

use super::action::ENOSYS;
use super::arch::X32_BIT;
use super::assemble::{
    ARCH, JUMP_EQUAL, JUMP_GREATER_OR_EQUAL, LOAD, MAX_LENGTH, NUMBER, RETURN, branch, statement,
};
use super::chain::Chain;
use super::{Action, Arch, Condition, Error, Policy, Result, Rule};

/// The answer for an architecture or an ABI that is not in the policy.
const FOREIGN: Action = Action::KillProcess;

/// What is decided about one number.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Act(Action),
    Try(Chain),
}

impl Verdict {
    fn code(&self) -> Vec<SockFilter> {
        match self {
            Self::Act(action) => vec![statement(RETURN, action.value())],
            Self::Try(chain) => chain.code(),
        }
    }
}

/// Numbers from `start` to the start of the next range.
struct Range {
    start: u32,
    verdict: Verdict,
}

pub(super) fn compile(policy: &Policy, native: Arch) -> Result<Vec<SockFilter>> {
    let mut program = vec![statement(LOAD, ARCH)];
    let mut rest = vec![statement(RETURN, FOREIGN.value())];
    for family in families(policy, native).into_iter().rev() {
        let mut then = vec![statement(LOAD, NUMBER)];
        then.extend(tree(&ranges(policy, &family)));
        rest = branch(JUMP_EQUAL, family[0].audit(), then, rest);
    }
    program.extend(rest);
    if program.len() > MAX_LENGTH { Err(Error::TooLong(program.len())) } else { Ok(program) }
}

/// The architectures of the policy that this machine can run, those with the same audit architecture together.
fn families(policy: &Policy, native: Arch) -> Vec<Vec<Arch>> {
    let wanted = |arch: &Arch| policy.architectures.contains(arch);
    match native {
        Arch::X86_64 | Arch::X32 => {
            let mut families = vec![vec![Arch::X86_64]];
            families[0].extend([Arch::X32].into_iter().filter(wanted));
            families.extend([Arch::X86].into_iter().filter(wanted).map(|arch| vec![arch]));
            families
        }
        Arch::Aarch64 => {
            let mut families = vec![vec![Arch::Aarch64]];
            families.extend([Arch::Arm].into_iter().filter(wanted).map(|arch| vec![arch]));
            families
        }
        Arch::X86 | Arch::Arm => vec![vec![native]],
    }
}

/// Every number of a family with its verdict, neighbours with the same verdict as one range.
fn ranges(policy: &Policy, family: &[Arch]) -> Vec<Range> {
    let mut cuts: BTreeMap<u32, Verdict> = BTreeMap::new();
    for arch in family {
        let first = if *arch == Arch::X32 { X32_BIT } else { 0 };
        let verdicts = verdicts(policy, *arch);
        let unknown = Verdict::Act(policy.default);
        cuts.insert(first, unknown.clone());
        let mut next = first;
        for (number, verdict) in verdicts {
            cuts.insert(number, verdict);
            next = number + 1;
            cuts.entry(next).or_insert_with(|| unknown.clone());
        }
        cuts.insert(next, Verdict::Act(newer(policy)));
    }
    if family == [Arch::X86_64] {
        // An x32 call from a 64-bit process, unless x32 is in the policy too.
        cuts.insert(X32_BIT, Verdict::Act(FOREIGN));
    }
    // -1 is what a tracer writes to skip a call.
    cuts.insert(u32::MAX, Verdict::Act(policy.default));
    let mut ranges: Vec<Range> = Vec::new();
    for (start, verdict) in cuts {
        if ranges.last().is_none_or(|last| last.verdict != verdict) {
            ranges.push(Range { start, verdict });
        }
    }
    ranges
}

/// The answer for numbers above all those the policy names.
fn newer(policy: &Policy) -> Action {
    match policy.default {
        Action::Errno(_) if !policy.rules.is_empty() => Action::Errno(ENOSYS),
        default => default,
    }
}

fn verdicts(policy: &Policy, arch: Arch) -> BTreeMap<u32, Verdict> {
    let mut by_number: BTreeMap<u32, Vec<&Rule>> = BTreeMap::new();
    for rule in &policy.rules {
        for number in rule.names.iter().filter_map(|name| arch.number(name)) {
            by_number.entry(number).or_default().push(rule);
        }
    }
    by_number.into_iter().map(|(number, rules)| (number, decide(policy.default, &rules))).collect()
}

/// The rules of one call, in order, as one verdict. The module's documentation says what a profile means.
fn decide(default: Action, rules: &[&Rule]) -> Verdict {
    let speaking = || rules.iter().filter(|rule| rule.action != default);
    if let Some(rule) = speaking().find(|rule| rule.conditions.is_empty()) {
        return Verdict::Act(rule.action);
    }
    let links: Vec<(Vec<Condition>, Action)> = speaking()
        .flat_map(|rule| {
            alternatives(&rule.conditions).into_iter().map(|conditions| (conditions, rule.action))
        })
        .collect();
    if links.is_empty() { Verdict::Act(default) } else { Verdict::Try(Chain { links, default }) }
}

/// Conditions of one rule: all together, or each by itself if an argument occurs twice.
pub(super) fn alternatives(conditions: &[Condition]) -> Vec<Vec<Condition>> {
    let mut seen = [false; 6];
    let repeated = conditions
        .iter()
        .any(|condition| std::mem::replace(&mut seen[usize::from(condition.argument.min(5))], true));
    if repeated {
        conditions.iter().map(|condition| vec![*condition]).collect()
    } else {
        vec![conditions.to_vec()]
    }
}

/// A balanced tree over ranges; there is at least one.
fn tree(ranges: &[Range]) -> Vec<SockFilter> {
    match ranges {
        [] => Vec::new(),
        [only] => only.verdict.code(),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            branch(JUMP_GREATER_OR_EQUAL, high[0].start, tree(high), tree(low))
        }
    }
}
