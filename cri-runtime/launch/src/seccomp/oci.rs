//! A policy as the `linux.seccomp` of an OCI runtime specification, and back: what other OCI runtimes are given, and
//! what `inspect` shows.

use oci_spec::runtime::{
    Arch as OciArch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
};

use super::policy::{Compare, Condition, Policy, Rule};
use super::profile::{compare, flag};
use super::{Action, Arch, Error, Result};

impl TryFrom<&LinuxSeccomp> for Policy {
    type Error = Error;

    /// Reads the OCI form. A missing native architecture is added, as OCI runtimes do when they compile.
    fn try_from(seccomp: &LinuxSeccomp) -> Result<Self> {
        let mut architectures = Vec::new();
        for arch in seccomp.architectures().iter().flatten() {
            architectures.extend(Arch::parse(&arch.to_string())?);
        }
        let mut rules = Vec::new();
        for (index, syscall) in seccomp.syscalls().iter().flatten().enumerate() {
            let Some(first) = syscall.names().first() else { return Err(Error::NoNames(index)) };
            let mut conditions = Vec::new();
            for argument in syscall.args().iter().flatten() {
                conditions.push(condition(first, argument)?);
            }
            let action = Action::parse(&syscall.action().to_string(), syscall.errno_ret())?;
            rules.push(Rule { names: syscall.names().clone(), action, conditions });
        }
        let flags = seccomp.flags().iter().flatten();
        Ok(Self {
            default: Action::parse(&seccomp.default_action().to_string(), seccomp.default_errno_ret())?,
            architectures,
            rules,
            flags: flags
                .map(|name| flag(&name.to_string()))
                .try_fold(0, |all, one| one.map(|one| all | one))?,
        })
    }
}

fn condition(syscall: &str, argument: &LinuxSeccompArg) -> Result<Condition> {
    let index = argument.index();
    let number = u8::try_from(index).ok().filter(|index| *index < 6).ok_or_else(|| Error::ArgumentIndex {
        syscall: syscall.to_owned(),
        index: u32::try_from(index).unwrap_or(u32::MAX),
    })?;
    let second = argument.value_two().unwrap_or(0);
    Ok(Condition {
        argument: number,
        compare: compare(&argument.op().to_string(), argument.value(), second)?,
    })
}

impl From<&Policy> for LinuxSeccomp {
    fn from(policy: &Policy) -> Self {
        let (action, errno) = named(policy.default);
        let mut seccomp = Self::default();
        seccomp
            .set_default_action(action)
            .set_default_errno_ret(errno)
            .set_architectures(Some(policy.architectures.iter().map(|arch| oci_arch(*arch)).collect()))
            .set_syscalls(Some(policy.rules.iter().map(syscall).collect()));
        let flags: Vec<LinuxSeccompFilterFlag> = [
            (1, LinuxSeccompFilterFlag::SeccompFilterFlagTsync),
            (1 << 1, LinuxSeccompFilterFlag::SeccompFilterFlagLog),
            (1 << 2, LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow),
        ]
        .into_iter()
        .filter(|(bit, _)| policy.flags & bit != 0)
        .map(|(_, flag)| flag)
        .collect();
        seccomp.set_flags((!flags.is_empty()).then_some(flags));
        seccomp
    }
}

fn syscall(rule: &Rule) -> LinuxSyscall {
    let (action, errno) = named(rule.action);
    let mut syscall = LinuxSyscall::default();
    syscall.set_names(rule.names.clone()).set_action(action).set_errno_ret(errno);
    if !rule.conditions.is_empty() {
        syscall.set_args(Some(rule.conditions.iter().map(argument).collect()));
    }
    syscall
}

fn argument(condition: &Condition) -> LinuxSeccompArg {
    use LinuxSeccompOperator as Op;
    let (op, value, second) = match condition.compare {
        Compare::NotEqual(value) => (Op::ScmpCmpNe, value, None),
        Compare::Less(value) => (Op::ScmpCmpLt, value, None),
        Compare::LessOrEqual(value) => (Op::ScmpCmpLe, value, None),
        Compare::Equal(value) => (Op::ScmpCmpEq, value, None),
        Compare::GreaterOrEqual(value) => (Op::ScmpCmpGe, value, None),
        Compare::Greater(value) => (Op::ScmpCmpGt, value, None),
        Compare::Masked { mask, value } => (Op::ScmpCmpMaskedEq, mask, Some(value)),
    };
    let builder = LinuxSeccompArgBuilder::default().index(condition.argument).value(value).op(op);
    let builder = match second {
        Some(second) => builder.value_two(second),
        None => builder,
    };
    builder.build().expect("every field of the builder has a default")
}

fn named(action: Action) -> (LinuxSeccompAction, Option<u32>) {
    match action {
        Action::KillProcess => (LinuxSeccompAction::ScmpActKillProcess, None),
        Action::KillThread => (LinuxSeccompAction::ScmpActKillThread, None),
        Action::Trap => (LinuxSeccompAction::ScmpActTrap, None),
        Action::Errno(errno) => (LinuxSeccompAction::ScmpActErrno, Some(errno.into())),
        Action::Trace(message) => (LinuxSeccompAction::ScmpActTrace, Some(message.into())),
        Action::Log => (LinuxSeccompAction::ScmpActLog, None),
        Action::Allow => (LinuxSeccompAction::ScmpActAllow, None),
    }
}

fn oci_arch(arch: Arch) -> OciArch {
    match arch {
        Arch::X86_64 => OciArch::ScmpArchX86_64,
        Arch::X86 => OciArch::ScmpArchX86,
        Arch::X32 => OciArch::ScmpArchX32,
        Arch::Aarch64 => OciArch::ScmpArchAarch64,
        Arch::Arm => OciArch::ScmpArchArm,
    }
}
