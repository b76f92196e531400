use std::fs;

use super::*;

fn write(directory: &Path, name: &str, content: &str) {
    fs::create_dir_all(directory.join(name)).unwrap();
    fs::write(directory.join(name).join("hosts.toml"), content).unwrap();
}

#[test]
fn without_a_file_the_registry_itself_is_asked() {
    let table = [
        ("docker.io", "https", "registry-1.docker.io"),
        ("example.com:5000", "https", "example.com:5000"),
        ("localhost:5000", "http", "localhost:5000"),
        ("127.0.0.1:5000", "http", "127.0.0.1:5000"),
        ("[::1]:5000", "http", "[::1]:5000"),
        ("localhost:443", "https", "localhost:443"),
    ];
    for (registry, scheme, authority) in table {
        let found = endpoints(&[PathBuf::from("/nonexistent")], registry).unwrap();
        assert_eq!((found[0].scheme.as_str(), found[0].authority.as_str()), (scheme, authority));
        assert!(found[0].is_own_registry && found[0].namespace.is_none());
    }
}

#[test]
fn mirrors_come_in_the_order_of_the_file_and_the_server_last() {
    let base = tempfile::tempdir().unwrap();
    let content = r#"
        server = "https://fallback.example/x"
        skip_verify = true
        [host."http://z.mirror:81"]
        capabilities = ["pull"]
        [host."https://a.mirror/custom/path"]
        override_path = true
        ca = ["one.pem", "/etc/two.pem"]
        client = [["c.pem", "k.pem"]]
        dial_timeout = "1.5s"
        [host."https://a.mirror/custom/path".header]
        x-custom = ["1", "2"]
        [host."docker.io"]
    "#;
    write(base.path(), "docker.io", content);
    let found = endpoints(&[base.path().to_owned()], "docker.io").unwrap();
    let names: Vec<_> = found.iter().map(|host| format!("{}{}", host.authority, host.prefix)).collect();
    assert_eq!(names, ["z.mirror:81/v2", "a.mirror/custom/path", "docker.io/v2", "fallback.example/x/v2"]);
    assert!(!found[0].resolves && found[0].pulls && found[1].resolves);
    assert_eq!(found[0].namespace.as_deref(), Some("docker.io"));
    assert!(!found[0].is_own_registry && found[2].is_own_registry);
    let directory = base.path().join("docker.io");
    assert_eq!(found[1].tls.authorities, [directory.join("one.pem"), PathBuf::from("/etc/two.pem")]);
    assert_eq!(found[1].tls.identity, Some((directory.join("c.pem"), directory.join("k.pem"))));
    assert_eq!(found[1].headers.get_all("x-custom").iter().count(), 2);
    assert_eq!(found[1].dial_timeout, Some(Duration::from_millis(1500)));
    assert!(found[3].tls.skip_verify && !found[1].tls.skip_verify);
}

#[test]
fn the_most_special_directory_of_all_search_paths_decides() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let both = [first.path().to_owned(), second.path().to_owned()];
    let asked = |registry: &str| endpoints(&both, registry).unwrap()[0].authority.clone();
    write(first.path(), "_default", "[host.\"http://default\"]");
    write(second.path(), "r.example:5000", "[host.\"http://colon\"]");
    assert_eq!((asked("other.example").as_str(), asked("r.example:5000").as_str()), ("default", "colon"));
    write(second.path(), "r.example_5000_", "[host.\"http://underscore\"]");
    assert_eq!(asked("r.example:5000"), "underscore");
}

#[test]
fn dockers_certificate_directory_is_understood() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("r.example");
    fs::create_dir(&directory).unwrap();
    for name in ["ca.crt", "me.cert", "me.key"] {
        fs::write(directory.join(name), "").unwrap();
    }
    let found = endpoints(&[base.path().to_owned()], "r.example").unwrap();
    assert_eq!(found[0].tls.authorities, [directory.join("ca.crt")]);
    assert_eq!(found[0].tls.identity, Some((directory.join("me.cert"), directory.join("me.key"))));
}

#[test]
fn a_broken_file_is_named() {
    let base = tempfile::tempdir().unwrap();
    for content in
        ["server = 1", "[host.\"ftp://x\"]", "[host.\"https://u:p@x\"]", "dial_timeout = \"soon\"", "["]
    {
        write(base.path(), "r.example", content);
        let error = endpoints(&[base.path().to_owned()], "r.example").unwrap_err().to_string();
        assert!(error.contains("hosts.toml") && !error.contains("u:p"), "{content}: {error}");
    }
}
