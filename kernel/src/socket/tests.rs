use std::io::{Read, Write};
use std::os::fd::AsFd;

use super::*;
use crate::descriptor::pipe;

#[test]
fn messages_keep_their_bounds_and_descriptors() {
    let (a, b) = Connection::pair().unwrap();
    let (read, write) = pipe().unwrap();
    a.send(b"first", &[read.as_fd()]).unwrap();
    a.send(b"second", &[]).unwrap();
    drop(read);
    let mut buffer = [0; 64];
    let first = b.receive(&mut buffer).unwrap().unwrap();
    assert_eq!((&buffer[..first.length], first.descriptors.len()), (&b"first"[..], 1));
    std::fs::File::from(write).write_all(b"through").unwrap();
    let mut text = String::new();
    std::fs::File::from(first.descriptors.into_iter().next().unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
    let second = b.receive(&mut buffer).unwrap().unwrap();
    assert_eq!((&buffer[..second.length], second.descriptors.len()), (&b"second"[..], 0));
    drop(a);
    assert!(b.receive(&mut buffer).unwrap().is_none());
    assert_eq!(b.send(b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn the_most_descriptors_arrive_and_one_more_is_refused() {
    let (a, b) = Connection::pair().unwrap();
    let (read, _write) = pipe().unwrap();
    let many = vec![read.as_fd(); MAX_DESCRIPTORS + 1];
    assert_eq!(a.send(b"x", &many).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    a.send(b"x", &many[..MAX_DESCRIPTORS]).unwrap();
    assert_eq!(b.receive(&mut [0; 8]).unwrap().unwrap().descriptors.len(), MAX_DESCRIPTORS);
}

#[test]
fn a_message_that_was_cut_is_an_error_and_leaks_no_descriptor() {
    let (a, b) = Connection::pair().unwrap();
    let (read, write) = pipe().unwrap();
    a.send(b"longer than the buffer", &[write.as_fd()]).unwrap();
    drop(write);
    assert_eq!(b.receive(&mut [0; 4]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(std::fs::File::from(read).read(&mut [0]).unwrap(), 0, "the passed write end is closed");
}

#[test]
fn a_full_socket_refuses_instead_of_blocking() {
    let (a, b) = Connection::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    a.set_send_buffer(1 << 20).unwrap();
    let message = vec![7; 64 << 10];
    let mut sent = 0;
    while sent < 1000 {
        match a.send(&message, &[]) {
            Ok(()) => sent += 1,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    assert!((1..1000).contains(&sent), "{sent}");
    b.receive(&mut vec![0; 64 << 10]).unwrap().unwrap();
    b.set_nonblocking(true).unwrap();
}

#[test]
fn a_listener_accepts_and_knows_its_peer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = Listener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let client = Connection::connect(&path).unwrap();
    let server = listener.accept().unwrap();
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&path).unwrap());
    assert_eq!((client.peer_uid().unwrap(), server.peer_uid().unwrap()), (uid, uid));
    assert_eq!(Listener::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let long = directory.path().join("x".repeat(120));
    assert_eq!(Connection::connect(&long).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}
