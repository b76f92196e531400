use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{Attempt, follow};

const PATIENCE: Duration = Duration::from_secs(20);

fn text(line: &super::Line) -> String {
    String::from_utf8(line.text.clone()).unwrap()
}

#[tokio::test]
async fn a_log_is_followed_from_before_it_exists_until_its_writer_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web/0.log");
    let (state, attempt) = watch::channel(Attempt::Live);
    let (lines, mut seen) = mpsc::unbounded_channel();
    let followed = path.clone();
    let task = tokio::spawn(async move {
        follow(&followed, None, attempt, |line| lines.send(text(line)).unwrap()).await
    });
    fs::create_dir(directory.path().join("web")).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    for number in 0..3 {
        writeln!(file, "t stdout F line {number}").unwrap();
        let line = timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
        assert_eq!(line, format!("line {number}"));
    }
    // Removed while it is read: what is written meanwhile still comes.
    fs::remove_file(&path).unwrap();
    write!(file, "t stdout P last").unwrap();
    state.send(Attempt::Ended).unwrap();
    timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    assert_eq!(seen.recv().await.unwrap(), "last");
}

#[tokio::test]
async fn an_instance_that_never_wrote_ends_its_log_too() {
    let directory = tempfile::tempdir().unwrap();
    let attempt = watch::channel(Attempt::Ended).1;
    let count = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&count);
    let path = directory.path().join("none/0.log");
    let ended = follow(&path, None, attempt, |_| *counter.lock().unwrap() += 1);
    timeout(PATIENCE, ended).await.unwrap().unwrap();
    assert_eq!(*count.lock().unwrap(), 0);
}

#[tokio::test]
async fn only_the_last_lines_of_what_is_there_are_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    fs::write(&path, "t stdout F 1\nt stdout F 2\nt stdout F 3\n").unwrap();
    let mut lines = Vec::new();
    let attempt = watch::channel(Attempt::Ended).1;
    follow(&path, Some(2), attempt, |line| lines.push(text(line))).await.unwrap();
    assert_eq!(lines, ["2", "3"]);
}
