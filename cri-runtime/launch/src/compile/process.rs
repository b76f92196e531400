//! `process`: what is executed, as whom, with which limits.
//!
//! The order of the last steps is the kernel's doing. The bounding set falls while `CAP_SETPCAP` is there; groups and
//! ids change while `CAP_SETUID` is there; a filter needs `no_new_privs` or `CAP_SYS_ADMIN`. So with `no_new_privs`
//! the filter is the very last; without, it is loaded just before the capabilities go.

use oci_spec::runtime::{PosixRlimit, PosixRlimitType, Process};

use super::{CompileError, Options, capabilities, mounts};
use crate::plan::{Executable, Program, Rlimit, SecurityLabel, Step};

const DEFAULT_UMASK: u32 = 0o022;
const BADNESS: std::ops::RangeInclusive<i32> = -1000..=1000;

pub(super) fn compile(
    process: &Process,
    options: &Options,
    steps: &mut Vec<Step>,
) -> Result<(), CompileError> {
    if process.terminal() == Some(true) {
        steps.push(Step::Terminal);
    }
    // Without a value the supervisor's own protection against the OOM killer would be inherited.
    let badness = process.oom_score_adj().unwrap_or(0);
    if !BADNESS.contains(&badness) {
        return Err(CompileError::invalid("process.oomScoreAdj", badness.to_string(), "not in -1000..=1000"));
    }
    steps.push(Step::OomScore(badness));
    let user = process.user();
    steps.push(Step::Umask(user.umask().unwrap_or(DEFAULT_UMASK) & 0o777));
    steps.push(Step::WorkingDirectory(mounts::target(process.cwd(), "process.cwd")?));
    security_labels(process, steps)?;
    let rlimits: Vec<Rlimit> =
        process.rlimits().iter().flatten().map(rlimit).collect::<Result<_, CompileError>>()?;
    if !rlimits.is_empty() {
        steps.push(Step::Rlimits(rlimits));
    }

    let capabilities = capabilities::compile(process.capabilities().as_ref());
    steps.push(Step::BoundingSet(capabilities.bounding));
    steps.push(Step::Groups(user.additional_gids().clone().unwrap_or_default()));
    steps.push(Step::Ids { uid: user.uid(), gid: user.gid() });
    let seccomp = options.seccomp.clone().map(Step::Seccomp);
    if process.no_new_privileges() == Some(true) {
        steps.push(Step::Capabilities(capabilities));
        steps.push(Step::NoNewPrivileges);
        steps.extend(seccomp);
    } else {
        steps.extend(seccomp);
        steps.push(Step::Capabilities(capabilities));
    }
    Ok(())
}

fn security_labels(process: &Process, steps: &mut Vec<Step>) -> Result<(), CompileError> {
    let mut label = |field: &str, text: &Option<String>, prefix: &str, files: &[&str]| {
        let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else { return Ok(()) };
        if text.contains(['\0', '\n']) {
            return Err(CompileError::invalid(field, text, "with a NUL or a line feed"));
        }
        steps.push(Step::SecurityLabel(SecurityLabel {
            files: files.iter().map(|&file| file.to_owned()).collect(),
            value: format!("{prefix}{text}").into_bytes(),
        }));
        Ok(())
    };
    // `attr/exec` belongs to whichever module came first; AppArmor has its own file since Linux 5.8.
    label("process.apparmorProfile", process.apparmor_profile(), "exec ", &["apparmor/exec", "exec"])?;
    label("process.selinuxLabel", process.selinux_label(), "", &["exec"])
}

fn rlimit(limit: &PosixRlimit) -> Result<Rlimit, CompileError> {
    // The kernel's numbers (`asm-generic/resource.h`); the C libraries disagree about the constants' type.
    let resource = match limit.typ() {
        PosixRlimitType::RlimitCpu => 0,
        PosixRlimitType::RlimitFsize => 1,
        PosixRlimitType::RlimitData => 2,
        PosixRlimitType::RlimitStack => 3,
        PosixRlimitType::RlimitCore => 4,
        PosixRlimitType::RlimitRss => 5,
        PosixRlimitType::RlimitNproc => 6,
        PosixRlimitType::RlimitNofile => 7,
        PosixRlimitType::RlimitMemlock => 8,
        PosixRlimitType::RlimitAs => 9,
        PosixRlimitType::RlimitLocks => 10,
        PosixRlimitType::RlimitSigpending => 11,
        PosixRlimitType::RlimitMsgqueue => 12,
        PosixRlimitType::RlimitNice => 13,
        PosixRlimitType::RlimitRtprio => 14,
        PosixRlimitType::RlimitRttime => 15,
    };
    if limit.soft() > limit.hard() {
        return Err(CompileError::invalid(
            "process.rlimits",
            limit.typ().to_string(),
            "soft above hard limit",
        ));
    }
    Ok(Rlimit { resource, soft: limit.soft(), hard: limit.hard() })
}

pub(super) fn program(process: &Process, options: &Options) -> Result<Program, CompileError> {
    let text = |field: &str, list: &[Vec<u8>]| match list.iter().find(|text| text.contains(&0)) {
        Some(text) => Err(CompileError::invalid(field, String::from_utf8_lossy(text), "with a NUL")),
        None => Ok(()),
    };
    let bytes = |list: &Option<Vec<String>>| -> Vec<Vec<u8>> {
        list.iter().flatten().map(|text| text.clone().into_bytes()).collect()
    };
    let arguments = bytes(process.args());
    if arguments.first().is_none_or(Vec::is_empty) {
        return Err(CompileError::missing("process.args"));
    }
    let environment = options.environment.clone().unwrap_or_else(|| bytes(process.env()));
    text("process.args", &arguments)?;
    text("process.env", &environment)?;
    let executable = options.executable.map_or(Executable::Lookup, Executable::Descriptor);
    Ok(Program { executable, arguments, environment, signals: options.signals })
}
