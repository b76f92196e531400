use std::fs;
use std::os::unix::fs::symlink;

use super::*;

#[test]
fn removal_follows_no_link() {
    let base = tempfile::tempdir().unwrap();
    let (tree, outside) = (base.path().join("tree"), base.path().join("outside"));
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "").unwrap();
    fs::write(tree.join("a/b/file"), "").unwrap();
    symlink(&outside, tree.join("a/link")).unwrap();
    remove_all(&tree).unwrap();
    assert!(!tree.exists() && outside.join("kept").exists());
    symlink(&outside, &tree).unwrap();
    remove_all(&tree).unwrap();
    assert!(fs::symlink_metadata(&tree).is_err() && outside.join("kept").exists());
    remove_all(&tree).unwrap();
}

#[test]
fn a_tree_deeper_than_the_open_levels_is_measured_and_removed() {
    let base = tempfile::tempdir().unwrap();
    let tree = base.path().join("tree");
    let depth = OPEN_LEVELS * 3;
    let mut path = tree.clone();
    for _ in 0..depth {
        path.push("d");
    }
    fs::create_dir_all(&path).unwrap();
    for level in path.ancestors().take(depth) {
        fs::write(level.join("file"), "x").unwrap();
        fs::create_dir(level.join("side")).unwrap();
    }
    assert_eq!(usage(&tree).unwrap().inodes, 3 * depth as u64 + 1);
    remove_all(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
fn a_file_with_two_names_counts_once_and_a_hole_counts_nothing() {
    let base = tempfile::tempdir().unwrap();
    let tree = base.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("one"), vec![1; 8192]).unwrap();
    fs::hard_link(tree.join("one"), tree.join("two")).unwrap();
    fs::File::create(tree.join("hole")).unwrap().set_len(1 << 30).unwrap();
    let measured = usage(&tree).unwrap();
    assert_eq!(measured.inodes, 3);
    assert!((8192..1 << 20).contains(&measured.bytes), "{measured:?}");
}
