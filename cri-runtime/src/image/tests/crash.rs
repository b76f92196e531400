//! SIGKILL at every durable step, in a process of its own; then what a restart makes of the remains.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::content::{archive, image};
use super::*;

const ROOT: &str = "ORLOP_TEST_IMAGE_ROOT";
const REFERENCE: &str = "ORLOP_TEST_IMAGE_REFERENCE";
const ACTION: &str = "ORLOP_TEST_IMAGE_ACTION";

/// What the child process does. Without its variables this is no test of its own.
#[tokio::test]
async fn child_process() {
    let (Ok(root), Ok(reference)) = (std::env::var(ROOT), std::env::var(REFERENCE)) else { return };
    let images = Images::open(config(Path::new(&root))).unwrap();
    match std::env::var(ACTION).as_deref() {
        Ok("remove") => images.remove(&reference).await.unwrap(),
        _ => drop(images.pull(PullRequest { reference, credentials: None }).await.unwrap()),
    }
    images.drain_removals();
}

/// Runs the child; whether the failpoint ended it.
fn run(node: &Node, reference: &str, action: &str, failpoint: &str) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "image::tests::crash::child_process", "--nocapture"])
        .env(ROOT, node.base.path())
        .env(REFERENCE, reference)
        .env(ACTION, action)
        .env("ORLOP_FAILPOINT", failpoint)
        .output()
        .unwrap();
    let killed = output.status.signal() == Some(libc::SIGKILL);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(killed || output.status.success(), "{failpoint}: {}: {text}", output.status);
    killed
}

/// A directory whose lock is free for a child.
fn closed_node() -> Node {
    let mut node = Node::new();
    node.images = Images::open(ImagesConfig::new(node.base.path().join("unused"))).unwrap();
    node
}

fn open(node: &mut Node) {
    node.images = Images::open(config(node.base.path())).unwrap();
    node.images.rebuild_holds([]).unwrap();
    node.images.drain_removals();
}

#[test]
fn a_pull_killed_at_any_step_leaves_the_whole_image_or_nothing() {
    if !is_root() {
        return;
    }
    let content = image(vec![archive(&[("tmp/", ""), ("a", "1")]), archive(&[("tmp/b", "2")])], "");
    let steps = [
        "image.layer.unpacked",
        "image.layer.flushed",
        "image.layer.renamed",
        "image.layer.recorded",
        "image.layer.renamed:2",
        "image.blobs.written",
        "image.flushed",
        "image.recorded",
        "image.named",
    ];
    for step in steps {
        let mut node = closed_node();
        node.registry.push("a:1", &content);
        assert!(run(&node, &node.name("a:1"), "pull", step), "{step} was not reached");
        open(&mut node);
        match node.images.status(&node.name("a:1")) {
            Some(image) => {
                assert!(matches!(step, "image.recorded" | "image.named"), "visible already at {step}");
                let seen = (visible(&image, "a"), visible(&image, "tmp/b"));
                assert_eq!(seen, (Some("1".to_owned()), Some("2".to_owned())));
                assert_eq!(node.count("ingest"), 0);
            }
            None => {
                assert!(!matches!(step, "image.recorded" | "image.named"), "lost after {step}");
                node.assert_empty();
            }
        }
    }
}

#[test]
fn a_removal_killed_at_any_step_is_done_or_not() {
    if !is_root() {
        return;
    }
    for step in ["image.remove.start", "image.remove.unrecorded", "image.remove.layer"] {
        let mut node = closed_node();
        node.registry.push("a:1", &image(vec![archive(&[("a", "1")])], ""));
        assert!(!run(&node, &node.name("a:1"), "pull", "none"));
        assert!(run(&node, &node.name("a:1"), "remove", step), "{step} was not reached");
        open(&mut node);
        match node.images.status(&node.name("a:1")) {
            Some(image) => {
                assert_eq!(step, "image.remove.start");
                assert_eq!(visible(&image, "a").as_deref(), Some("1"));
            }
            None => node.assert_empty(),
        }
    }
}
