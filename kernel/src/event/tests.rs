use std::io::Write;
use std::os::fd::AsFd;

use super::*;
use crate::descriptor::pipe;

#[test]
fn a_descriptor_is_reported_with_its_token_until_it_is_read() {
    let poll = Poll::new().unwrap();
    let (read, write) = pipe().unwrap();
    poll.add(read.as_fd(), 7, Interest::Read).unwrap();
    let mut ready = Vec::new();
    poll.wait(&mut ready, Some(Duration::ZERO)).unwrap();
    assert_eq!(ready, []);
    std::fs::File::from(write).write_all(b"x").unwrap();
    for _ in 0..2 {
        poll.wait(&mut ready, Some(Duration::from_secs(10))).unwrap();
        assert_eq!(ready, [Event { token: 7, readable: true, writable: true }]);
    }
    poll.remove(read.as_fd()).unwrap();
    poll.wait(&mut ready, Some(Duration::ZERO)).unwrap();
    assert_eq!(ready, []);
}

#[test]
fn a_wait_ends_at_its_deadline_or_with_the_other_end() {
    let (read, write) = pipe().unwrap();
    assert!(!wait_readable(read.as_fd(), Duration::from_millis(1)).unwrap());
    assert!(wait_writable(write.as_fd(), Duration::ZERO).unwrap());
    drop(write);
    assert!(wait_readable(read.as_fd(), Duration::from_secs(10)).unwrap());
}
