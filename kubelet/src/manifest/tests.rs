use super::read;

const HEAD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n";
const CONTAINER: &str = "  containers:\n  - name: c\n    image: demo\n";

fn error(text: &str) -> String {
    match read("pod.yaml", text) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// A pod whose container has these extra lines, each indented by four spaces.
fn container(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("{HEAD}spec:\n{CONTAINER}{lines}")
}

/// A pod whose spec has these extra lines, each indented by two spaces.
fn spec(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("{HEAD}spec:\n{CONTAINER}{lines}")
}

#[test]
fn a_whole_pod_is_read() {
    let text = spec(
        "restartPolicy: Never\nvolumes:\n- name: data\n  emptyDir: {medium: Memory, sizeLimit: 1Mi}\n\
         initContainers:\n- name: i\n  image: demo\n  resources: {limits: {cpu: 0.5, memory: 64Mi}}\n  \
         volumeMounts: [{name: data, mountPath: /data}]",
    );
    let manifest = read("pod.yaml", &text).unwrap();
    let spec = manifest.pod.spec.unwrap();
    let init = &spec.init_containers.unwrap()[0];
    let limits = init.resources.as_ref().unwrap().limits.as_ref().unwrap();
    assert_eq!((limits["cpu"].0.as_str(), limits["memory"].0.as_str()), ("0.5", "64Mi"));
    assert!(manifest.skipped.is_empty());
}

#[test]
fn json_is_read_too() {
    let text = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},
        "spec":{"containers":[{"name":"c","image":"demo","imag":"x"}]}}"#;
    let expected = "pod.yaml:2:58: spec.containers[0].imag: unknown field; did you mean \"image\"?";
    assert_eq!(error(text), expected);
}

#[test]
fn the_first_pod_of_several_documents_is_read_and_the_others_are_told() {
    let text = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s}}\n---\n{HEAD}spec:\n{CONTAINER}---\n---\n"
    );
    let manifest = read("pod.yaml", &text).unwrap();
    assert_eq!(manifest.skipped, [("Service".to_owned(), 2)]);
}

