use super::*;

fn subject(id: &str, name: &str) -> Subject {
    Subject {
        sandbox: id.to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
        uid: "u".to_owned(),
    }
}

#[test]
fn a_failed_stage_keeps_its_errno_and_the_whole_chain_of_causes() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(dir.path(), subject("aa11", "web"));
    let missing = || std::fs::read(dir.path().join("none"));
    recorder.stage("read image", "none", missing).unwrap_err();
    recorder.steps("web", 5, [("clone".to_owned(), Duration::from_micros(3))]);
    recorder.flush().unwrap();

    for query in ["web", "default/web", "aa1"] {
        let found = find(dir.path(), query).unwrap().unwrap();
        assert_eq!(found.entries.len(), 2, "{query}");
        assert_eq!((found.entries[0].errno, found.entries[0].depth), (2, 0));
        assert!(found.entries[0].error.contains("No such file"));
        assert_eq!((found.entries[1].stage.as_str(), found.entries[1].nanos), ("clone", 3000));
    }
    assert!(find(dir.path(), "other/web").unwrap().is_none());
}

#[test]
fn a_timeline_is_bounded_and_keeps_its_newest_entries() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(dir.path(), subject("bb", "busy"));
    for round in 0..40 {
        for n in 0..100 {
            recorder.steps("x", round * 100 + n, [("step".repeat(5), Duration::from_nanos(1))]);
        }
        recorder.flush().unwrap();
    }
    let size = std::fs::metadata(dir.path().join("bb.jsonl")).unwrap().len();
    assert!(size <= FILE_MAX, "{size}");
    let found = find(dir.path(), "busy").unwrap().unwrap();
    assert_eq!(found.entries.last().unwrap().at, 3999);
    assert_eq!(found.subject, subject("bb", "busy"));
}

#[test]
fn files_of_living_pods_are_never_expired() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..KEPT_FILES + 3 {
        let recorder = Recorder::new(dir.path(), subject(&format!("{n:04x}"), "p"));
        recorder.steps("", 0, [("s".to_owned(), Duration::ZERO)]);
        recorder.flush().unwrap();
    }
    expire(dir.path(), |id| id == "0000").unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), KEPT_FILES + 1);
    assert!(dir.path().join("0000.jsonl").exists());
}
