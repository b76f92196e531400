use std::fs;

use tempfile::TempDir;

use super::Selection;

#[test]
fn changes_of_the_directory_and_of_the_file_are_seen() {
    let directory = TempDir::new().expect("directory");
    let conf = directory.path().join("net.d");
    let mut selection = Selection::default();
    let name =
        |selection: &mut Selection| selection.current(&conf).map(|list| list.map(|list| list.name.clone()));
    let write = |file: &str, network: &str| {
        // As a package manager does it: complete, then renamed.
        let text = format!(r#"{{"cniVersion":"1.1.0","name":"{network}","plugins":[{{"type":"bridge"}}]}}"#);
        fs::write(conf.join("new"), text).expect("file");
        fs::rename(conf.join("new"), conf.join(file)).expect("renamed");
    };
    assert_eq!(name(&mut selection).expect("no directory"), None);
    fs::create_dir(&conf).expect("directory");
    assert_eq!(name(&mut selection).expect("empty"), None);
    write("20.conflist", "second");
    assert_eq!(name(&mut selection).expect("file").as_deref(), Some("second"));
    write("10.conflist", "first");
    assert_eq!(name(&mut selection).expect("file").as_deref(), Some("first"));
    // Edited in place: the directory does not change.
    let text = fs::read_to_string(conf.join("10.conflist")).expect("file");
    fs::write(conf.join("10.conflist"), text.replace("first", "edited")).expect("edited");
    assert_eq!(name(&mut selection).expect("file").as_deref(), Some("edited"));
    fs::write(conf.join("10.conflist"), "{").expect("broken");
    name(&mut selection).expect_err("a broken first file is not skipped");
    fs::remove_file(conf.join("10.conflist")).expect("removed");
    assert_eq!(name(&mut selection).expect("file").as_deref(), Some("second"));
}
