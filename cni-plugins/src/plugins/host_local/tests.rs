use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{HostLocal, resolv_conf};
use crate::call::{Arguments, Call, NetConfig, Teardown};
use crate::error::{Code, Error};
use crate::invoke::delegate::OwnBinary;
use crate::plugins::Plugin;
use crate::result::{CniResult, Dns};

struct Node(TempDir);

impl Node {
    fn new() -> Self {
        Self(TempDir::new().expect("directory"))
    }

    fn leases(&self) -> std::path::PathBuf {
        self.0.path().join("test")
    }

    fn call(&self, id: &str, ipam: &Value, extra: Value) -> Call<'static> {
        let mut fields = json!({ "cniVersion": "1.1.0", "name": "test", "type": "bridge", "ipam": ipam });
        fields["ipam"]["dataDir"] = json!(self.0.path());
        fields.as_object_mut().expect("object").extend(extra.as_object().cloned().unwrap_or_default());
        Call {
            container_id: id.to_owned(),
            netns: None,
            ifname: "eth0".to_owned(),
            arguments: Arguments::default(),
            path: Vec::new(),
            config: NetConfig::parse(fields.to_string().as_bytes()).expect("configuration"),
            teardown: Teardown::Link,
            own_binary: &OwnBinary::NONE,
        }
    }

    fn add(&self, id: &str, ipam: &Value) -> Result<CniResult, Error> {
        HostLocal.add(&self.call(id, ipam, Value::Null))
    }

    fn add_ip(&self, id: &str, ipam: &Value) -> String {
        self.add(id, ipam).expect(id).ips[0].address.addr().to_string()
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("file")
}

#[test]
fn the_files_are_those_of_the_reference_plugin() {
    let node = Node::new();
    let ipam = json!({ "ranges": [[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "fd00::/64" }]], "routes": [{ "dst": "0.0.0.0/0" }] });
    let result = node.add("pod", &ipam).expect("ADD");
    let addresses: Vec<String> = result.ips.iter().map(|ip| ip.address.to_string()).collect();
    assert_eq!(addresses, ["10.1.0.2/24", "fd00::2/64"]);
    assert_eq!(result.ips[0].gateway.map(|ip| ip.to_string()).as_deref(), Some("10.1.0.1"));
    assert_eq!(result.routes.len(), 1);
    assert_eq!(read(&node.leases().join("10.1.0.2")), "pod\r\neth0");
    assert_eq!(read(&node.leases().join("fd00::2")), "pod\r\neth0");
    assert_eq!(read(&node.leases().join("last_reserved_ip.0")), "10.1.0.2");
    assert_eq!(read(&node.leases().join("last_reserved_ip.1")), "fd00::2");
    assert!(node.leases().join("lock").exists());
}

#[test]
fn addresses_go_round_before_one_comes_again() {
    let node = Node::new();
    let ipam = json!({ "subnet": "10.1.0.0/29" });
    for (round, expected) in
        ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6", "10.1.0.2"].iter().enumerate()
    {
        let id = format!("pod{round}");
        assert_eq!(node.add_ip(&id, &ipam), *expected);
        HostLocal.del(&node.call(&id, &ipam, Value::Null)).expect("DEL");
    }
}

#[test]
fn leases_of_the_reference_plugin_are_respected_and_released() {
    let node = Node::new();
    let ipam = json!({ "subnet": "10.1.0.0/29" });
    fs::create_dir_all(node.leases()).expect("directory");
    fs::write(node.leases().join("10.1.0.2"), "theirs\r\neth0").expect("lease");
    // Before 0.8 there was no interface name, and some versions wrote a final newline.
    fs::write(node.leases().join("10.1.0.3"), "ancient\n").expect("lease");
    assert_eq!(node.add_ip("ours", &ipam), "10.1.0.4");
    for id in ["theirs", "ancient"] {
        HostLocal.check(&node.call(id, &ipam, Value::Null)).expect("has an address");
        HostLocal.del(&node.call(id, &ipam, Value::Null)).expect("DEL");
        let gone = HostLocal.check(&node.call(id, &ipam, Value::Null)).expect_err("gone");
        assert_eq!(gone.code, Code::CHECK_FAILED);
    }
    assert!(!node.leases().join("10.1.0.2").exists() && !node.leases().join("10.1.0.3").exists());
    assert!(node.leases().join("10.1.0.4").exists());
}

