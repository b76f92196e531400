use super::*;

fn defaults() -> Defaults {
    Defaults::without_host(seccomp::KernelVersion { major: 6, minor: 1 })
}

fn named(profile_type: ProfileType, localhost_ref: &str) -> SecurityProfile {
    SecurityProfile { profile_type: profile_type.into(), localhost_ref: localhost_ref.to_owned() }
}

fn container(profile: Option<SecurityProfile>) -> LinuxContainerSecurityContext {
    LinuxContainerSecurityContext { seccomp: profile, ..LinuxContainerSecurityContext::default() }
}

fn resolve(security: &LinuxContainerSecurityContext) -> Result<Option<LinuxSeccomp>, ResolveError> {
    of_container(security, &LinuxCapabilities::default(), &defaults())
}

#[test]
fn nothing_named_is_unconfined_and_the_old_text_counts_only_then() {
    let old = |text: &str| choose(None, text);
    assert_eq!(old("").unwrap(), Choice::Unconfined);
    assert_eq!(old("unconfined").unwrap(), Choice::Unconfined);
    assert_eq!(old("runtime/default").unwrap(), Choice::RuntimeDefault);
    assert_eq!(old("docker/default").unwrap(), Choice::RuntimeDefault);
    assert_eq!(old("localhost//a/b").unwrap(), Choice::Localhost("/a/b".into()));
    assert!(old("localhost/a").is_err() && old("other").is_err());
    let new = named(ProfileType::RuntimeDefault, "");
    assert_eq!(choose(Some(&new), "unconfined").unwrap(), Choice::RuntimeDefault);
    assert!(choose(Some(&named(ProfileType::Localhost, "")), "").is_err());
    assert!(choose(Some(&named(ProfileType::Localhost, "relative")), "").is_err());
}

#[test]
fn the_default_profile_knows_the_capabilities_of_its_container() {
    let default = container(Some(named(ProfileType::RuntimeDefault, "")));
    let names = |section: LinuxSeccomp| -> Vec<String> {
        section.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect()
    };
    let plain = names(resolve(&default).unwrap().unwrap());
    assert!(plain.contains(&"read".to_owned()) && !plain.contains(&"mount".to_owned()));
    let mut capabilities = LinuxCapabilities::default();
    capabilities.set_bounding(Some([oci_spec::runtime::Capability::SysAdmin].into()));
    let admin = of_container(&default, &capabilities, &defaults()).unwrap().unwrap();
    assert!(names(admin).contains(&"mount".to_owned()));
}

#[test]
fn a_privileged_container_has_no_filter_whatever_is_asked_for() {
    let profile = Some(named(ProfileType::Localhost, "/does/not/exist"));
    let privileged = LinuxContainerSecurityContext { privileged: true, ..container(profile) };
    assert_eq!(resolve(&privileged).unwrap(), None);
}

#[test]
fn a_profile_of_the_host_must_be_there_and_be_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.json");
    let localhost = container(Some(named(ProfileType::Localhost, path.to_str().unwrap())));
    assert!(matches!(resolve(&localhost), Err(ResolveError::ReadProfile { .. })));
    std::fs::write(&path, "{}").unwrap();
    assert!(matches!(resolve(&localhost), Err(ResolveError::Profile { .. })));
    std::fs::write(&path, r#"{"defaultAction": "SCMP_ACT_LOG"}"#).unwrap();
    let section = resolve(&localhost).unwrap().unwrap();
    assert_eq!(section.default_action().to_string(), "SCMP_ACT_LOG");
}

#[test]
fn a_program_is_compiled_once() {
    let default = resolve(&container(Some(named(ProfileType::RuntimeDefault, "")))).unwrap().unwrap();
    let filters = Filters::default();
    if Arch::native().is_none() {
        eprintln!("skipped: no table of system calls for this machine");
        return;
    }
    let first = filter(&filters, &default).unwrap();
    assert!(first.program.len() > 100);
    let policy = Policy::try_from(&default).unwrap();
    let again = filters.get::<()>(key(&policy), || panic!("compiled a second time")).unwrap();
    assert_eq!(*again, first.program);
}
