use std::collections::HashMap;

use super::*;

#[test]
fn every_row_is_whole() {
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words.len(), 1 + COLUMNS.len(), "{line}");
        let good = words[1..].iter().all(|word| *word == "-" || word.parse::<u32>().is_ok());
        assert!(good && words[1..].iter().any(|word| *word != "-"), "{line}");
    }
    assert!(table().len() > 480);
}

#[test]
fn a_number_is_one_call() {
    for arch in COLUMNS {
        let mut seen: HashMap<u32, &str> = HashMap::new();
        for name in names() {
            let Some(number) = arch.number(name) else { continue };
            if let Some(other) = seen.insert(number, name) {
                // 32-bit Arm has one call under two names.
                let twins = ["arm_sync_file_range", "sync_file_range2"];
                assert!(twins.contains(&name) && twins.contains(&other), "{arch:?} {number}: {name} {other}");
            }
        }
    }
}

#[test]
fn the_native_numbers_are_those_of_the_c_library() {
    let Some(native) = Arch::native() else { return };
    for (name, number) in [
        ("read", libc::SYS_read),
        ("execve", libc::SYS_execve),
        ("clone3", libc::SYS_clone3),
        ("openat2", libc::SYS_openat2),
        ("futex_waitv", libc::SYS_futex_waitv),
        ("bpf", libc::SYS_bpf),
        ("io_uring_setup", libc::SYS_io_uring_setup),
    ] {
        assert_eq!(native.number(name).map(i64::from), Some(number), "{name}");
    }
}

#[test]
fn architectures_differ() {
    assert_eq!(Arch::X86_64.number("write"), Some(1));
    assert_eq!(Arch::X86.number("write"), Some(4));
    assert_eq!(Arch::X32.number("write"), Some(0x4000_0001));
    assert_eq!(Arch::Aarch64.number("write"), Some(64));
    assert_eq!(Arch::Arm.number("set_tls"), Some(0xf0005));
    assert_eq!(Arch::Aarch64.number("open"), None);
    assert_eq!(Arch::X86_64.number("no_such_call"), None);
}
