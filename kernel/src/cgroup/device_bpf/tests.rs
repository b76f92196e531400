use proptest::prelude::*;

use super::*;

/// What a process asks for.
#[derive(Debug, Clone, Copy)]
struct Request {
    kind: i32,
    major: u32,
    minor: u32,
    access: i32,
}

/// Runs a program as the kernel would, for the instructions the generator uses.
fn run(program: &[Instruction], request: Request) -> u32 {
    let context = [(request.access << 16 | request.kind) as u32, request.major, request.minor];
    let mut registers = [0u32; 11];
    let mut at = 0usize;
    while let Some(&instruction) = program.get(at) {
        let Instruction { code, registers: names, offset, immediate } = instruction;
        let (destination, source) = (usize::from(names & 15), usize::from(names >> 4));
        at += 1;
        let mut jump_if = |condition: bool| {
            if condition {
                at += usize::try_from(offset).expect("only forward jumps, so every program ends");
            }
        };
        match code {
            LOAD_WORD => registers[destination] = context[offset as usize / 4],
            MOVE_32 => registers[destination] = registers[source],
            MOVE_64_K => registers[destination] = immediate as u32,
            AND_32_K => registers[destination] &= immediate as u32,
            SHIFT_RIGHT_32_K => registers[destination] >>= immediate,
            JUMP_EQUAL_32_K => jump_if(registers[destination] == immediate as u32),
            JUMP_NOT_EQUAL_32_K => jump_if(registers[destination] != immediate as u32),
            EXIT => return registers[0],
            other => panic!("unknown operation {other:#x}"),
        }
    }
    panic!("the program runs past its end");
}

/// The rule of the documentation, access by access.
fn allowed(rules: &[DeviceRule], request: Request) -> bool {
    [ACCESS_MKNOD, ACCESS_READ, ACCESS_WRITE].into_iter().filter(|bit| request.access & bit != 0).all(|bit| {
        let decides = |rule: &&DeviceRule| {
            let kind = match rule.kind {
                DeviceKind::All => true,
                DeviceKind::Block => request.kind == KIND_BLOCK,
                DeviceKind::Char => request.kind == KIND_CHAR,
            };
            kind && rule.major.is_none_or(|major| major == request.major)
                && rule.minor.is_none_or(|minor| minor == request.minor)
                && bits(rule.access) & bit != 0
        };
        rules.iter().rev().find(decides).is_some_and(|rule| rule.allow)
    })
}

fn rule(allow: bool, kind: DeviceKind, major: u32, minor: Option<u32>, access: &str) -> DeviceRule {
    DeviceRule { allow, kind, major: Some(major), minor, access: Access::parse(access).unwrap() }
}

#[test]
fn a_container_reads_null_and_no_disk() {
    let rules = [DeviceRule::DENY_ALL, rule(true, DeviceKind::Char, 1, Some(3), "rwm")];
    let program = device_program(&rules);
    let null = Request { kind: KIND_CHAR, major: 1, minor: 3, access: ACCESS_READ | ACCESS_WRITE };
    assert_eq!(run(&program, null), 1);
    assert_eq!(run(&program, Request { kind: KIND_BLOCK, ..null }), 0);
    assert_eq!(run(&program, Request { minor: 4, ..null }), 0);
    assert_eq!(run(&program, Request { kind: KIND_BLOCK, major: 254, minor: 0, access: ACCESS_READ }), 0);
}

#[test]
fn accesses_allowed_by_two_rules_are_allowed_together() {
    let rules = [
        DeviceRule::DENY_ALL,
        rule(true, DeviceKind::Char, 10, Some(200), "r"),
        rule(true, DeviceKind::Char, 10, None, "w"),
    ];
    let program = device_program(&rules);
    let ask = |access| run(&program, Request { kind: KIND_CHAR, major: 10, minor: 200, access });
    assert_eq!(ask(ACCESS_READ | ACCESS_WRITE), 1);
    assert_eq!(ask(ACCESS_READ | ACCESS_WRITE | ACCESS_MKNOD), 0);
}

#[test]
fn without_rules_everything_is_denied_and_rules_before_a_catch_all_are_left_out() {
    let any = Request { kind: KIND_CHAR, major: 1, minor: 3, access: ACCESS_READ };
    assert_eq!(run(&device_program(&[]), any), 0);
    assert_eq!(run(&device_program(&[DeviceRule::ALLOW_ALL]), any), 1);
    let dead = device_program(&[rule(false, DeviceKind::Char, 1, None, "r"), DeviceRule::ALLOW_ALL]);
    assert_eq!(dead, device_program(&[DeviceRule::ALLOW_ALL]));
}

fn some_rule() -> impl Strategy<Value = DeviceRule> {
    let kind = prop_oneof![Just(DeviceKind::All), Just(DeviceKind::Block), Just(DeviceKind::Char)];
    let number = || proptest::option::of(prop_oneof![0u32..3, Just(u32::MAX)]);
    let access = (1u8..8).prop_map(|n| Access { read: n & 1 != 0, write: n & 2 != 0, mknod: n & 4 != 0 });
    (any::<bool>(), kind, number(), number(), access)
        .prop_map(|(allow, kind, major, minor, access)| DeviceRule { allow, kind, major, minor, access })
}

proptest! {
    #[test]
    fn the_program_answers_as_the_rules_say(
        rules in proptest::collection::vec(some_rule(), 0..12),
        kind in 1i32..3,
        major in prop_oneof![0u32..3, Just(u32::MAX)],
        minor in prop_oneof![0u32..3, Just(u32::MAX)],
        access in 1i32..8,
    ) {
        let request = Request { kind, major, minor, access };
        prop_assert_eq!(run(&device_program(&rules), request) == 1, allowed(&rules, request));
    }
}
