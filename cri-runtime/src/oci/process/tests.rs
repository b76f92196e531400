use oci_spec::image::ConfigBuilder;

use super::*;

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn image() -> Config {
    ConfigBuilder::default()
        .entrypoint(strings(&["/entry", "-x"]))
        .cmd(strings(&["cmd"]))
        .env(strings(&["A=1", "PATH=/bin", "B=2", "NOVALUE"]))
        .working_dir("srv/./app")
        .build()
        .unwrap()
}

fn variable(key: &str, value: &[u8]) -> KeyValue {
    KeyValue { key: key.to_owned(), value: value.to_owned() }
}

#[test]
fn command_and_arguments_replace_what_the_image_says() {
    let table = [
        (vec![], vec![], vec!["/entry", "-x", "cmd"]),
        (vec![], vec!["a"], vec!["/entry", "-x", "a"]),
        (vec!["c"], vec![], vec!["c"]),
        (vec!["c"], vec!["a"], vec!["c", "a"]),
    ];
    for (command, args, expected) in table {
        let config = ContainerConfig {
            command: strings(&command),
            args: strings(&args),
            ..ContainerConfig::default()
        };
        assert_eq!(arguments(&config, Some(&image())).unwrap(), expected);
    }
    let nothing = ContainerConfig::default();
    assert!(matches!(arguments(&nothing, None), Err(ResolveError::Missing { .. })));
    let nul = ContainerConfig { command: strings(&["a\0b"]), ..ContainerConfig::default() };
    assert!(matches!(arguments(&nul, None), Err(ResolveError::Invalid { .. })));
}

#[test]
fn the_working_directory_is_absolute() {
    let of = |text: &str, image: Option<&Config>| {
        let config = ContainerConfig { working_dir: text.to_owned(), ..ContainerConfig::default() };
        working_directory(&config, image)
    };
    assert_eq!(of("", None).unwrap(), Path::new("/"));
    assert_eq!(of("", Some(&image())).unwrap(), Path::new("/srv/app"));
    assert_eq!(of("/a//b", Some(&image())).unwrap(), Path::new("/a/b"));
    assert!(of("/a/../b", None).is_err());
    assert!(of("/a\0", None).is_err());
}

#[test]
fn variables_of_the_container_take_the_place_of_the_images() {
    let config = ContainerConfig {
        envs: vec![variable("B", b"3"), variable("C", b"4=5"), variable("B", b"6")],
        ..ContainerConfig::default()
    };
    let list = text(&variables(&config, Some(&image()), "pod", Some("/home/web")).unwrap());
    assert_eq!(list, ["HOSTNAME=pod", "A=1", "PATH=/bin", "B=6", "C=4=5", "HOME=/home/web"]);
}

#[test]
fn what_nobody_sets_has_a_default() {
    let list = text(&variables(&ContainerConfig::default(), None, "pod", None).unwrap());
    assert_eq!(list, ["HOSTNAME=pod", DEFAULT_PATH, "HOME=/"]);
    let tty = ContainerConfig { tty: true, ..ContainerConfig::default() };
    let list = text(&variables(&tty, None, "pod", None).unwrap());
    assert!(list.contains(&"TERM=xterm".to_owned()));
}

#[test]
fn names_and_values_that_would_become_others_are_refused() {
    let with = |key: &str, value: &[u8]| {
        let config = ContainerConfig { envs: vec![variable(key, value)], ..ContainerConfig::default() };
        variables(&config, None, "pod", None)
    };
    assert!(with("", b"x").is_err());
    assert!(with("A=B", b"x").is_err());
    assert!(with("A", b"x\0y").is_err());
    assert!(with("A\0", b"x").is_err());
    assert!(with("HOME", b"/x\nroot2::0:0").is_err());
    assert!(with("OTHER", b"two\nlines").is_ok());
}

#[test]
fn a_value_that_is_no_text_reaches_the_process_as_its_bytes() {
    let config = ContainerConfig {
        envs: vec![variable("RAW", b"\xff\xfe="), variable("TEXT", b"t")],
        ..ContainerConfig::default()
    };
    let list = text(&variables(&config, None, "pod", None).unwrap());
    let mut process = Process::default();
    process.set_env(Some(list));
    let mut spec = Spec::default();
    spec.set_process(Some(process));
    let bytes = environment(&config, &spec);
    assert!(bytes.contains(&b"RAW=\xff\xfe=".to_vec()));
    assert!(bytes.contains(&b"TEXT=t".to_vec()));
}

#[test]
fn an_exec_is_the_containers_process_with_another_command() {
    let mut process = Process::default();
    process
        .set_env(Some(strings(&["A=1"])))
        .set_args(Some(strings(&["sleep"])))
        .set_no_new_privileges(Some(true));
    let mut spec = Spec::default();
    spec.set_process(Some(process.clone()));
    let exec = exec_process(&spec, strings(&["ls"]), true).unwrap();
    assert_eq!(exec.args().as_deref(), Some(&strings(&["ls"])[..]));
    assert_eq!(exec.env().as_deref(), Some(&strings(&["A=1", "TERM=xterm"])[..]));
    assert_eq!(exec.terminal(), Some(true));
    assert_eq!((exec.capabilities(), exec.no_new_privileges()), (process.capabilities(), Some(true)));
    assert!(exec_process(&spec, Vec::new(), false).is_err());
}
