use std::collections::HashSet;
use std::net::IpAddr;

use proptest::prelude::*;

use super::{Range, RangeError, RangeSet, validate};

fn range(subnet: &str) -> Range {
    Range::new(subnet.parse().expect("subnet"), None, None, None).expect("range")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("address")
}

#[test]
fn defaults_leave_out_network_broadcast_and_gateway() {
    let v4 = range("10.1.2.0/29");
    assert_eq!(
        (v4.start, v4.end, v4.gateway, v4.size()),
        (ip("10.1.2.1"), ip("10.1.2.6"), ip("10.1.2.1"), 5)
    );
    let v6 = range("fd00::/64");
    assert_eq!((v6.start, v6.end), (ip("fd00::1"), ip("fd00::ffff:ffff:ffff:ffff")));
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    let new = |subnet: &str, start: Option<&str>, end: Option<&str>| {
        Range::new(subnet.parse().expect("subnet"), start.map(ip), end.map(ip), None)
    };
    assert!(matches!(new("10.1.2.3/16", None, None), Err(RangeError::HostBits(_))));
    assert!(matches!(new("10.1.2.0/31", None, None), Err(RangeError::TooSmall(_))));
    assert!(matches!(new("10.1.2.0/32", None, None), Err(RangeError::TooSmall(_))));
    assert!(matches!(new("10.1.2.0/24", Some("10.1.3.1"), None), Err(RangeError::Outside { .. })));
    assert!(matches!(
        new("10.1.2.0/24", Some("10.1.2.9"), Some("10.1.2.8")),
        Err(RangeError::Reversed { .. })
    ));
    assert_eq!(validate(&[]), Err(RangeError::None));
    assert_eq!(validate(&[RangeSet(Vec::new())]), Err(RangeError::EmptySet(0)));
    let mixed = RangeSet(vec![range("10.1.0.0/24"), range("fd00::/64")]);
    assert_eq!(validate(&[mixed]), Err(RangeError::MixedFamilies(0)));
    let sets = [RangeSet(vec![range("10.1.0.0/16")]), RangeSet(vec![range("10.1.7.0/24")])];
    assert!(matches!(validate(&sets), Err(RangeError::Overlap { .. })));
}

#[test]
fn the_walk_starts_behind_the_last_address_and_ends_with_it() {
    let set = RangeSet(vec![range("10.1.2.0/29"), range("10.1.3.0/30")]);
    let walk = |last: Option<&str>| -> Vec<String> {
        set.after(last.map(ip)).map(|(ip, _)| ip.to_string()).collect()
    };
    assert_eq!(walk(None), ["10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6", "10.1.3.2"]);
    assert_eq!(
        walk(Some("10.1.2.4")),
        ["10.1.2.5", "10.1.2.6", "10.1.3.2", "10.1.2.2", "10.1.2.3", "10.1.2.4"]
    );
    assert_eq!(walk(Some("10.1.3.2")).last().map(String::as_str), Some("10.1.3.2"));
    // The configuration was changed since: from the beginning.
    assert_eq!(walk(Some("192.168.0.1")), walk(None));
}

proptest! {
    #[test]
    fn every_address_comes_exactly_once_wherever_the_walk_starts(
        prefix in 24u8..=30, second in 24u8..=30, last in 0u32..600,
    ) {
        let set = RangeSet(vec![range(&format!("10.1.0.0/{prefix}")), range(&format!("10.1.1.0/{second}"))]);
        let last = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a01_0000 + last));
        let walk: Vec<IpAddr> = set.after(Some(last)).map(|(ip, _)| ip).collect();
        let unique: HashSet<IpAddr> = walk.iter().copied().collect();
        prop_assert_eq!(unique.len(), walk.len());
        prop_assert_eq!(walk.len() as u128, set.size());
    }
}
