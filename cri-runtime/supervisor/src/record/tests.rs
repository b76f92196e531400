use std::os::fd::AsFd;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_record_reads_as_what_was_written(id in any::<String>(), pid: i32, code: i32, signal: i32, started_at: i64,
        finished_at: i64, log_bytes_dropped: u64)
    {
        let exit = Exit { id, pid, code, signal, started_at, finished_at, log_bytes_dropped };
        let read: Exit = serde_json::from_str(&encode(&exit)).unwrap();
        prop_assert_eq!(read, exit);
    }
}

fn exit() -> Exit {
    let id = "0".repeat(64);
    Exit { id, pid: 7, code: 37, signal: 0, started_at: 1, finished_at: 2, log_bytes_dropped: 3 }
}

#[test]
fn a_record_replaces_an_older_one_and_leaves_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let exits = kernel::path::open_dir(directory.path()).unwrap();
    std::fs::write(directory.path().join(exit().id), "older").unwrap();
    write(exits.as_fd(), &exit()).unwrap();
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, [directory.path().join(exit().id)]);
    let read: Exit = serde_json::from_slice(&std::fs::read(&names[0]).unwrap()).unwrap();
    assert_eq!(read, exit());
}

#[test]
fn a_record_that_cannot_be_written_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let exits = kernel::path::open_dir(directory.path()).unwrap();
    // Something in the way of the last step.
    std::fs::create_dir(directory.path().join(exit().id)).unwrap();
    assert!(write(exits.as_fd(), &exit()).is_err());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn identities_that_are_paths_are_refused() {
    for id in ["a", "0123abc", "a.b-c_d", &"f".repeat(64)] {
        assert!(is_valid_id(id), "{id}");
    }
    for id in ["", ".", "..", ".hidden", "a/b", "../a", "a\0", "a b", "ä", &"f".repeat(129)] {
        assert!(!is_valid_id(id), "{id}");
    }
}
