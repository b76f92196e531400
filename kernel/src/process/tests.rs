use std::process::{Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn pid_of(child: &std::process::Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

#[test]
#[allow(clippy::zombie_processes, reason = "waited for through its pidfd")]
fn the_status_of_a_child_stays_readable_until_it_is_reaped() {
    let child = Command::new("sh").args(["-c", "exit 37"]).spawn().unwrap();
    let pidfd = Pidfd::open(pid_of(&child)).unwrap();
    assert!(pidfd.wait_exit(Duration::from_secs(10)).unwrap());
    let expected = Some(ExitStatus { code: 37, signal: 0 });
    assert_eq!(zombie_exit(pid_of(&child)).unwrap(), expected);
    assert_eq!(pidfd.try_wait(Reap::Leave).unwrap(), expected);
    assert_eq!(pidfd.try_wait(Reap::Now).unwrap(), expected);
    assert_eq!(pidfd.try_wait(Reap::Now).unwrap_err().raw_os_error(), Some(libc::ECHILD));
    match pidfd.exit_info() {
        Ok(info) => assert_eq!(info, expected),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
    }
    assert_eq!(pidfd.send_signal(0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
}

#[test]
#[allow(clippy::zombie_processes, reason = "waited for through its pidfd")]
fn a_signal_goes_to_the_process_and_is_its_status() {
    let child = Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap();
    let pidfd = Pidfd::open(pid_of(&child)).unwrap();
    assert_eq!(pidfd.try_wait(Reap::Now).unwrap(), None);
    assert!(!pidfd.wait_exit(Duration::ZERO).unwrap());
    let started = start_time(pid_of(&child)).unwrap();
    assert!(is_alive(pid_of(&child), started));
    assert!(!is_alive(pid_of(&child), started + 1), "another process with its pid");
    pidfd.send_signal(libc::SIGKILL).unwrap();
    assert!(pidfd.wait_exit(Duration::from_secs(10)).unwrap());
    assert!(!is_alive(pid_of(&child), started), "a zombie runs no more");
    assert_eq!(pidfd.try_wait(Reap::Now).unwrap(), Some(ExitStatus { code: 0, signal: libc::SIGKILL }));
    assert_eq!(start_time(pid_of(&child)).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn wait_status_words_are_taken_apart() {
    assert_eq!(ExitStatus::from_wait_status(77 << 8), ExitStatus { code: 77, signal: 0 });
    assert_eq!(ExitStatus::from_wait_status(9), ExitStatus { code: 0, signal: 9 });
    assert_eq!(ExitStatus::from_wait_status(11 | 0x80), ExitStatus { code: 0, signal: 11 }, "dumped core");
}

#[test]
fn boot_ids_are_stable_and_not_empty() {
    let id = boot_id().unwrap();
    assert!(id.len() >= 32, "{id}");
    assert_eq!(id, boot_id().unwrap());
}

proptest! {
    #[test]
    fn the_name_of_a_program_cannot_forge_its_status(name in "[ -~]{0,15}", start in any::<u64>(), code in any::<i32>()) {
        let mut line = format!("1 ({name}) S");
        for field in 4..=52 {
            let value = match field { 22 => start.to_string(), 52 => code.to_string(), _ => "7".to_owned() };
            line.push(' ');
            line.push_str(&value);
        }
        let stat = Stat::parse(line.as_bytes()).unwrap();
        prop_assert_eq!(stat, Stat { state: b'S', start_time: start, exit_code: code });
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Stat::parse(&text);
    }
}
