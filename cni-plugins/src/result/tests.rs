use serde_json::{Value, json};

use super::{ConvertError, SUPPORTED, SpecVersion, decode, encode};

fn full() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            { "name": "cni0", "mac": "02:00:00:00:00:01", "mtu": 1400 },
            { "name": "eth0", "mac": "02:00:00:00:00:02", "mtu": 1400, "sandbox": "/run/netns/a",
              "socketPath": "/run/s", "pciID": "0000:00:1f.6" },
        ],
        "ips": [
            { "interface": 1, "address": "10.1.2.3/16", "gateway": "10.1.0.1" },
            { "interface": 1, "address": "fd00::3/64", "gateway": "fd00::1" },
            { "interface": 1, "address": "10.9.2.3/16" },
        ],
        "routes": [
            { "dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1300, "advmss": 1200, "priority": 5, "table": 100, "scope": 0 },
            { "dst": "::/0" },
        ],
        "dns": { "nameservers": ["10.0.0.10"], "domain": "local", "search": ["a"], "options": ["ndots:5"] },
        "vendor": { "kept": true },
    })
}

#[test]
fn each_version_has_exactly_its_own_shape() {
    let result = decode(&full(), SpecVersion::V1_1_0).expect("decoded");
    let old = |version: &str| {
        json!({
            "cniVersion": version,
            "ip4": { "ip": "10.1.2.3/16", "gateway": "10.1.0.1", "routes": [{ "dst": "0.0.0.0/0", "gw": "10.1.0.1" }] },
            "ip6": { "ip": "fd00::3/64", "gateway": "fd00::1", "routes": [{ "dst": "::/0" }] },
            "dns": full()["dns"],
        })
    };
    let middle = |version: &str| {
        json!({
            "cniVersion": version,
            "interfaces": [
                { "name": "cni0", "mac": "02:00:00:00:00:01" },
                { "name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/a" },
            ],
            "ips": [
                { "version": "4", "interface": 1, "address": "10.1.2.3/16", "gateway": "10.1.0.1" },
                { "version": "6", "interface": 1, "address": "fd00::3/64", "gateway": "fd00::1" },
                { "version": "4", "interface": 1, "address": "10.9.2.3/16" },
            ],
            "routes": [{ "dst": "0.0.0.0/0", "gw": "10.1.0.1" }, { "dst": "::/0" }],
            "dns": full()["dns"],
            "vendor": { "kept": true },
        })
    };
    for version in SUPPORTED {
        let name = version.as_str();
        let expected = match name {
            "0.1.0" | "0.2.0" => old(name),
            "0.3.0" | "0.3.1" | "0.4.0" => middle(name),
            _ => {
                let mut newest = full();
                newest["cniVersion"] = json!(name);
                newest
            }
        };
        assert_eq!(encode(&result, version).expect(name), expected, "{name}");
    }
}

#[test]
fn what_a_version_can_say_survives_writing_and_reading_it() {
    let newest = decode(&full(), SpecVersion::V1_1_0).expect("decoded");
    for version in SUPPORTED {
        let once = encode(&newest, version).expect("encoded");
        // A result without a version of its own has that of the configuration.
        let mut bare = once.clone();
        bare.as_object_mut().expect("object").remove("cniVersion");
        let read = decode(&bare, version).expect("decoded");
        assert_eq!(encode(&read, version).expect("encoded again"), once, "{version}");
    }
}

#[test]
fn a_result_without_addresses_has_no_form_before_0_3() {
    let empty = decode(&json!({ "cniVersion": "1.0.0" }), SpecVersion::V1_1_0).expect("decoded");
    assert!(matches!(encode(&empty, SpecVersion::V0_2_0), Err(ConvertError::NoAddress(SpecVersion::V0_2_0))));
    // dns is always there, as Go writes it.
    assert_eq!(
        encode(&empty, SpecVersion::V1_0_0).expect("encoded"),
        json!({ "cniVersion": "1.0.0", "dns": {} })
    );
}

#[test]
fn lists_that_go_wrote_as_null_are_empty() {
    let value = json!({ "cniVersion": "0.4.0", "interfaces": null, "ips": null, "routes": null, "dns": {} });
    let result = decode(&value, SpecVersion::V0_4_0).expect("decoded");
    assert!(result.interfaces.is_empty() && result.ips.is_empty() && result.routes.is_empty());
}

#[test]
fn versions_nobody_published_are_refused_by_name() {
    assert_eq!("".parse(), Ok(SpecVersion::V0_1_0));
    for version in SUPPORTED {
        assert_eq!(version.as_str().parse(), Ok(version));
    }
    let error = "2.0.0".parse::<SpecVersion>().expect_err("refused").to_string();
    assert!(error.contains("2.0.0") && error.contains("1.1.0"), "{error}");
    assert!(decode(&json!({ "cniVersion": "9.9.9" }), SpecVersion::V1_0_0).is_err());
}
