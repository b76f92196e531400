//! The profile of `RuntimeDefault`, by reason.
//!
//! In effect it is the default profile of moby (github.com/moby/profiles, mid 2026), which containerd and CRI-O follow
//! too: what runs under theirs runs under ours, and the other way round (F-68). What is not listed is refused with
//! EPERM. Left out for being dangerous: keys (no namespace), kexec, swap, the clock, module loading, `userfaultfd`,
//! io_uring, and everything that makes namespaces or mounts without CAP_SYS_ADMIN.

use super::Profile;
use super::profile::{ArchEntry, Argument, Conditions, Syscalls};

/// Opening, closing and duplicating files. What may be opened is decided by permissions, capabilities and mounts.
#[rustfmt::skip]
const FILES_OPEN: &[&str] = &[
    "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3", "fcntl", "fcntl64", "flock",
    "name_to_handle_at", "open", "openat", "openat2", "pipe", "pipe2",
];

/// Reading and writing what is open.
#[rustfmt::skip]
const FILES_CONTENT: &[&str] = &[
    "_llseek", "cachestat", "fadvise64", "fadvise64_64", "fallocate", "fdatasync", "fsync", "ftruncate",
    "ftruncate64", "ioctl", "lseek", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2",
    "read", "readahead", "readv", "sendfile", "sendfile64", "splice", "sync", "sync_file_range", "syncfs",
    "tee", "truncate", "truncate64", "vmsplice", "write", "writev",
];

/// Names and attributes of files.
#[rustfmt::skip]
const FILES_TREE: &[&str] = &[
    "access", "chdir", "chmod", "chown", "chown32", "faccessat", "faccessat2", "fchdir", "fchmod",
    "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat", "fgetxattr", "flistxattr", "fremovexattr",
    "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "futimesat", "getcwd", "getdents",
    "getdents64", "getxattr", "getxattrat", "lchown", "lchown32", "lgetxattr", "link", "linkat",
    "listxattr", "listxattrat", "llistxattr", "lremovexattr", "lsetxattr", "lstat", "lstat64", "mkdir",
    "mkdirat", "mknod", "mknodat", "newfstatat", "readlink", "readlinkat", "removexattr", "removexattrat",
    "rename", "renameat", "renameat2", "rmdir", "setxattr", "setxattrat", "stat", "stat64", "statfs",
    "statfs64", "statx", "symlink", "symlinkat", "umask", "unlink", "unlinkat", "utime", "utimensat",
    "utimensat_time64", "utimes",
];

/// Looking at the mounts of the own namespace; changing them needs CAP_SYS_ADMIN.
#[rustfmt::skip]
const MOUNTS_SEEN: &[&str] = &[
    "listmount", "statmount",
];

/// Waiting for files and being told of changes. `fanotify_init`, without which there is nothing to mark, needs CAP_SYS_ADMIN.
#[rustfmt::skip]
const WATCHES: &[&str] = &[
    "_newselect", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "fanotify_mark",
    "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "poll", "ppoll",
    "ppoll_time64", "pselect6", "pselect6_time64", "select",
];

/// The older asynchronous I/O. io_uring is left out: it does much of what a filter forbids without making calls.
#[rustfmt::skip]
const ASYNCHRONOUS: &[&str] = &[
    "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup",
    "io_submit",
];

/// The own address space.
#[rustfmt::skip]
const MEMORY: &[&str] = &[
    "brk", "get_thread_area", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret",
    "mincore", "mlock", "mlock2", "mlockall", "mmap", "mmap2", "mprotect", "mremap", "mseal", "msync",
    "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "remap_file_pages",
    "set_thread_area",
];

/// Making, awaiting and ending processes and threads. `clone` has conditions of its own.
#[rustfmt::skip]
const PROCESSES: &[&str] = &[
    "execve", "execveat", "exit", "exit_group", "fork", "pidfd_open", "pidfd_send_signal", "prctl",
    "process_mrelease", "rseq", "set_tid_address", "vfork", "wait4", "waitid", "waitpid",
];

/// Who a process is; changes need capabilities.
#[rustfmt::skip]
const IDENTITY: &[&str] = &[
    "capget", "capset", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups",
    "getgroups32", "getpgid", "getpgrp", "getpid", "getppid", "getresgid", "getresgid32", "getresuid",
    "getresuid32", "getsid", "gettid", "getuid", "getuid32", "setfsgid", "setfsgid32", "setfsuid",
    "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32", "setpgid", "setregid", "setregid32",
    "setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setsid", "setuid",
    "setuid32",
];