#[test]
fn a_file_without_content_is_a_free_address() {
    let node = Node::new();
    fs::create_dir_all(node.leases()).expect("directory");
    fs::write(node.leases().join("10.1.0.2"), "").expect("file of a writer that was killed");
    assert_eq!(node.add_ip("pod", &json!({ "subnet": "10.1.0.0/29" })), "10.1.0.2");
    assert_eq!(read(&node.leases().join("10.1.0.2")), "pod\r\neth0");
}

#[test]
fn a_failed_add_of_two_families_releases_the_first() {
    let node = Node::new();
    let small = json!({ "ranges": [[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "fd00::/126" }]] });
    node.add("one", &small).expect("::2");
    node.add("two", &small).expect("::3");
    let error = node.add("three", &small).expect_err("no IPv6 address left");
    assert_eq!(error.code, Code::TRY_AGAIN);
    assert!(error.msg.contains("2 of 2 in use in fd00::1-fd00::3"), "{error}");
    assert!(!node.leases().join("10.1.0.4").exists());
}

#[test]
fn requested_addresses_come_from_every_place_a_caller_writes_them() {
    let node = Node::new();
    let ipam = json!({ "subnet": "10.1.0.0/24" });
    let places = [
        json!({ "runtimeConfig": { "ips": ["10.1.0.10/24"] } }),
        json!({ "args": { "cni": { "ips": ["10.1.0.11"] } } }),
    ];
    for (index, place) in places.into_iter().enumerate() {
        let result = HostLocal.add(&node.call(&format!("pod{index}"), &ipam, place)).expect("ADD");
        assert_eq!(result.ips[0].address.to_string(), format!("10.1.0.1{index}/24"));
    }
    let gateway = json!({ "runtimeConfig": { "ips": ["10.1.0.1"] } });
    HostLocal.add(&node.call("gateway", &ipam, gateway)).expect_err("the gateway is not given out");
    let ranges = json!({ "runtimeConfig": { "ipRanges": [[{ "subnet": "10.7.0.0/24" }]] } });
    let result = HostLocal.add(&node.call("ranges", &json!({}), ranges)).expect("ranges of the runtime");
    assert_eq!(result.ips[0].address.to_string(), "10.7.0.2/24");
}

#[test]
fn nothing_is_created_by_removal_check_or_status() {
    let node = Node::new();
    let call = node.call("pod", &json!({ "subnet": "10.1.0.0/24" }), Value::Null);
    HostLocal.del(&call).expect("DEL");
    HostLocal.check(&call).expect_err("no address");
    HostLocal.status(&call).expect("ready");
    assert!(!node.leases().exists());
    let broken = node.call("pod", &json!({ "subnet": "10.1.0.1/24" }), Value::Null);
    assert_eq!(HostLocal.status(&broken).expect_err("host bits").code, Code::UNAVAILABLE);
}

#[test]
fn parallel_threads_never_share_an_address() {
    let node = Node::new();
    let ipam = json!({ "subnet": "10.1.0.0/24" });
    let mut ips: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..40)
            .map(|i| (i, &node, &ipam))
            .map(|(i, node, ipam)| scope.spawn(move || node.add_ip(&format!("pod{i}"), ipam)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("thread")).collect()
    });
    ips.sort();
    ips.dedup();
    assert_eq!(ips.len(), 40);
}

#[test]
fn resolv_conf_is_read_as_the_resolver_does() {
    let text = "# comment\nnameserver 10.0.0.10 ; trailing\nnameserver\nsearch a b\nsearch c d\noptions ndots:5 edns0\ndomain local\n";
    let expected = Dns {
        nameservers: vec!["10.0.0.10".into()],
        domain: "local".into(),
        search: vec!["c".into(), "d".into()],
        options: vec!["ndots:5".into(), "edns0".into()],
    };
    assert_eq!(resolv_conf::parse(text), expected);
}
