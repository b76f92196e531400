use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Cache, Entry, KIND};

fn entry(network: &str, id: &str) -> Entry {
    Entry {
        kind: KIND.to_owned(),
        container_id: id.to_owned(),
        config: Entry::encode_config(b"{}"),
        if_name: "eth0".to_owned(),
        network_name: network.to_owned(),
        netns: "/run/netns/a".to_owned(),
        cni_args: Some(vec![("K8S_POD_NAME".to_owned(), "web".to_owned())]),
        capability_args: None,
        result: Some(json!({ "cniVersion": "1.1.0" })),
    }
}

#[test]
fn the_file_is_libcnis() {
    let directory = TempDir::new().expect("directory");
    let cache = Cache::new(directory.path());
    cache.write(&entry("net", "pod")).expect("written");
    let path = directory.path().join("results/net-pod-eth0");
    let value: Value = serde_json::from_slice(&fs::read(&path).expect("file")).expect("JSON");
    let expected = json!({
        "kind": "cniCacheV1", "containerId": "pod", "config": "e30=", "ifName": "eth0", "networkName": "net",
        "netns": "/run/netns/a", "cniArgs": [["K8S_POD_NAME", "web"]], "result": { "cniVersion": "1.1.0" },
    });
    assert_eq!(value, expected);
    let mode = |path: &std::path::Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&directory.path().join("results"))), (0o600, 0o700));
}

#[test]
fn entries_are_found_by_container_and_not_by_the_look_of_their_names() {
    let directory = TempDir::new().expect("directory");
    let cache = Cache::new(directory.path());
    assert_eq!(cache.of_container("pod").expect("no directory yet"), []);
    // All of these contain "-pod-".
    for (network, id) in [("net", "pod"), ("other-net", "pod"), ("net-pod", "x"), ("net", "a-pod-b")] {
        cache.write(&entry(network, id)).expect("written");
    }
    let mut networks: Vec<String> =
        cache.of_container("pod").expect("found").into_iter().map(|e| e.network_name).collect();
    networks.sort();
    assert_eq!(networks, ["net", "other-net"]);
    assert_eq!(cache.all().expect("all").len(), 4);
    cache.remove(&entry("net", "pod")).expect("removed");
    cache.remove(&entry("net", "pod")).expect("removed twice");
    assert_eq!(cache.of_container("pod").expect("found").len(), 1);
}

#[test]
fn a_file_that_cannot_be_understood_hides_no_other() {
    let directory = TempDir::new().expect("directory");
    let cache = Cache::new(directory.path());
    cache.write(&entry("net", "pod")).expect("written");
    fs::write(directory.path().join("results/bad-pod-eth0"), "{").expect("file");
    fs::write(directory.path().join("results/.tmp-1-0-net-pod-eth0"), "half").expect("file");
    assert_eq!(cache.of_container("pod").expect("found").len(), 1);
}