/// Signals, within what permissions and the PID namespace allow.
#[rustfmt::skip]
const SIGNALS: &[&str] = &[
    "alarm", "kill", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo", "sigaltstack", "signalfd", "signalfd4", "sigprocmask", "sigreturn", "tgkill",
    "tkill",
];

/// Priorities and limits; raising them needs capabilities.
#[rustfmt::skip]
const SCHEDULING: &[&str] = &[
    "getcpu", "getpriority", "getrlimit", "getrusage", "ioprio_get", "ioprio_set", "prlimit64",
    "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
    "sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_rr_get_interval_time64",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
    "setpriority", "setrlimit", "times", "ugetrlimit",
];

/// Reading and awaiting time. `adjtimex` reads without CAP_SYS_TIME and is refused by the kernel otherwise.
#[rustfmt::skip]
const TIME: &[&str] = &[
    "adjtimex", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64", "clock_gettime",
    "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "getitimer", "gettimeofday",
    "nanosleep", "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
    "timer_gettime64", "timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime",
    "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
];

/// Waiting for other threads.
#[rustfmt::skip]
const SYNCHRONISATION: &[&str] = &[
    "futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake", "get_robust_list",
    "set_robust_list",
];

/// Sockets that exist; `socket` has conditions of its own. i386 reaches all of it through `socketcall`.
#[rustfmt::skip]
const SOCKETS: &[&str] = &[
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recv",
    "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto",
    "setsockopt", "shutdown", "socketcall", "socketpair",
];

/// System V and POSIX messages, semaphores and shared memory of the own IPC namespace.
#[rustfmt::skip]
const SYSTEM_V: &[&str] = &[
    "ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64",
    "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl",
    "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt", "shmget",
];

/// A process may only give up rights with these.
#[rustfmt::skip]
const SANDBOXING: &[&str] = &[
    "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp",
];

/// Facts of the system and randomness. `uretprobe` is what the kernel itself plants in a probed program.
#[rustfmt::skip]
const INFORMATION: &[&str] = &[
    "getrandom", "riscv_hwprobe", "sysinfo", "uname", "uretprobe",
];

/// Looking into other processes, within what `ptrace` access checks allow. Kernels before 4.8 let a tracer slip past
/// the filter; none of them is supported.
const INSPECTION: &[&str] = &["process_vm_readv", "process_vm_writev", "ptrace"];

const ALWAYS: [&[&str]; 18] = [
    FILES_OPEN,
    FILES_CONTENT,
    FILES_TREE,
    MOUNTS_SEEN,
    WATCHES,
    ASYNCHRONOUS,
    MEMORY,
    PROCESSES,
    IDENTITY,
    SIGNALS,
    SCHEDULING,
    TIME,
    SYNCHRONISATION,
    SOCKETS,
    SYSTEM_V,
    SANDBOXING,
    INFORMATION,
    INSPECTION,
];

