use std::thread;

use super::*;

/// What these change belongs to the thread, so each test changes a thread that ends.
fn on_thread(f: impl FnOnce() + Send + 'static) {
    thread::spawn(f).join().expect("the thread does not panic");
}

fn status(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("status is readable");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field exists");
    line[field.len()..].trim().to_owned()
}

fn mask(field: &str) -> u64 {
    u64::from_str_radix(&status(field), 16).expect("a hexadecimal mask")
}

#[test]
fn reading_the_sets_agrees_with_proc() {
    let sets = capabilities().expect("capget");
    assert_eq!(sets.effective, mask("CapEff:"));
    assert_eq!(sets.permitted, mask("CapPrm:"));
    assert_eq!(sets.inheritable, mask("CapInh:"));
    assert_eq!(bounding().expect("bounding set"), mask("CapBnd:"));
}

#[test]
fn no_new_privileges_is_set_on_this_thread_only() {
    on_thread(|| {
        set_no_new_privileges().expect("prctl");
        assert_eq!(status("NoNewPrivs:"), "1");
    });
    assert_eq!(status("NoNewPrivs:"), "0");
}

#[test]
fn capabilities_survive_a_change_of_user_and_become_ambient() {
    if capabilities().expect("capget").effective & 1 << capability::SETUID == 0 {
        eprintln!("skipped: needs root");
        return;
    }
    on_thread(|| {
        let kept = 1 << 10 | 1;
        limit_bounding(kept).expect("limit the bounding set");
        keep_capabilities().expect("keep");
        set_groups(&[7, 8]).expect("set groups");
        set_ids(1234, 2345).expect("set ids");
        set_capabilities(Sets { effective: kept, permitted: kept, inheritable: kept }).expect("capset");
        set_ambient(1 << 10).expect("set ambient");
        assert_eq!(mask("CapBnd:"), kept);
        assert_eq!(mask("CapEff:"), kept);
        assert_eq!(mask("CapAmb:"), 1 << 10);
        assert_eq!(status("Uid:"), "1234\t1234\t1234\t1234");
        assert_eq!(status("Gid:"), "2345\t2345\t2345\t2345");
        assert_eq!(status("Groups:"), "7 8");
        assert!(set_ids(0, 0).is_err(), "there is no way back");
    });
}
