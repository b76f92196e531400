use std::collections::BTreeSet;

use oci_spec::runtime::LinuxSeccomp;
use proptest::prelude::*;

use super::interpret::{Call, answer, run};
use super::*;

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILL_PROCESS: u32 = 0x8000_0000;

fn context(capabilities: &[&str], native: Arch) -> Context {
    Context {
        capabilities: capabilities.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
        native,
        kernel: KernelVersion { major: 6, minor: 1 },
    }
}

fn default_policy(capabilities: &[&str], native: Arch) -> Policy {
    runtime_default().resolve(&context(capabilities, native)).unwrap()
}

fn resolve(json: &str) -> Result<Policy> {
    Profile::parse(json.as_bytes())?.resolve(&context(&[], Arch::X86_64))
}

/// The answer to a call by name.
fn ask(policy: &Policy, arch: Arch, name: &str, arguments: [u64; 6]) -> u32 {
    let native = if matches!(arch, Arch::Aarch64 | Arch::Arm) { Arch::Aarch64 } else { Arch::X86_64 };
    let program = policy.compile(native).unwrap().program;
    run(&program, Call { arch: arch.audit(), number: arch.number(name).unwrap(), arguments })
}

#[test]
fn the_default_profile_names_as_many_calls_as_its_model() {
    let policy = default_policy(
        &[
            "CAP_DAC_READ_SEARCH",
            "CAP_SYS_ADMIN",
            "CAP_SYS_BOOT",
            "CAP_SYS_CHROOT",
            "CAP_SYS_MODULE",
            "CAP_SYS_PACCT",
            "CAP_SYS_PTRACE",
            "CAP_SYS_RAWIO",
            "CAP_SYS_TIME",
            "CAP_SYS_TTY_CONFIG",
            "CAP_SYS_NICE",
        ],
        Arch::X86_64,
    );
    let names: BTreeSet<&String> = policy.rules.iter().flat_map(|rule| &rule.names).collect();
    // 361 always, ptrace and friends, socket, personality, two of the architecture, and 47 by capability.
    assert_eq!(names.len(), 361 + 3 + 2 + 2 + 47);
}

#[test]
fn the_default_profile_answers_as_documented() {
    let none = default_policy(&[], Arch::X86_64);
    let admin = default_policy(&["CAP_SYS_ADMIN"], Arch::X86_64);
    let first = |value| [value, 0, 0, 0, 0, 0];
    let new_user = 0x1000_0000;
    let table = [
        (&none, "read", first(0), ALLOW),
        (&none, "ptrace", first(0), ALLOW),
        (&none, "mount", first(0), EPERM),
        (&admin, "mount", first(0), ALLOW),
        (&none, "io_uring_setup", first(0), EPERM),
        (&none, "keyctl", first(0), EPERM),
        (&none, "arch_prctl", first(0), ALLOW),
        (&none, "clone", first(0x0120_0011), ALLOW),
        (&none, "clone", first(new_user), EPERM),
        (&admin, "clone", first(new_user), ALLOW),
        (&none, "clone3", first(0), ENOSYS),
        (&admin, "clone3", first(0), ALLOW),
        (&none, "unshare", first(new_user), EPERM),
        (&none, "socket", first(1), ALLOW),
        (&none, "socket", first(2), ALLOW),
        (&none, "socket", first(16), ALLOW),
        (&none, "socket", first(38), EPERM),
        (&none, "socket", first(40), EPERM),
        (&none, "socket", first(45), ALLOW),
        (&none, "socket", first(46), EPERM),
        (&none, "socket", first(1 << 32 | 1), EPERM),
        (&none, "personality", first(0xffff_ffff), ALLOW),
        (&none, "personality", first(0x004_0000), EPERM),
    ];
    for (policy, name, arguments, expected) in table {
        assert_eq!(ask(policy, Arch::X86_64, name, arguments), expected, "{name} {arguments:x?}");
    }
}

#[test]
fn programs_of_the_other_abis_of_the_machine_run_under_the_same_profile() {
    let policy = default_policy(&[], Arch::X86_64);
    for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
        assert_eq!(ask(&policy, arch, "openat", [0; 6]), ALLOW, "{arch:?}");
        assert_eq!(ask(&policy, arch, "mount", [0; 6]), EPERM, "{arch:?}");
    }
    let policy = default_policy(&[], Arch::Aarch64);
    for arch in [Arch::Aarch64, Arch::Arm] {
        assert_eq!(ask(&policy, arch, "openat", [0; 6]), ALLOW, "{arch:?}");
        assert_eq!(ask(&policy, arch, "mount", [0; 6]), EPERM, "{arch:?}");
    }
    assert_eq!(ask(&policy, Arch::Arm, "set_tls", [0; 6]), ALLOW);
}

