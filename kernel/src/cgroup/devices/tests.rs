use super::*;

#[test]
fn access_letters_are_read_once_each() {
    assert_eq!(Access::parse("rwm"), Some(Access::ALL));
    assert_eq!(Access::parse("mr"), Some(Access { read: true, write: false, mknod: true }));
    for bad in ["", "x", "rr", "rwmx", "RW"] {
        assert_eq!(Access::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn rules_are_spelled_as_the_control_files_read_them() {
    assert_eq!(DeviceRule::DENY_ALL.to_string(), "a *:* rwm");
    let null = DeviceRule {
        allow: true,
        kind: DeviceKind::Char,
        major: Some(1),
        minor: Some(3),
        access: Access { read: true, write: false, mknod: true },
    };
    assert_eq!(null.to_string(), "c 1:3 rm");
    assert_eq!(DeviceRule { minor: None, ..null }.to_string(), "c 1:* rm");
}

#[test]
fn a_partial_rule_about_all_kinds_is_not_read_as_everything_by_v1() {
    let all_mknod =
        DeviceRule { access: Access { mknod: true, ..Access::default() }, ..DeviceRule::ALLOW_ALL };
    let written: Vec<String> = split_for_v1(all_mknod).map(|rule| rule.to_string()).collect();
    assert_eq!(written, ["b *:* m", "c *:* m"]);
    assert_eq!(split_for_v1(DeviceRule::DENY_ALL).count(), 1);
}