#[test]
fn shape_and_spelling() {
    let table = [
        (
            container("imagePullPolice: Never"),
            "9:5: spec.containers[0].imagePullPolice: unknown field; did you mean \"imagePullPolicy\"?",
        ),
        (spec("hostnetwork: true"), "9:3: spec.hostnetwork: unknown field; did you mean \"hostNetwork\"?"),
        (spec("zzz: 1"), "9:3: spec.zzz: unknown field"),
        (
            spec("hostNetwork: maybe"),
            "9:16: spec.hostNetwork: expected true or false, found the text \"maybe\"",
        ),
        (
            container("env:\n- name: A\n  value: 8080"),
            "11:14: spec.containers[0].env[0].value: expected a string, found the number 8080; write it in quotes: \"8080\"",
        ),
        (
            container("env:\n- name: A\n  value: yes"),
            "11:14: spec.containers[0].env[0].value: expected a string, found the boolean yes; write it in quotes: \"yes\"",
        ),
        (
            container("command: sh"),
            "9:14: spec.containers[0].command: expected a list, found the text \"sh\"",
        ),
        (
            container("ports: [{containerPort: http}]"),
            "9:29: spec.containers[0].ports[0].containerPort: expected a whole number in range, found string \"http\"",
        ),
        (container("image: other"), "9:5: spec.containers[0].image: is given twice, first in line 8"),
        (format!("{HEAD}spec: []\n"), "5:7: spec: expected a mapping, found a list"),
        (
            format!("{HEAD}spec:\n  containers: []\n"),
            "6:15: spec.containers: at least one container is required",
        ),
        (HEAD.to_owned(), "1:1: spec: is required"),
        (HEAD.replace("Pod", "Deployment"), "1:1: holds no Pod, only Deployment"),
        (HEAD.replace("v1", "v2"), "1:13: apiVersion: expected \"v1\", found the text \"v2\""),
        (String::new(), "1:1: is empty; a Pod manifest is needed"),
        ("a: [1, 2".to_owned(), "not valid YAML"),
        ("- a".to_owned(), "1:1: expected a mapping, found a list"),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in table {
        let error = error(&text);
        if !(error.starts_with("pod.yaml:") && error.contains(expected) && error.lines().count() == 1) {
            wrong.push(format!("got {error}\nnot {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn meaning() {
    let table = [
        (
            HEAD.replace("web", "Web") + "spec:\n" + CONTAINER,
            "4:9: metadata.name: \"Web\" must be lower case",
        ),
        (spec("restartPolicy: Sometimes"), "9:18: spec.restartPolicy: unknown value \"Sometimes\""),
        (spec("restartPolicy: never"), "did you mean \"Never\"?"),
        (
            spec("- name: c\n  image: demo"),
            "9:11: spec.containers[1].name: the container name \"c\" is given twice",
        ),
        (
            container("ports: [{containerPort: 70000}]"),
            "spec.containers[0].ports[0].containerPort: 70000 must be between 1 and 65535",
        ),
        (
            container("ports: [{containerPort: 80, hostPort: 1}, {containerPort: 81, hostPort: 1}]"),
            "the host port 1/TCP is given twice",
        ),
        (
            container("ports: [{containerPort: 80, name: a}, {containerPort: 81, name: a}]"),
            "the port name \"a\" is given twice",
        ),
        (
            container("volumeMounts: [{name: dat, mountPath: /d}]")
                + "  volumes: [{name: data, emptyDir: {}}]\n",
            "there is no volume \"dat\"; did you mean \"data\"?",
        ),
        (
            container("volumeMounts: [{name: d, mountPath: /d}, {name: d, mountPath: /d}]")
                + "  volumes: [{name: d, emptyDir: {}}]\n",
            "the mount path \"/d\" is given twice",
        ),
        (
            spec("volumes: [{name: d, emptyDir: {}}, {name: d, emptyDir: {}}]"),
            "spec.volumes[1].name: the volume name \"d\" is given twice",
        ),
        (spec("volumes: [{name: d}]"), "spec.volumes[0]: a volume source is required"),
        (spec("volumes: [{name: d, hostPath: {path: /a/../b}}]"), "must not contain \"..\""),
        (
            spec("volumes: [{name: d, hostPath: {path: /a, type: Dir}}]"),
            "spec.volumes[0].hostPath.type: unknown value \"Dir\"",
        ),
        (
            container("resources: {limits: {cpu: lots}}"),
            "spec.containers[0].resources.limits[cpu]: \"lots\" is not a quantity",
        ),
        (container("resources: {limits: {cpu: 1}, requests: {cpu: 2}}"), "must not be above the limit"),
        (
            container("env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]"),
            "cannot be given together with value",
        ),
        (
            container("env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.nam}}}]"),
            "did you mean \"metadata.name\"?",
        ),
        (
            spec("hostPID: true\nshareProcessNamespace: true"),
            "10:26: spec.shareProcessNamespace: cannot be used with hostPID",
        ),
        (
            container("securityContext: {privileged: true, allowPrivilegeEscalation: false}"),
            "cannot be false with privileged: true",
        ),
        (
            spec("securityContext: {sysctls: [{name: kernel.panic, value: '1'}]}"),
            "not one of the sysctls that are safe",
        ),
        (spec("hostAliases: [{ip: nowhere}]"), "spec.hostAliases[0].ip: \"nowhere\" is not an IP address"),
        (spec("dnsPolicy: None"), "spec.dnsConfig.nameservers: at least one is required"),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in table {
        let error = error(&text);
        if !error.contains(expected) {
            wrong.push(format!("got {error}\nnot {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_built_is_refused_by_name_and_place() {
    let table = [
        (
            container("livenessProbe: {tcpSocket: {port: 80}}"),
            "9:20: spec.containers[0].livenessProbe: Orlop does not support",
        ),
        (container("lifecycle: {preStop: {exec: {command: [a]}}}"), "spec.containers[0].lifecycle:"),
        (container("envFrom: [{configMapRef: {name: a}}]"), "spec.containers[0].envFrom:"),
        (spec("volumes: [{name: d, configMap: {name: a}}]"), "spec.volumes[0].configMap:"),
        (spec("volumes: [{name: d, emptyDir: {medium: HugePages-2Mi}}]"), "spec.volumes[0].emptyDir.medium:"),
        (
            spec("initContainers: [{name: i, image: x, startupProbe: {exec: {command: [a]}}}]"),
            "spec.initContainers[0].startupProbe:",
        ),
        (spec("activeDeadlineSeconds: 5"), "spec.activeDeadlineSeconds:"),
        (spec("hostUsers: false"), "spec.hostUsers:"),
        (spec("serviceAccountName: robot"), "spec.serviceAccountName:"),
    ];
    let mut wrong = Vec::new();
    for (text, expected) in table {
        let error = error(&text);
        if !error.contains(expected) {
            wrong.push(format!("got {error}\nnot {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_changes_nothing_is_accepted() {
    let lines = "hostUsers: true\nserviceAccountName: default\nautomountServiceAccountToken: false\n\
                 enableServiceLinks: false\ntolerations: [{operator: Exists}]\nimagePullSecrets: []\nnodeSelector:\n";
    assert_eq!(error(&spec(lines)), "accepted");
}

#[test]
fn a_hostile_file_is_refused_and_does_not_harm() {
    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(error(&deep).starts_with("pod.yaml:1:"));
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(", ")));
    }
    assert!(error(&laughs).contains("aliases included"), "{}", error(&laughs));
    assert!(error("a: &a [*a]").contains("anchor"), "{}", error("a: &a [*a]"));
}

#[test]
fn aliases_and_long_texts_work_as_in_kubectl() {
    let text = container("command: &cmd [sh, -c, \"a\\nb\"]\nargs: *cmd");
    let manifest = read("pod.yaml", &text).unwrap();
    let spec = manifest.pod.spec.unwrap();
    assert_eq!(spec.containers[0].command, spec.containers[0].args);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = read("pod.yaml", &text);
    }

    #[test]
    fn no_damage_to_a_manifest_makes_it_panic(position in 0..300_usize, with in "[\\[\\]{}:,&*#\\-\\n a-z0-9\"']{0,3}") {
        let mut text = container("ports: [{containerPort: 80}]\nenv: [{name: A, value: b}]");
        let position = position.min(text.len() - 1);
        text.replace_range(position..=position, &with);
        if let Err(error) = read("pod.yaml", &text) {
            proptest::prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}
