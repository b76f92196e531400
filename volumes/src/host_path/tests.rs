use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::{HostPath, HostPathType};
use crate::Volume;

fn prepare(path: &Path, kind: &str) -> Result<(), String> {
    let volume = HostPath::new(path, HostPathType::parse(kind));
    volume.prepare().map(drop).map_err(|error| error.to_string())
}

#[test]
fn each_type_accepts_what_it_names_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let socket = directory.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let things: [(&Path, &str); 4] = [
        (directory.path(), "Directory"),
        (&file, "File"),
        (&socket, "Socket"),
        (Path::new("/dev/null"), "CharDevice"),
    ];
    for (path, own) in things {
        for kind in ["Directory", "File", "Socket", "CharDevice", "BlockDevice"] {
            let result = prepare(path, kind);
            if kind == own {
                assert_eq!(result, Ok(()), "{kind} {}", path.display());
            } else {
                let error = result.unwrap_err();
                assert!(error.starts_with("hostPath type check failed: "), "{error}");
            }
        }
        assert_eq!(prepare(path, ""), Ok(()));
    }
    let error = prepare(&file, "Directory").unwrap_err();
    assert_eq!(error, format!("hostPath type check failed: {} is not a directory", file.display()));
}

#[test]
fn what_is_missing_is_an_error_or_made_with_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("a/b");
    let error = prepare(&missing, "Directory").unwrap_err();
    assert!(error.ends_with("is not a directory"), "{error}");
    assert!(
        prepare(&missing, "FileOrCreate").unwrap_err().starts_with("look at host path"),
        "no directory for it"
    );
    prepare(&missing, "DirectoryOrCreate").unwrap();
    assert!(missing.is_dir());
    let file = missing.join("file");
    prepare(&file, "FileOrCreate").unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7000, 0);
    assert_eq!(prepare(&file, "FileOrCreate"), Ok(()));
    assert!(prepare(&file, "DirectoryOrCreate").is_err());
}

#[test]
fn a_host_path_outlives_the_pod() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made");
    let volume = HostPath::new(&path, HostPathType::DirectoryOrCreate);
    volume.prepare().unwrap();
    volume.teardown().unwrap();
    assert!(path.is_dir());
}
