//! What the kernel would answer, for tests: an interpreter of classic BPF, and a direct reading of a policy.

use crate::plan::SockFilter;

use super::assemble::{AND, JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL, LOAD, RETURN};
use super::{Action, Arch, Compare, Policy};

/// One system call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) arch: u32,
    pub(super) number: u32,
    pub(super) arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            _ => {
                let argument = self.arguments[usize::try_from((offset - 16) / 8).unwrap()];
                if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
            }
        }
    }
}

/// Runs a program, with the checks the kernel makes when it loads one.
pub(super) fn run(program: &[SockFilter], call: Call) -> u32 {
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let SockFilter { code, jt, jf, k } = program[at];
        at += 1;
        let mut choose = |condition: bool| at += usize::from(if condition { jt } else { jf });
        match code {
            LOAD => {
                assert!(k % 4 == 0 && k < 64, "load from {k}");
                accumulator = call.word(k);
            }
            AND => accumulator &= k,
            JUMP => at += usize::try_from(k).unwrap(),
            JUMP_EQUAL => choose(accumulator == k),
            JUMP_GREATER => choose(accumulator > k),
            JUMP_GREATER_OR_EQUAL => choose(accumulator >= k),
            RETURN => return k,
            other => panic!("operation {other:#x}"),
        }
    }
}

/// The answer by the words of the module's documentation, rule by rule.
pub(super) fn answer(policy: &Policy, native: Arch, call: Call) -> u32 {
    let x32 = call.number >= 0x4000_0000 && call.number != u32::MAX;
    let arch = [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm]
        .into_iter()
        .filter(|arch| *arch == native || policy.architectures.contains(arch))
        .filter(|arch| same_machine(*arch, native))
        .find(|arch| {
            let by_number = match arch {
                Arch::X86_64 => !x32,
                Arch::X32 => x32,
                _ => true,
            };
            arch.audit() == call.arch && by_number
        });
    let Some(arch) = arch else { return Action::KillProcess.value() };
    let named = |name: &String| arch.number(name) == Some(call.number);
    let rules: Vec<_> = policy
        .rules
        .iter()
        .filter(|rule| rule.action != policy.default && rule.names.iter().any(named))
        .collect();
    if let Some(rule) = rules.iter().find(|rule| rule.conditions.is_empty()) {
        return rule.action.value();
    }
    let holds = |index: u8, compare| compared(call.arguments[usize::from(index)], compare);
    for rule in rules {
        let conditions = &rule.conditions;
        let twice = conditions.iter().enumerate().any(|(position, condition)| {
            conditions[..position].iter().any(|earlier| earlier.argument == condition.argument)
        });
        let mut each = conditions.iter().map(|condition| holds(condition.argument, condition.compare));
        if if twice { each.any(|held| held) } else { each.all(|held| held) } {
            return rule.action.value();
        }
    }
    let last = policy.rules.iter().flat_map(|rule| &rule.names).filter_map(|name| arch.number(name)).max();
    let newer = call.number != u32::MAX && last.is_none_or(|last| call.number > last);
    match policy.default {
        Action::Errno(_) if newer && !policy.rules.is_empty() => Action::Errno(38).value(),
        default => default.value(),
    }
}

fn same_machine(arch: Arch, native: Arch) -> bool {
    let arm = |arch| matches!(arch, Arch::Aarch64 | Arch::Arm);
    arm(arch) == arm(native)
}

fn compared(argument: u64, compare: Compare) -> bool {
    match compare {
        Compare::NotEqual(value) => argument != value,
        Compare::Less(value) => argument < value,
        Compare::LessOrEqual(value) => argument <= value,
        Compare::Equal(value) => argument == value,
        Compare::GreaterOrEqual(value) => argument >= value,
        Compare::Greater(value) => argument > value,
        Compare::Masked { mask, value } => argument & mask == value,
    }
}
