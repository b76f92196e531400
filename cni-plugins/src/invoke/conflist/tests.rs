use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{ConflistError, first_file, parse, read};
use crate::result::SpecVersion;

const ONE: &str = r#"{"cniVersion":"0.4.0","name":"one","type":"bridge"}"#;

#[test]
fn the_first_file_by_name_counts_whatever_its_kind() {
    let directory = TempDir::new().expect("directory");
    let path = directory.path();
    assert!(matches!(first_file(path), Err(ConflistError::None { .. })));
    assert!(matches!(first_file(&path.join("never")), Err(ConflistError::None { .. })));
    for name in ["30.conf", "20.conflist", "25.json", "10.txt", "05.conflist.tmp"] {
        fs::write(path.join(name), ONE).expect("file");
    }
    fs::create_dir(path.join("00.conflist")).expect("a directory is no configuration");
    assert_eq!(first_file(path).expect("first"), path.join("20.conflist"));
}

#[test]
fn a_single_plugin_is_a_list_of_one() {
    let list = parse(Path::new("10.conf"), ONE.as_bytes()).expect("parsed");
    assert_eq!((list.name.as_str(), list.version, list.plugins.len()), ("one", SpecVersion::V0_4_0, 1));
    assert!(parse(Path::new("10.conflist"), ONE.as_bytes()).is_err(), "a conflist has a list");
}

#[test]
fn the_newest_version_both_sides_speak_is_chosen() {
    let version = |fields: &str| {
        let text = format!(r#"{{"name":"a",{fields}"plugins":[{{"type":"x"}}]}}"#);
        parse(Path::new("10.conflist"), text.as_bytes()).map(|list| list.version)
    };
    assert_eq!(version(r#""cniVersions":["0.4.0","1.0.0","2.0.0"],"#).expect("list"), SpecVersion::V1_0_0);
    assert_eq!(version(r#""cniVersion":"0.3.1","#).expect("one"), SpecVersion::V0_3_1);
    assert_eq!(version("").expect("none"), SpecVersion::V0_1_0);
    assert!(matches!(version(r#""cniVersion":"2.0.0","#), Err(ConflistError::Version { .. })));
}

#[test]
fn separate_plugin_files_are_loaded_and_remembered() {
    let directory = TempDir::new().expect("directory");
    let path = directory.path().join("10.conflist");
    fs::write(
        &path,
        r#"{"cniVersion":"1.1.0","name":"many","loadOnlyInlinedPlugins":false,"plugins":[{"type":"a"}]}"#,
    )
    .expect("list");
    fs::create_dir(directory.path().join("many")).expect("directory");
    fs::write(directory.path().join("many/20.conf"), r#"{"type":"c"}"#).expect("plugin");
    fs::write(directory.path().join("many/10.conf"), r#"{"type":"b"}"#).expect("plugin");
    let list = read(&path).expect("read");
    let kinds = |list: &super::Conflist| -> Vec<String> {
        list.plugins.iter().map(|p| p["type"].to_string()).collect()
    };
    assert_eq!(kinds(&list), [r#""a""#, r#""b""#, r#""c""#]);
    let cached = parse(Path::new("cached.conflist"), &list.source).expect("what the cache keeps");
    assert_eq!(kinds(&cached), kinds(&list));
}

#[test]
fn what_is_wrong_is_said_with_the_file() {
    for (text, said) in [
        (r#"[]"#, "no JSON object"),
        (r#"{"name":"a b","plugins":[{"type":"x"}]}"#, "a b"),
        (r#"{"name":"a","plugins":[7]}"#, "no object"),
        (r#"{"name":"a","plugins":[{"type":"x"},{}]}"#, "plugin 1 has no type"),
    ] {
        let error =
            parse(Path::new("/etc/cni/net.d/10.conflist"), text.as_bytes()).expect_err(said).to_string();
        assert!(error.contains(said) && error.contains("/etc/cni/net.d/10.conflist"), "{error}");
    }
}
