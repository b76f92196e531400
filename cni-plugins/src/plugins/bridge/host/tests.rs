use super::{alias, veth_name};
use crate::call::validate_ifname;

#[test]
fn the_name_of_the_host_end_is_valid_stable_and_belongs_to_one_attachment() {
    let name = veth_name("orlop", "abc", "eth0");
    validate_ifname(&name).expect("valid");
    assert_eq!(name, veth_name("orlop", "abc", "eth0"));
    for other in [
        ("orlop2", "abc", "eth0"),
        ("orlop", "abcd", "eth0"),
        ("orlop", "abc", "eth1"),
        ("orlop", "ab", "ceth0"),
    ] {
        assert_ne!(name, veth_name(other.0, other.1, other.2));
    }
}

#[test]
fn an_alias_is_cut_to_what_the_kernel_keeps() {
    assert!(alias("n", &"i".repeat(300), "eth0").len() <= 255);
    assert!(alias("n", &"ä".repeat(300), "eth0").len() <= 255);
}