#[test]
fn a_foreign_abi_is_killed() {
    let policy = resolve(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
    let program = policy.compile(Arch::X86_64).unwrap().program;
    let at = |arch, number| run(&program, Call { arch, number, arguments: [0; 6] });
    assert_eq!(at(X86_64, 1), ALLOW);
    assert_eq!(at(X86, 1), KILL_PROCESS);
    assert_eq!(at(X86_64, 0x4000_0001), KILL_PROCESS);
    assert_eq!(at(X86_64, u32::MAX), ALLOW);
}

#[test]
fn a_call_newer_than_the_profile_answers_enosys_so_that_libraries_fall_back() {
    let policy = default_policy(&[], Arch::X86_64);
    let program = policy.compile(Arch::X86_64).unwrap().program;
    let at = |arch, number| run(&program, Call { arch, number, arguments: [0; 6] });
    for arch in [X86_64, X86] {
        assert_eq!(at(arch, 999), ENOSYS);
    }
    assert_eq!(at(X86_64, 0x4000_0000 + 999), ENOSYS);
    assert_eq!(at(X86_64, u32::MAX), EPERM);
    // A hole between two known numbers is no newer call.
    assert_eq!(at(X86_64, 400), EPERM);
}

#[test]
fn a_rule_without_conditions_decides_whatever_the_others_say() {
    let policy = resolve(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["ioctl"], "action": "SCMP_ACT_LOG", "args": [{"index": 1, "value": 5, "op": "SCMP_CMP_EQ"}]},
            {"names": ["ioctl", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
        ]}"#,
    )
    .unwrap();
    assert_eq!(ask(&policy, Arch::X86_64, "ioctl", [0, 5, 0, 0, 0, 0]), ALLOW);
}

#[test]
fn two_conditions_on_one_argument_are_alternatives() {
    let policy = resolve(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 1, "value": 5, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 7, "op": "SCMP_CMP_EQ"}]}]}"#,
    )
    .unwrap();
    let with = |value| ask(&policy, Arch::X86_64, "ioctl", [0, value, 0, 0, 0, 0]);
    assert_eq!((with(5), with(6), with(7)), (ALLOW, EPERM, ALLOW));
}

