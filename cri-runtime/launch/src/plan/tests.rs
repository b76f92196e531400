use super::*;

fn plan() -> Plan {
    Plan {
        clone_flags: libc::CLONE_NEWNS as u64,
        join: vec![Join { namespaces: libc::CLONE_NEWNET as u64, fd: FdIndex(3) }],
        pid_namespace: Some(FdIndex(0)),
        cgroup: CgroupJoin { unified: Some(FdIndex(1)), tasks: vec![FdIndex(2)] },
        steps: vec![
            Step::Root(Root::Empty),
            Step::Seccomp(Filter {
                program: vec![SockFilter { code: 6, jt: 0, jf: 1, k: u32::MAX }],
                flags: 2,
            }),
        ],
        program: Program {
            executable: Executable::Lookup,
            arguments: vec![b"sh".to_vec(), b"\xff".to_vec()],
            environment: vec![b"A=\xfe".to_vec()],
            signals: Signals::Blocked,
        },
    }
}

#[test]
fn a_plan_arrives_as_it_was_sent() {
    let bytes = plan().encode().expect("encode");
    assert_eq!(Plan::decode(&bytes).expect("decode"), plan());
}

#[test]
fn a_plan_with_a_tail_or_without_one_is_refused() {
    let bytes = plan().encode().expect("encode");
    assert!(Plan::decode(&bytes[..bytes.len() - 1]).is_err());
    assert!(Plan::decode(&[bytes, vec![0]].concat()).is_err());
}

#[test]
fn a_failure_reads_as_one_line() {
    let failure = |step: &str, object: &str, errno| {
        Failure { step: step.to_owned(), object: object.to_owned(), errno }.to_string()
    };
    assert_eq!(failure("mount", "/proc", libc::EPERM), "mount /proc: Operation not permitted (os error 1)");
    assert_eq!(failure("clone", "", libc::ENOMEM), "clone: Cannot allocate memory (os error 12)");
    assert_eq!(failure("launch", "", 0), "launch: the process ended before it executed its program");
}

#[test]
fn steps_are_named_by_verb_and_object() {
    let mount = Step::Mount(Fresh {
        target: b"/dev/shm".to_vec(),
        filesystem: "tmpfs".to_owned(),
        source: "shm".to_owned(),
        options: Vec::new(),
        attributes: 0,
        resolve: Resolve::NoLinks,
    });
    for (step, name) in [
        (mount, "mount /dev/shm"),
        (Step::Keyring, "join session keyring"),
        (Step::Ids { uid: 7, gid: 8 }, "set user 7:8"),
        (Step::Remount { target: b"/".to_vec(), attributes: 1 }, "remount /"),
        (Step::Hostname(b"\xffa".to_vec()), "set hostname \u{fffd}a"),
    ] {
        assert_eq!(step.to_string(), name);
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
        let _ = Plan::decode(&bytes);
    }
}