/// Calls that a capability opens. Without it the kernel refuses them anyway, mostly; a filter that says so first keeps
/// code in which faults were found again and again out of reach.
const WITH_CAPABILITY: [(&str, &[&str]); 14] = [
    ("CAP_DAC_READ_SEARCH", &["open_by_handle_at"]),
    (
        "CAP_SYS_ADMIN",
        &[
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "lsm_get_self_attr",
            "lsm_list_modules",
            "lsm_set_self_attr",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    ("CAP_SYS_BOOT", &["reboot"]),
    ("CAP_SYS_CHROOT", &["chroot"]),
    ("CAP_SYS_MODULE", &["delete_module", "finit_module", "init_module"]),
    ("CAP_SYS_PACCT", &["acct"]),
    ("CAP_SYS_PTRACE", &["kcmp", "pidfd_getfd", "process_madvise"]),
    ("CAP_SYS_RAWIO", &["ioperm", "iopl"]),
    ("CAP_SYS_TIME", &["clock_settime", "clock_settime64", "settimeofday", "stime"]),
    ("CAP_SYS_TTY_CONFIG", &["vhangup"]),
    ("CAP_SYS_NICE", &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    ("CAP_SYSLOG", &["syslog"]),
    ("CAP_BPF", &["bpf"]),
    ("CAP_PERFMON", &["perf_event_open"]),
];

/// Calls of one machine, for the architectures whose programs run there.
const WITH_ARCH: [(&[&str], &[&str]); 3] = [
    (
        &["arm", "arm64"],
        &[
            "arm_fadvise64_64",
            "arm_sync_file_range",
            "breakpoint",
            "cacheflush",
            "set_tls",
            "sync_file_range2",
        ],
    ),
    (&["amd64", "x32"], &["arch_prctl"]),
    (&["amd64", "x32", "x86"], &["modify_ldt"]),
];

/// Socket families below this are old and whole: Unix, IPv4, IPv6, the amateur radio ones.
const SOCKET_FAMILIES_BELOW: u64 = 12;
/// Families above it that are allowed. Missing: DECnet, Econet, ATM SVC, IrDA, Wanpipe, ISDN, CAIF for their age;
/// ALG (38), a way into the crypto code that no container needs; VSOCK (40), which has no namespaces and reaches the
/// hypervisor.
const SOCKET_FAMILIES: [u64; 24] =
    [13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44];
/// MCTP, the newest family the list knows.
const SOCKET_FAMILY_LAST: u64 = 45;

/// `personality` may ask (0xffffffff) and choose Linux (0), 32-bit Linux (8), either with UNAME26 (0x20000). Others
/// switch off address space randomisation.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// `CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}`.
const NAMESPACES: u64 = 0x7e02_0000;

/// The profile of `RuntimeDefault`.
pub fn runtime_default() -> Profile {
    let mut syscalls = vec![allow(&ALWAYS.concat())];
    syscalls.push(with_argument("socket", "SCMP_CMP_LT", SOCKET_FAMILIES_BELOW));
    for family in SOCKET_FAMILIES.into_iter().chain([SOCKET_FAMILY_LAST]) {
        syscalls.push(with_argument("socket", "SCMP_CMP_EQ", family));
    }
    for personality in PERSONALITIES {
        syscalls.push(with_argument("personality", "SCMP_CMP_EQ", personality));
    }
    for (arches, names) in WITH_ARCH {
        let arches = Some(arches.iter().map(ToString::to_string).collect());
        syscalls.push(Syscalls {
            includes: Some(Conditions { arches, ..Conditions::default() }),
            ..allow(names)
        });
    }
    for (capability, names) in WITH_CAPABILITY {
        syscalls.push(Syscalls { includes: Some(capabilities(capability)), ..allow(names) });
    }
    // Threads and processes, no namespaces. clone3 hides its flags in memory, where a filter cannot look: ENOSYS makes
    // C libraries fall back on clone.
    let admin = || Some(capabilities("CAP_SYS_ADMIN"));
    syscalls.push(Syscalls { excludes: admin(), ..with_argument("clone", "SCMP_CMP_MASKED_EQ", NAMESPACES) });
    syscalls.push(Syscalls {
        action: "SCMP_ACT_ERRNO".to_owned(),
        errno_ret: Some(38),
        excludes: admin(),
        ..allow(&["clone3"])
    });
    let family = |architecture: &str, others: &[&str]| ArchEntry {
        architecture: architecture.to_owned(),
        sub_architectures: Some(others.iter().map(ToString::to_string).collect()),
    };
    Profile {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        default_errno_ret: Some(1),
        default_errno: None,
        arch_map: Some(vec![
            family("SCMP_ARCH_X86_64", &["SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
            family("SCMP_ARCH_AARCH64", &["SCMP_ARCH_ARM"]),
        ]),
        architectures: None,
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls: Some(syscalls),
    }
}

fn allow(names: &[&str]) -> Syscalls {
    Syscalls {
        names: names.iter().map(ToString::to_string).collect(),
        action: "SCMP_ACT_ALLOW".to_owned(),
        ..Syscalls::default()
    }
}

/// Allowed if the first argument compares so; a masked comparison is with 0.
fn with_argument(name: &str, op: &str, value: u64) -> Syscalls {
    let argument = Argument { index: 0, value, value_two: 0, op: op.to_owned() };
    Syscalls { args: Some(vec![argument]), ..allow(&[name]) }
}

fn capabilities(name: &str) -> Conditions {
    Conditions { caps: Some(vec![name.to_owned()]), ..Conditions::default() }
}