#[test]
fn conditions_on_the_container_are_decided() {
    let json = r#"{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_S390X", "subArchitectures": null}],
        "syscalls": [
            {"names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.1"}},
            {"names": ["b"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.2"}},
            {"names": ["c"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF", "CAP_SYSLOG"]}},
            {"names": ["d"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_BPF"]}},
            {"names": ["e"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["f"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["arm64"]}}
        ]}"#;
    let profile = Profile::parse(json.as_bytes()).unwrap();
    let names = |capabilities: &[&str], native| -> String {
        let policy = profile.resolve(&context(capabilities, native)).unwrap();
        policy.rules.into_iter().flat_map(|rule| rule.names).collect()
    };
    assert_eq!(names(&[], Arch::X86_64), "adf");
    assert_eq!(names(&["CAP_BPF"], Arch::X86_64), "af");
    assert_eq!(names(&["CAP_BPF", "CAP_SYSLOG"], Arch::X86_64), "acf");
    assert_eq!(names(&[], Arch::Aarch64), "ade");
    let policy = profile.resolve(&context(&[], Arch::X86_64)).unwrap();
    assert_eq!(policy.architectures, [Arch::X86_64, Arch::X86]);
}

#[test]
fn a_wrong_profile_is_refused_for_its_reason() {
    let with = |syscalls: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{syscalls}]}}"#);
    let table = [
        ("not json".to_owned(), "read seccomp profile"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "sycalls": []}"#.to_owned(), "read seccomp profile"),
        (r#"{"defaultAction": "ALLOW"}"#.to_owned(), "use seccomp action \"ALLOW\""),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["X"]}"#.to_owned(),
            "use seccomp architecture \"X\"",
        ),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}"#.to_owned(), "use seccomp flag \"X\""),
        (with(r#"{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}"#), "use seccomp action SCMP_ACT_NOTIFY"),
        (with(r#"{"names": [], "action": "SCMP_ACT_LOG"}"#), "use seccomp rule 0"),
        (
            with(r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096}"#),
            "use seccomp errno 4096",
        ),
        (
            with(r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "EIO"}"#),
            "use seccomp errno \"EIO\"",
        ),
        (
            with(
                r#"{"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}"#,
            ),
            "use seccomp argument index 6 of read",
        ),
        (
            with(
                r#"{"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 0, "op": "EQ"}]}"#,
            ),
            "use seccomp comparison \"EQ\"",
        ),
        (
            with(r#"{"names": ["read"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "new"}}"#),
            "use seccomp minKernel \"new\"",
        ),
    ];
    for (json, expected) in table {
        let error = resolve(&json).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{json}: {error}");
    }
}

#[test]
fn a_policy_survives_the_oci_form() {
    let mut policy = default_policy(&["CAP_SYS_ADMIN"], Arch::X86_64);
    policy.flags = 0b110;
    let oci = LinuxSeccomp::from(&policy);
    let json = serde_json::to_string(&oci).unwrap();
    let read: LinuxSeccomp = serde_json::from_str(&json).unwrap();
    assert_eq!(Policy::try_from(&read).unwrap(), policy);
}

#[test]
fn the_program_fits_and_is_a_tree() {
    let program = default_policy(&[], Arch::X86_64).compile(Arch::X86_64).unwrap().program;
    assert!(program.len() < 1400, "{} instructions", program.len());
    // Two loads, two jumps for the architecture, then twice the logarithm of the ranges.
    let steps = |number: u32| {
        let (mut at, mut steps) = (0usize, 0);
        loop {
            let instruction = program[at];
            at += 1;
            steps += 1;
            match instruction.code {
                0x06 => return steps,
                0x05 => at += instruction.k as usize,
                0x15 => {
                    at += usize::from(if X86_64 == instruction.k { instruction.jt } else { instruction.jf })
                }
                0x35 => {
                    at += usize::from(if number >= instruction.k { instruction.jt } else { instruction.jf })
                }
                _ => {}
            }
        }
    };
    for number in 0..500 {
        assert!(
            number == 41 || number == 56 || number == 135 || steps(number) <= 24,
            "{number}: {}",
            steps(number)
        );
    }
}

fn condition() -> impl Strategy<Value = Condition> {
    let value = || prop_oneof![0u64..4, Just(u64::from(u32::MAX)), Just(1 << 32), any::<u64>()];
    let compare = (0u8..7, value(), value()).prop_map(|(kind, value, second)| match kind {
        0 => Compare::NotEqual(value),
        1 => Compare::Less(value),
        2 => Compare::LessOrEqual(value),
        3 => Compare::Equal(value),
        4 => Compare::GreaterOrEqual(value),
        5 => Compare::Greater(value),
        _ => Compare::Masked { mask: value, value: second & value },
    });
    (0u8..6, compare).prop_map(|(argument, compare)| Condition { argument, compare })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::KillProcess),
        Just(Action::KillThread),
        Just(Action::Trap),
        (0u16..4096).prop_map(Action::Errno),
        (0u16..4096).prop_map(Action::Trace),
        Just(Action::Log),
        Just(Action::Allow),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let names: Vec<&'static str> = {
        let mut names: Vec<_> = super::arch::names().collect();
        names.sort_unstable();
        names
    };
    let few = ["read", "write", "ioctl", "clone", "set_tls", "no_such_call"];
    let name = prop_oneof![proptest::sample::select(names), proptest::sample::select(few.to_vec())];
    let rule = (
        proptest::collection::vec(name.prop_map(str::to_owned), 1..40),
        action(),
        proptest::collection::vec(condition(), 0..4),
    )
        .prop_map(|(names, action, conditions)| Rule { names, action, conditions });
    let arches = proptest::sample::subsequence(
        vec![Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm],
        0..=5,
    );
    (action(), arches, proptest::collection::vec(rule, 0..6))
        .prop_map(|(default, architectures, rules)| Policy { default, architectures, rules, flags: 0 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Over every number of every ABI and the numbers beyond, with arguments near the conditions' values.
    #[test]
    fn the_program_answers_as_the_policy_says(
        policy in policy(),
        arm in any::<bool>(),
        arguments in proptest::array::uniform6(prop_oneof![0u64..4, Just(u64::from(u32::MAX)), Just(1 << 32), any::<u64>()]),
    ) {
        let native = if arm { Arch::Aarch64 } else { Arch::X86_64 };
        let program = match policy.compile(native) {
            Ok(filter) => filter.program,
            Err(Error::TooLong(_)) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let near = policy.rules.iter().flat_map(|rule| &rule.conditions).map(|condition| condition.compare);
        let mut given = vec![arguments];
        for compare in near {
            let value = match compare {
                Compare::NotEqual(v) | Compare::Less(v) | Compare::LessOrEqual(v) | Compare::Equal(v)
                | Compare::GreaterOrEqual(v) | Compare::Greater(v) => v,
                Compare::Masked { value, .. } => value,
            };
            given.push([value; 6]);
            given.push([value.wrapping_add(1); 6]);
            given.push([value.wrapping_sub(1); 6]);
        }
        let numbers = (0..480u32).chain([999, 0x3fff_ffff, u32::MAX, 0x8000_0000]).chain(0x4000_0000..0x4000_0230)
            .chain(0xf0000..0xf0008);
        let named = |number| policy.rules.iter().flat_map(|rule| &rule.names).any(|name| {
            [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm].iter().any(|arch| arch.number(name) == Some(number))
        });
        for number in numbers {
            // Arguments matter to calls that have rules.
            let given = if named(number) { &given[..] } else { &given[..1] };
            for arch in [X86_64, X86, 0xc000_00b7, 0x4000_0028, 0x1234] {
                for &arguments in given {
                    let call = Call { arch, number, arguments };
                    prop_assert_eq!(run(&program, call), answer(&policy, native, call), "{:x?}", call);
                }
            }
        }
    }
}
