//! System calls of x86_64.

pub const RT_SIGPROCMASK: usize = 14;
pub const WAIT4: usize = 61;
pub const RT_SIGTIMEDWAIT: usize = 128;
pub const EXIT_GROUP: usize = 231;

/// Enters the kernel; a negative result is an errno.
///
/// # Safety
/// Pointers among the arguments are valid for what the call does with them.
#[inline(always)]
pub unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result;
    // SAFETY: the registers are those of the kernel's calling convention; it overwrites rcx and r11.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}
