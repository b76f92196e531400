use kernel::mount::attribute::{
    ATIME, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, STRICTATIME,
};

use super::*;

fn parsed(options: &[&str]) -> MountOptions {
    let options: Vec<String> = options.iter().map(ToString::to_string).collect();
    parse(&options).expect("no option is refused")
}

#[test]
fn attributes_set_and_clear_flags_of_the_mount() {
    for (option, set, clear) in [
        ("ro", RDONLY, 0),
        ("rw", 0, RDONLY),
        ("nosuid", NOSUID, 0),
        ("suid", 0, NOSUID),
        ("nodev", NODEV, 0),
        ("dev", 0, NODEV),
        ("noexec", NOEXEC, 0),
        ("exec", 0, NOEXEC),
        ("noatime", NOATIME, ATIME),
        ("strictatime", STRICTATIME, ATIME),
        ("relatime", 0, ATIME),
        ("atime", 0, ATIME),
        ("nodiratime", NODIRATIME, 0),
        ("diratime", 0, NODIRATIME),
        ("nosymfollow", NOSYMFOLLOW, 0),
        ("symfollow", 0, NOSYMFOLLOW),
        ("defaults", 0, 0),
        ("async", 0, 0),
    ] {
        assert_eq!(
            parsed(&[option]),
            MountOptions { attributes: Change { set, clear }, ..Default::default() },
            "{option}"
        );
    }
}

#[test]
fn an_r_in_front_makes_them_recursive() {
    for (option, set, clear) in [
        ("rro", RDONLY, 0),
        ("rrw", 0, RDONLY),
        ("rnosuid", NOSUID, 0),
        ("rnodev", NODEV, 0),
        ("rnoexec", NOEXEC, 0),
        ("rexec", 0, NOEXEC),
        ("rnoatime", NOATIME, ATIME),
        ("rrelatime", 0, ATIME),
        ("rstrictatime", STRICTATIME, ATIME),
        ("rnosymfollow", NOSYMFOLLOW, 0),
    ] {
        let expected = MountOptions { recursive_attributes: Change { set, clear }, ..Default::default() };
        assert_eq!(parsed(&[option]), expected, "{option}");
    }
}

#[test]
fn propagation_has_four_kinds_with_and_without_r() {
    for (option, kind) in [
        ("private", propagation::PRIVATE),
        ("rprivate", propagation::PRIVATE),
        ("slave", propagation::SLAVE),
        ("rslave", propagation::SLAVE),
        ("shared", propagation::SHARED),
        ("rshared", propagation::SHARED),
        ("unbindable", propagation::UNBINDABLE),
        ("runbindable", propagation::UNBINDABLE),
    ] {
        assert_eq!(parsed(&[option]).propagation, Some(kind), "{option}");
    }
}

#[test]
fn the_last_of_contradicting_options_counts() {
    assert_eq!(parsed(&["ro", "rw"]).attributes, Change { set: 0, clear: RDONLY });
    assert_eq!(parsed(&["rw", "ro"]).attributes, Change { set: RDONLY, clear: 0 });
    assert_eq!(parsed(&["strictatime", "noatime"]).attributes, Change { set: NOATIME, clear: ATIME });
    assert_eq!(parsed(&["noatime", "relatime"]).attributes, Change { set: 0, clear: ATIME });
    assert_eq!(parsed(&["rbind", "bind"]).bind, Some(true));
    assert_eq!(parsed(&["shared", "rslave"]).propagation, Some(propagation::SLAVE));
}

#[test]
fn the_rest_belongs_to_the_filesystem() {
    assert_eq!(
        parsed(&["mode=755", "size=64k", "newinstance", "rsize=5"]).data,
        ["mode=755", "size=64k", "newinstance", "rsize=5"]
    );
}

#[test]
fn what_cannot_be_done_is_refused() {
    for option in REFUSED {
        assert_eq!(parse(&[option.to_owned()]), Err(option.to_owned()));
    }
}
