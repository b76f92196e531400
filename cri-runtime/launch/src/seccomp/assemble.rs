//! Instructions of classic BPF (linux/filter.h) over `struct seccomp_data`.

use crate::plan::SockFilter;

/// Offsets in `struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; }`.
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

pub(super) const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(super) const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
pub(super) const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
pub(super) const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
pub(super) const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
pub(super) const JUMP_GREATER_OR_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
pub(super) const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// `BPF_MAXINSNS`.
pub(super) const MAX_LENGTH: usize = 4096;

pub(super) const fn statement(code: u16, k: u32) -> SockFilter {
    SockFilter { code, jt: 0, jf: 0, k }
}

pub(super) const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> SockFilter {
    SockFilter { code, jt, jf, k }
}

/// Offset of the low half of an argument; the high half follows. All architectures here are little endian.
pub(super) fn argument_low(index: u8) -> u32 {
    ARGUMENTS + 8 * u32::from(index)
}

/// `if accumulator <test> k { then } else { otherwise }`, where `otherwise` ends by returning. The distance of a
/// conditional jump has 8 bits; where that is not enough, an unconditional one with 32 bits does the rest.
pub(super) fn branch(
    test: u16,
    k: u32,
    then: Vec<SockFilter>,
    otherwise: Vec<SockFilter>,
) -> Vec<SockFilter> {
    let mut code = Vec::with_capacity(then.len() + otherwise.len() + 2);
    if let Ok(distance) = u8::try_from(otherwise.len()) {
        code.push(jump(test, k, distance, 0));
    } else {
        code.push(jump(test, k, 0, 1));
        // A program has at most 4096 instructions when it is accepted; a longer one is refused as a whole.
        code.push(statement(JUMP, u32::try_from(otherwise.len()).unwrap_or(u32::MAX)));
    }
    code.extend(otherwise);
    code.extend(then);
    code
}
