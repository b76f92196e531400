use cri_api::v1::Capability as Asked;

use super::*;

fn defaults() -> Defaults {
    Defaults::without_host(launch::seccomp::KernelVersion { major: 6, minor: 1 })
}

fn context(add: &[&str], drop: &[&str], ambient: &[&str]) -> LinuxContainerSecurityContext {
    let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    let capabilities = Asked {
        add_capabilities: strings(add),
        drop_capabilities: strings(drop),
        add_ambient_capabilities: strings(ambient),
    };
    LinuxContainerSecurityContext {
        capabilities: Some(capabilities),
        ..LinuxContainerSecurityContext::default()
    }
}

fn held(add: &[&str], drop: &[&str]) -> HashSet<Capability> {
    let sets = capabilities(&context(add, drop, &[]), &defaults()).unwrap();
    assert_eq!((sets.bounding(), sets.effective()), (sets.permitted(), sets.permitted()));
    assert_eq!(
        sets.inheritable(),
        &Some(HashSet::new()),
        "inheritable capabilities outlive a change of user"
    );
    assert_eq!(sets.ambient(), &Some(HashSet::new()));
    sets.bounding().clone().unwrap()
}

#[test]
fn single_drops_win_over_single_additions_and_those_over_all() {
    let default: HashSet<Capability> = DEFAULT.into();
    assert_eq!(held(&[], &[]), default);
    assert_eq!(held(&["ALL"], &[]).len(), 41);
    assert_eq!(held(&[], &["all"]), HashSet::new());
    assert_eq!(held(&["NET_ADMIN"], &["ALL"]), [NetAdmin].into());
    assert_eq!(held(&["ALL"], &["SYS_ADMIN"]).len(), 40);
    assert_eq!(held(&["NET_ADMIN"], &["NET_ADMIN"]), default);
    assert_eq!(held(&["cap_net_admin"], &["CAP_KILL"]).len(), 14);
}

#[test]
fn a_name_nobody_knows_is_refused_and_so_is_a_right_nobody_can_give() {
    for bad in ["NET_ADMINN", "CAP_", "", "CAP_CAP_KILL"] {
        assert!(capabilities(&context(&[bad], &[], &[]), &defaults()).is_err(), "{bad:?}");
        assert!(capabilities(&context(&[], &[bad], &[]), &defaults()).is_err(), "{bad:?}");
    }
    let mut poor = defaults();
    poor.available.retain(|capability| *capability != SysResource);
    assert!(capabilities(&context(&["SYS_RESOURCE"], &[], &[]), &poor).is_err());
    let all = capabilities(&context(&["ALL"], &[], &[]), &poor).unwrap();
    assert_eq!(all.bounding().as_ref().map(HashSet::len), Some(40));
}

#[test]
fn ambient_capabilities_are_in_all_sets() {
    let sets = capabilities(&context(&[], &["ALL"], &["NET_BIND_SERVICE"]), &defaults()).unwrap();
    for set in [sets.bounding(), sets.effective(), sets.permitted(), sets.inheritable(), sets.ambient()] {
        assert_eq!(set, &Some([NetBindService].into()));
    }
}

#[test]
fn privilege_is_everything_there_is_and_nothing_hidden() {
    let privileged = LinuxContainerSecurityContext {
        privileged: true,
        masked_paths: vec!["/proc/kcore".into()],
        readonly_paths: vec!["/proc/sys".into()],
        ..context(&[], &["ALL"], &[])
    };
    let sets = capabilities(&privileged, &defaults()).unwrap();
    assert_eq!(sets.effective().as_ref().map(HashSet::len), Some(41));
    assert_eq!(paths(&privileged), (Vec::new(), Vec::new()));
    let plain = LinuxContainerSecurityContext { privileged: false, ..privileged };
    assert_eq!(paths(&plain), (vec!["/proc/kcore".to_owned()], vec!["/proc/sys".to_owned()]));
}

#[test]
fn the_bounding_set_is_read_from_the_status() {
    let status = "Name:\tx\nCapBnd:\t000001fffeffffff\nCapAmb:\t0000000000000000\n";
    let set = bounding_set(status);
    assert_eq!(set.len(), 40);
    assert!(!set.contains(&SysResource));
}

#[test]
fn apparmor_profiles_need_a_host_that_enforces_them() {
    let named = |profile_type: ProfileType, localhost_ref: &str| LinuxContainerSecurityContext {
        apparmor: Some(SecurityProfile {
            profile_type: profile_type.into(),
            localhost_ref: localhost_ref.to_owned(),
        }),
        ..LinuxContainerSecurityContext::default()
    };
    let host = defaults();
    assert_eq!(apparmor(&LinuxContainerSecurityContext::default(), &host).unwrap(), None);
    assert_eq!(apparmor(&named(ProfileType::RuntimeDefault, ""), &host).unwrap(), None);
    assert_eq!(apparmor(&named(ProfileType::Unconfined, ""), &host).unwrap(), None);
    assert!(matches!(
        apparmor(&named(ProfileType::Localhost, "mine"), &host),
        Err(ResolveError::AppArmor { .. })
    ));
    assert!(apparmor(&named(ProfileType::Localhost, ""), &host).is_err());
    let enforcing = Defaults { apparmor: true, apparmor_profile: Some("orlop-default".into()), ..host };
    let default = apparmor(&named(ProfileType::RuntimeDefault, ""), &enforcing).unwrap();
    assert_eq!(default.as_deref(), Some("orlop-default"));
    assert_eq!(apparmor(&named(ProfileType::Unconfined, ""), &enforcing).unwrap(), None);
}
