//! The infra container of a pod: the process that holds its namespaces, and process 1 where the pod shares a PID
//! namespace.
//!
//! It reaps whatever is orphaned to it and ends with 0 on `SIGTERM` and `SIGINT`. It has no options and prints
//! nothing: every page of it is resident once per pod. No libc, no writable data, two pages of memory.

#![no_std]
#![no_main]

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod syscall;

use syscall::{EXIT_GROUP, RT_SIGPROCMASK, RT_SIGTIMEDWAIT, WAIT4, call};

const SIGINT: usize = 2;
const SIGTERM: usize = 15;
const SIGCHLD: usize = 17;
const SIG_BLOCK: usize = 0;
const WNOHANG: usize = 1;
const __WALL: usize = 0x4000_0000;
const ANY_CHILD: usize = usize::MAX;
const EINTR: isize = -4;

/// Bit of a signal in the kernel's signal set.
const fn bit(signal: usize) -> u64 {
    1 << (signal - 1)
}

/// What it waits for. Blocked first: as process 1 of a PID namespace it would never see a signal that is neither
/// handled nor blocked, and one sent before it is blocked is lost (its parent therefore starts it with all blocked).
static WAITED: u64 = bit(SIGINT) | bit(SIGTERM) | bit(SIGCHLD);

/// Entered by the kernel; there is nobody to return to.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    let set = &raw const WAITED as usize;
    // SAFETY: `set` points to a signal set of eight bytes; the old mask is not asked for.
    unsafe { call(RT_SIGPROCMASK, SIG_BLOCK, set, 0, size_of::<u64>()) };
    loop {
        // SAFETY: `set` as above; neither details nor a timeout are given.
        match unsafe { call(RT_SIGTIMEDWAIT, set, 0, 0, size_of::<u64>()) } {
            CHILD => reap(),
            EINTR => {}
            // SIGTERM or SIGINT, or a kernel that cannot wait: do not spin.
            // SAFETY: exit_group takes an integer and does not return.
            _ => unsafe {
                call(EXIT_GROUP, 0, 0, 0, 0);
            },
        }
    }
}

const CHILD: isize = SIGCHLD as isize;

/// Takes every ended child off the process table; one SIGCHLD can stand for many of them.
fn reap() {
    // SAFETY: neither status nor usage are asked for.
    while unsafe { call(WAIT4, ANY_CHILD, 0, WNOHANG | __WALL, 0) } > 0 {}
}

/// Nothing here can panic; the language asks for the function all the same.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
