use serde_json::{Value, json};

use super::config::{Config, Protocol};
use crate::call::{Arguments, Call, NetConfig, Teardown};
use crate::error::{Code, Error};
use crate::invoke::delegate::OwnBinary;

fn config(extra: Value) -> Result<Config, Error> {
    let mut fields = json!({ "cniVersion": "1.1.0", "name": "test", "type": "portmap" });
    fields.as_object_mut().expect("object").extend(extra.as_object().cloned().expect("object"));
    Config::of(&Call {
        container_id: "pod".to_owned(),
        netns: None,
        ifname: "eth0".to_owned(),
        arguments: Arguments::default(),
        path: Vec::new(),
        config: NetConfig::parse(fields.to_string().as_bytes()).expect("configuration"),
        teardown: Teardown::Link,
        own_binary: &OwnBinary::NONE,
    })
}

fn mappings(list: Value) -> Result<Config, Error> {
    config(json!({ "runtimeConfig": { "portMappings": list } }))
}

#[test]
fn mappings_are_read_as_runtimes_write_them() {
    let list = json!([
        { "hostPort": 80, "containerPort": 8080, "protocol": "TCP" },
        { "hostPort": 80, "containerPort": 8080, "protocol": "tcp", "hostIP": "" },
        { "hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "::1" },
        { "hostPort": 99, "containerPort": 99, "protocol": "SCTP", "hostIP": "10.0.0.1" },
        { "containerPort": 9090, "protocol": "tcp" },
    ]);
    let read = mappings(list).expect("read").mappings;
    let shown: Vec<String> = read.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["80/tcp", "[::1]:53/udp", "10.0.0.1:99/sctp"],
        "doubles and unpublished ports are left out"
    );
    assert_eq!(read[2].protocol, Protocol::Sctp);
    assert!(
        !read[1].applies_to("10.1.0.2".parse().expect("IP"))
            && read[1].applies_to("fd00::2".parse().expect("IP"))
    );
}

#[test]
fn an_address_of_the_host_is_no_target() {
    let prev = json!({
        "interfaces": [{ "name": "cni0" }, { "name": "eth0", "sandbox": "/run/netns/a" }],
        "ips": [
            { "interface": 0, "address": "10.1.0.1/16" }, { "interface": 1, "address": "10.1.0.2/16" },
            { "interface": 1, "address": "10.1.0.3/16" }, { "address": "fd00::2/64" },
        ],
    });
    let targets: Vec<String> = config(json!({ "prevResult": prev }))
        .expect("read")
        .targets
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(targets, ["10.1.0.2", "fd00::2"]);
}

#[test]
fn options_of_iptables_are_refused_by_name() {
    for (field, value) in [
        ("backend", json!("iptables")),
        ("conditionsV4", json!(["-d", "10.0.0.1"])),
        ("externalSetMarkChain", json!("KUBE-MARK-MASQ")),
    ] {
        let error = config(json!({ field: value })).expect_err(field);
        assert_eq!(error.code, Code::UNSUPPORTED_FIELD);
        assert!(error.msg.contains(field), "{error}");
    }
    // What the usual configurations say is understood.
    let usual = config(json!({ "backend": "nftables", "snat": true, "conditionsV4": [], "markMasqBit": 13 }));
    assert!(usual.expect("usual").snat);
}
