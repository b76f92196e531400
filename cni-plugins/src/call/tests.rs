use serde_json::json;

use super::{Arguments, NetConfig, validate_container_id, validate_ifname, validate_network_name};
use crate::error::Code;

#[test]
fn names_are_checked_as_skel_does() {
    for good in ["a", "0f", "pod_1.x-y"] {
        validate_container_id(good).expect(good);
        validate_network_name(good).expect(good);
    }
    for bad in ["", "-a", ".a", "a/b", "a b", "ä"] {
        assert_eq!(validate_container_id(bad).expect_err(bad).code, Code::INVALID_ENVIRONMENT);
        assert_eq!(validate_network_name(bad).expect_err(bad).code, Code::INVALID_CONFIG);
    }
    assert_eq!(validate_network_name("").expect_err("empty").msg, "missing network name");
    validate_ifname("eth0").expect("eth0");
    for bad in ["", ".", "..", "a/b", "a:b", "a b", "0123456789abcdef"] {
        assert_eq!(validate_ifname(bad).expect_err(bad).code, Code::INVALID_ENVIRONMENT);
    }
}

#[test]
fn broken_configurations_get_their_code() {
    let code = |text: &str| NetConfig::parse(text.as_bytes()).expect_err(text).code;
    assert_eq!(code("{"), Code::DECODE);
    assert_eq!(code("[]"), Code::DECODE);
    assert_eq!(code(r#"{"name": 1}"#), Code::DECODE);
    assert_eq!(code(r#"{"cniVersion": "1.0.0"}"#), Code::INVALID_CONFIG);
    assert_eq!(code(r#"{"cniVersion": "1.0.0", "name": "a b"}"#), Code::INVALID_CONFIG);
    assert_eq!(code(r#"{"cniVersion": "3.0.0", "name": "a"}"#), Code::INCOMPATIBLE_VERSION);
    assert_eq!(code(r#"{"cniVersion": "1.0.0", "name": "a", "prevResult": {"ips": [{}]}}"#), Code::DECODE);
}

#[test]
fn garbage_collection_without_a_list_is_refused() {
    let config = |extra: serde_json::Value| {
        let mut fields = json!({ "cniVersion": "1.1.0", "name": "a", "type": "bridge" });
        fields.as_object_mut().expect("object").extend(extra.as_object().cloned().expect("object"));
        NetConfig::parse(fields.to_string().as_bytes()).expect("config")
    };
    assert_eq!(config(json!({})).valid_attachments().expect_err("missing").code, Code::INVALID_CONFIG);
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        let list = json!({ key: [{ "containerID": "x", "ifname": "eth0" }] });
        assert_eq!(config(list).valid_attachments().expect(key)[0].container_id, "x");
    }
    assert!(
        config(json!({ "cni.dev/valid-attachments": [] })).valid_attachments().expect("empty").is_empty()
    );
}

#[test]
fn arguments_keep_their_order_and_refuse_half_pairs() {
    let arguments = Arguments::parse("IgnoreUnknown=1;K8S_POD_NAME=web;IP=;A=b=c").expect("parsed");
    assert_eq!(arguments.get("K8S_POD_NAME"), Some("web"));
    assert_eq!((arguments.get("IP"), arguments.get("A")), (None, Some("b=c")));
    assert_eq!(arguments.to_text(), "IgnoreUnknown=1;K8S_POD_NAME=web;IP=;A=b=c");
    assert_eq!(Arguments::parse("oops").expect_err("refused").code, Code::INVALID_ENVIRONMENT);
    assert_eq!(Arguments::parse("").expect("empty"), Arguments::default());
}
