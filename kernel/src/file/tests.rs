use super::*;

#[test]
fn a_replaced_file_is_whole_and_leaves_no_temporary() {
    let dir = tempfile::tempdir().unwrap();
    for (content, durable) in [("first", Durable::Yes), ("second", Durable::No)] {
        write_atomic(dir.path(), "record", content.as_bytes(), durable).unwrap();
        assert_eq!(read_bounded(&dir.path().join("record"), 64).unwrap(), content.as_bytes());
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_failed_write_leaves_no_temporary() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("record")).unwrap();
    assert!(write_atomic(dir.path(), "record", b"x", Durable::No).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn only_regular_files_of_bounded_size_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let sparse = dir.path().join("sparse");
    File::create(&sparse).unwrap().set_len(10 << 30).unwrap();
    assert_eq!(read_bounded(&sparse, 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    let fifo = dir.path().join("fifo");
    let name = CString::new(fifo.as_os_str().as_bytes()).unwrap();
    // SAFETY: name is a terminated string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert_eq!(read_bounded(&fifo, 64).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(read_bounded(Path::new("/dev/zero"), 64).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert!(read_bounded(dir.path(), 64).is_err());
}

#[test]
fn a_lock_has_one_holder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let held = try_lock(&path).unwrap().unwrap();
    assert!(try_lock(&path).unwrap().is_none());
    drop(held);
    assert!(try_lock(&path).unwrap().is_some());
}
