use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Answer, Variables, serve};
use crate::plugins;

fn run(plugin: &str, variables: &[(&str, &str)], stdin: &str) -> (Answer, Value) {
    let variables: HashMap<String, String> =
        variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let answer = serve(plugins::find(plugin).expect("plugin"), &Variables(variables), stdin.as_bytes());
    let json = serde_json::from_str(&answer.stdout).unwrap_or(Value::Null);
    (answer, json)
}

fn code(variables: &[(&str, &str)], stdin: &str) -> (u64, String) {
    let (answer, json) = run("bridge", variables, stdin);
    assert_eq!(answer.exit, 1);
    (json["code"].as_u64().expect("code"), json["msg"].as_str().expect("msg").to_owned())
}

const CONFIG: &str = r#"{"cniVersion":"1.1.0","name":"test","type":"bridge"}"#;

#[test]
fn without_a_command_it_says_what_it_is() {
    let (answer, _) = run("bridge", &[], "");
    assert_eq!((answer.exit, answer.stdout.as_str()), (0, ""));
    assert!(
        answer
            .stderr
            .contains("CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0")
    );
}

#[test]
fn version_needs_nothing_on_stdin() {
    let (answer, json) = run("portmap", &[("CNI_COMMAND", "VERSION")], "");
    assert_eq!(answer.exit, 0);
    assert_eq!(json["cniVersion"], json!("1.1.0"));
    assert_eq!(json["supportedVersions"].as_array().map(Vec::len), Some(7));
}

#[test]
fn missing_variables_are_listed_in_one_error() {
    let (code, msg) = code(&[("CNI_COMMAND", "ADD"), ("CNI_NETNS", "/x")], CONFIG);
    assert_eq!(
        (code, msg.as_str()),
        (4, "required env variables [CNI_CONTAINERID,CNI_IFNAME,CNI_PATH] missing")
    );
}

#[test]
fn each_kind_of_bad_call_has_its_code() {
    let attachment =
        [("CNI_CONTAINERID", "a"), ("CNI_IFNAME", "eth0"), ("CNI_PATH", "/x"), ("CNI_NETNS", "/nowhere")];
    let with = |verb: &'static str, change: (&'static str, &'static str)| {
        let mut variables = vec![("CNI_COMMAND", verb)];
        variables.extend(attachment.iter().map(|(k, v)| (*k, if *k == change.0 { change.1 } else { *v })));
        variables
    };
    let none = ("", "");
    let table = [
        (with("JUMP", none), CONFIG, 4),
        (with("ADD", ("CNI_CONTAINERID", "a/b")), CONFIG, 4),
        (with("ADD", ("CNI_IFNAME", "a-name-that-is-too-long")), CONFIG, 4),
        (with("ADD", none), "{", 6),
        (with("ADD", none), r#"{"cniVersion":"1.1.0"}"#, 7),
        (with("ADD", none), r#"{"cniVersion":"7.0.0","name":"a"}"#, 1),
        (with("ADD", none), CONFIG, 3),
        (with("ADD", ("CNI_NETNS", "/proc/self/ns/net")), CONFIG, 8),
        (with("CHECK", none), r#"{"cniVersion":"0.3.1","name":"a"}"#, 1),
        (with("GC", none), r#"{"cniVersion":"1.0.0","name":"a"}"#, 1),
        (with("STATUS", none), r#"{"cniVersion":"1.0.0","name":"a"}"#, 1),
    ];
    for (variables, stdin, expected) in table {
        let (found, msg) = code(&variables, stdin);
        assert_eq!(found, expected, "{variables:?}: {msg}");
    }
}

#[test]
fn an_error_has_the_version_of_the_configuration() {
    let variables = [("CNI_COMMAND", "GC"), ("CNI_PATH", "/x")];
    let (_, json) = run("bridge", &variables, r#"{"cniVersion":"0.4.0","name":"a"}"#);
    assert_eq!(json["cniVersion"], json!("0.4.0"));
}
