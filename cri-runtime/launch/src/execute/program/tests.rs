use super::*;

fn program(name: &str, environment: &[&str]) -> Program {
    Program {
        executable: Executable::Lookup,
        arguments: vec![name.as_bytes().to_vec()],
        environment: environment.iter().map(|variable| variable.as_bytes().to_vec()).collect(),
        signals: Signals::Unblocked,
    }
}

fn paths(name: &str, environment: &[&str]) -> Vec<String> {
    let candidates = candidates(&program(name, environment));
    candidates.into_iter().map(|path| String::from_utf8(path).expect("text")).collect()
}

#[test]
fn a_name_is_looked_up_in_the_containers_path() {
    assert_eq!(paths("sh", &["A=b", "PATH=/a::/b"]), ["/a/sh", "./sh", "/b/sh"]);
    assert_eq!(paths("sh", &["PATH="]), ["./sh"]);
    assert_eq!(paths("sh", &["XPATH=/a"]).len(), 6, "the default");
}

#[test]
fn a_path_is_taken_as_it_is() {
    assert_eq!(paths("/bin/sh", &["PATH=/a"]), ["/bin/sh"]);
    assert_eq!(paths("./sh", &["PATH=/a"]), ["./sh"]);
}

#[test]
fn a_descriptor_that_did_not_come_is_an_error() {
    let mut program = program("sh", &[]);
    program.executable = Executable::Descriptor(crate::plan::FdIndex(0));
    let error = Prepared::new(&program, &[]).err().expect("an error");
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
}
