use std::fs;

use super::*;

#[test]
fn a_refused_write_puts_back_what_was_written_before() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = root.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let (first, second) = (file("pids.max", "max\n"), file("memory.max", "100000\n"));
    // A directory in place of the file: reading it fails after two values have been written.
    let third = root.path().join("cpu.max");
    fs::create_dir(&third).unwrap();
    let write = |path: &PathBuf, value: &str| Located { path: path.clone(), value: value.to_owned() };

    run(&[write(&first, "5"), write(&second, "77")]).unwrap();
    assert_eq!(
        (fs::read_to_string(&first).unwrap(), fs::read_to_string(&second).unwrap()),
        ("5".into(), "77".into())
    );

    let refused = run(&[write(&first, "9"), write(&second, "99"), write(&third, "1")]);
    assert!(refused.is_err());
    assert_eq!(
        (fs::read_to_string(&first).unwrap(), fs::read_to_string(&second).unwrap()),
        ("5".into(), "77".into())
    );
}
