//! Device rules as an eBPF program for cgroup v2 (`BPF_PROG_TYPE_CGROUP_DEVICE`). Pure.
//!
//! The kernel calls the program with what is asked for and takes 1 for yes. The program keeps the accesses nobody has
//! decided yet in a register and walks the rules from last to first, so that the last rule that speaks about an access
//! decides, access by access:
//!
//! ```text
//!     r2 = kind, r3 = accesses asked for, r4 = major, r5 = minor
//!     for each rule, last first:
//!         not my kind, major or minor?    next rule
//!         allow:  r3 &= !rule; all decided? return 1
//!         deny:   any of r3 in the rule?    return 0
//!     return 0
//! ```

use super::devices::{Access, DeviceKind, DeviceRule};

/// One eBPF instruction, `struct bpf_insn` of linux/bpf.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the low, source register in the high four bits.
    pub registers: u8,
    /// Jump distance counted from the next instruction, or offset in memory.
    pub offset: i16,
    /// Constant.
    pub immediate: i32,
}

// Operations: class | size or source | mode or operation.
pub(super) const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
pub(super) const MOVE_32: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
pub(super) const MOVE_64_K: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
pub(super) const AND_32_K: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
pub(super) const SHIFT_RIGHT_32_K: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
pub(super) const JUMP_EQUAL_32_K: u8 = 0x16; // BPF_JMP32 | BPF_JEQ | BPF_K
pub(super) const JUMP_NOT_EQUAL_32_K: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
pub(super) const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ASKED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

// Accesses and kinds, `enum` of linux/bpf.h.
const ACCESS_MKNOD: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;
const KIND_BLOCK: i32 = 1;
const KIND_CHAR: i32 = 2;

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: source << 4 | destination, offset, immediate }
}

/// The program for a list of rules. An access no rule speaks about is denied.
pub fn device_program(rules: &[DeviceRule]) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; }, access_type = access << 16 | kind.
    let mut program = vec![
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(MOVE_32, ASKED, KIND, 0, 0),
        instruction(AND_32_K, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT_32_K, ASKED, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let speaks_about_all = append(rule, &mut program);
        if speaks_about_all {
            // Nothing before this rule is reached; the verifier refuses programs with dead instructions.
            return program;
        }
    }
    program.extend(answer(0));
    program
}

fn answer(value: i32) -> [Instruction; 2] {
    [instruction(MOVE_64_K, RESULT, 0, 0, value), instruction(EXIT, 0, 0, 0, 0)]
}

/// Appends one rule; true if no access gets past it.
fn append(rule: &DeviceRule, program: &mut Vec<Instruction>) -> bool {
    let kind = match rule.kind {
        DeviceKind::All => None,
        DeviceKind::Block => Some(KIND_BLOCK),
        DeviceKind::Char => Some(KIND_CHAR),
    };
    let conditions: Vec<(u8, i32)> = [
        kind.map(|kind| (KIND, kind)),
        rule.major.map(|number| (MAJOR, number.cast_signed())),
        rule.minor.map(|number| (MINOR, number.cast_signed())),
    ]
    .into_iter()
    .flatten()
    .collect();
    if conditions.is_empty() && rule.access == Access::ALL {
        program.extend(answer(i32::from(rule.allow)));
        return true;
    }
    let bits = bits(rule.access);
    let body: Vec<Instruction> = if rule.allow {
        let [value, exit] = answer(1);
        vec![
            instruction(AND_32_K, ASKED, 0, 0, !bits),
            instruction(JUMP_NOT_EQUAL_32_K, ASKED, 0, 2, 0),
            value,
            exit,
        ]
    } else {
        let [value, exit] = answer(0);
        vec![
            instruction(MOVE_32, RESULT, ASKED, 0, 0),
            instruction(AND_32_K, RESULT, 0, 0, bits),
            instruction(JUMP_EQUAL_32_K, RESULT, 0, 2, 0),
            value,
            exit,
        ]
    };
    // At most three conditions before a body of five: the distance always fits.
    let mut distance = (conditions.len() + body.len()) as i16;
    for (register, value) in conditions {
        distance -= 1;
        program.push(instruction(JUMP_NOT_EQUAL_32_K, register, 0, distance, value));
    }
    program.extend(body);
    false
}

fn bits(access: Access) -> i32 {
    [(access.mknod, ACCESS_MKNOD), (access.read, ACCESS_READ), (access.write, ACCESS_WRITE)]
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, bit)| bit)
        .sum()
}

#[cfg(test)]
mod tests;
