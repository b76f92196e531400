//! System calls of aarch64.

pub const RT_SIGPROCMASK: usize = 135;
pub const WAIT4: usize = 260;
pub const RT_SIGTIMEDWAIT: usize = 137;
pub const EXIT_GROUP: usize = 94;

/// Enters the kernel; a negative result is an errno.
///
/// # Safety
/// Pointers among the arguments are valid for what the call does with them.
#[inline(always)]
pub unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result;
    // SAFETY: the registers are those of the kernel's calling convention, which overwrites no other.
    unsafe {
        core::arch::asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d,
            options(nostack));
    }
    result
}
