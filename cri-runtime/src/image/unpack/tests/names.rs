//! Where an entry may be, and what is there after it.

use super::*;

#[test]
fn names_that_climb_stay_inside() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let layer = Layer::default()
        .file("../../canary", "1")
        .file("/absolute", "2")
        .file("a/../../../climbed", "3")
        .symlink("out", "../..")
        .file("out/canary2", "4")
        .symlink("up", "/")
        .file("up/canary3", "5")
        .symlink("self", "self2")
        .symlink("escape", "../../canary")
        .file("escape", "6");
    place.unpack(layer).unwrap();
    assert_eq!(place.read("canary"), "1");
    assert_eq!(place.read("absolute"), "2");
    assert_eq!(place.read("climbed"), "3");
    assert_eq!(place.read("canary2"), "4");
    assert_eq!(place.read("canary3"), "5");
    assert_eq!(place.read("escape"), "6");
}

#[test]
fn hard_links_reach_only_files_of_the_layer_and_follow_nothing() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    assert!(place.unpack(Layer::default().hard_link("stolen", "../canary")).is_err());
    let place = Place::new();
    let layer = Layer::default()
        .file("dir/one", "1")
        .hard_link("two", "/dir/one")
        .hard_link("two", "dir/one")
        .symlink("link", "../../canary")
        .hard_link("three", "link");
    place.unpack(layer).unwrap();
    let inode = |path: &str| fs::symlink_metadata(place.root().join(path)).unwrap().ino();
    assert_eq!(inode("two"), inode("dir/one"));
    assert_eq!(inode("three"), inode("link"));
    let place = Place::new();
    assert!(place.unpack(Layer::default().symlink("link", "..").hard_link("stolen", "link/canary")).is_err());
}

#[test]
fn the_last_entry_of_a_name_wins_whatever_was_there() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let layer = Layer::default()
        .file("a", "first")
        .file("a", "second")
        .file("d/inside", "x")
        .file("d", "a file now")
        .file("e", "x")
        .directory("e", 0o750)
        .file("e/inside", "y")
        .symlink("l", "e")
        .directory("l", 0o700)
        .file("l/own", "z")
        .directory("kept", 0o700)
        .file("kept/inside", "k")
        .directory("kept", 0o711);
    place.unpack(layer).unwrap();
    assert_eq!((place.read("a").as_str(), place.read("d").as_str()), ("second", "a file now"));
    assert_eq!((place.read("e/inside").as_str(), place.read("l/own").as_str()), ("y", "z"));
    assert!(!place.root().join("e/own").exists());
    assert_eq!(place.read("kept/inside"), "k");
    assert_eq!(fs::metadata(place.root().join("kept")).unwrap().permissions().mode() & 0o7777, 0o711);
}
