use std::io::{Read, Write};

use super::*;

#[test]
fn a_sealed_memory_file_can_neither_grow_nor_change() {
    let fd = sealed_memory_file(c"test", b"final").unwrap();
    assert!(is_sealed(fd.as_fd()));
    let mut file = std::fs::File::from(fd);
    assert!(file.write_all(b"x").is_err());
    assert!(file.set_len(1).is_err());
    let open = create_memory_file(c"test").unwrap();
    assert!(!is_sealed(open.as_fd()));
}

#[test]
fn only_descriptors_without_close_on_exec_are_taken_and_only_once() {
    let (read, mut write) = {
        let (read, write) = pipe().unwrap();
        (read, std::fs::File::from(write))
    };
    let number = std::os::fd::AsRawFd::as_raw_fd(&read);
    assert_eq!(take_inherited(number).unwrap_err().raw_os_error(), Some(libc::EBADF), "it is ours");
    set_close_on_exec(read.as_fd(), false).unwrap();
    let _ours_no_more = std::os::fd::IntoRawFd::into_raw_fd(read);
    let mut taken = std::fs::File::from(take_inherited(number).unwrap());
    assert!(take_inherited(number).is_err(), "taken twice");
    write.write_all(b"hi").unwrap();
    assert_eq!(unread_bytes(taken.as_fd()).unwrap(), 2);
    let mut got = [0; 2];
    taken.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hi");
}

#[test]
fn a_pipe_grows_and_can_be_made_nonblocking() {
    let (read, _write) = pipe().unwrap();
    assert!(set_pipe_size(read.as_fd(), 128 << 10).unwrap() >= 128 << 10);
    set_nonblocking(read.as_fd(), true).unwrap();
    let error = std::fs::File::from(read).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn two_descriptors_of_one_file_are_the_same_file() {
    let (read, write) = pipe().unwrap();
    let (other, _) = pipe().unwrap();
    assert!(is_same_file(&read, &write).unwrap());
    assert!(!is_same_file(&read, &other).unwrap());
}

#[test]
fn entries_are_changed_in_their_directory_only() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a"), "1").unwrap();
    let fd = crate::path::open_dir(directory.path()).unwrap();
    rename_at(fd.as_fd(), "a", "b").unwrap();
    assert_eq!(std::fs::read(directory.path().join("b")).unwrap(), b"1");
    for name in ["", ".", "..", "../b", "/b", "x/y", "nul\0"] {
        assert_eq!(remove_at(fd.as_fd(), name).unwrap_err().raw_os_error(), Some(libc::EINVAL), "{name:?}");
        assert_eq!(
            rename_at(fd.as_fd(), "b", name).unwrap_err().raw_os_error(),
            Some(libc::EINVAL),
            "{name:?}"
        );
    }
    remove_at(fd.as_fd(), "b").unwrap();
    assert_eq!(remove_at(fd.as_fd(), "b").unwrap_err().kind(), io::ErrorKind::NotFound);
}
