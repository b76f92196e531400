use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

use cri_api::v1::Int64Value;
use proptest::prelude::*;

use super::*;
use crate::error::Class;

struct Texts(&'static str, &'static str);

impl Databases for Texts {
    fn passwd(&self) -> Result<Vec<PasswdEntry>, ResolveError> {
        Ok(entries(self.0.as_bytes(), passwd_entry).unwrap())
    }

    fn group(&self) -> Result<Vec<GroupEntry>, ResolveError> {
        Ok(entries(self.1.as_bytes(), group_entry).unwrap())
    }
}

const IMAGE: Texts = Texts(
    "root:x:0:0:root:/root:/bin/sh\n# comment:x:1:1\nbroken\nweb:x:1000:1001::/home/web:/bin/sh\n",
    "root:x:0:\nweb:x:1001:\nlogs:x:50:web,other\ndata:x:60:other\nbroken:x:y:web\n",
);

fn value(value: i64) -> Option<Int64Value> {
    Some(Int64Value { value })
}

fn resolved(security: &LinuxContainerSecurityContext, image_user: &str) -> (u32, u32, Vec<u32>) {
    let user = resolve_in(security, image_user, &IMAGE).unwrap();
    (user.uid, user.gid, user.groups)
}

fn none() -> LinuxContainerSecurityContext {
    LinuxContainerSecurityContext::default()
}

#[test]
fn the_image_names_the_user_unless_the_pod_does() {
    let table = [
        ("", (0, 0, vec![0])),
        ("web", (1000, 1001, vec![1001, 50])),
        ("1000", (1000, 1001, vec![1001, 50])),
        ("web:data", (1000, 60, vec![60, 50])),
        ("1000:7", (1000, 7, vec![7, 50])),
        ("4000", (4000, 0, vec![0])),
        (":60", (0, 60, vec![60])),
        ("web:", (1000, 1001, vec![1001, 50])),
    ];
    for (text, expected) in table {
        assert_eq!(resolved(&none(), text), expected, "{text:?}");
    }
    let by_id = LinuxContainerSecurityContext { run_as_user: value(4000), ..none() };
    assert_eq!(resolved(&by_id, "web:data"), (4000, 0, vec![0]));
    let with_group =
        LinuxContainerSecurityContext { run_as_user: value(1000), run_as_group: value(8), ..none() };
    assert_eq!(resolved(&with_group, ""), (1000, 8, vec![8, 50]));
    let by_name = LinuxContainerSecurityContext { run_as_username: "web".into(), ..none() };
    assert_eq!(resolved(&by_name, ""), (1000, 1001, vec![1001, 50]));
}

#[test]
fn strict_takes_only_the_listed_groups() {
    let strict = LinuxContainerSecurityContext {
        supplemental_groups: vec![9, 3, 9],
        supplemental_groups_policy: SupplementalGroupsPolicy::Strict.into(),
        ..none()
    };
    assert_eq!(resolved(&strict, "web"), (1000, 1001, vec![1001, 3, 9]));
    let merge = LinuxContainerSecurityContext { supplemental_groups: vec![9, 3], ..none() };
    assert_eq!(resolved(&merge, "web"), (1000, 1001, vec![1001, 3, 9, 50]));
}

#[test]
fn an_id_that_means_root_or_nothing_is_refused() {
    for text in ["4294967295", "4294967296", "-1", "99999999999999999999", "4294967296:0"] {
        let error = resolve_in(&none(), text, &IMAGE).unwrap_err();
        assert!(matches!(error, ResolveError::Invalid { field: "image user", .. }), "{text}: {error}");
        assert_eq!(error.class(), Class::InvalidArgument);
    }
    assert!(resolve_in(&none(), "0:4294967295", &IMAGE).is_err());
    for bad in [-1, i64::from(u32::MAX), 1 << 32, i64::MAX] {
        let security = LinuxContainerSecurityContext { run_as_user: value(bad), ..none() };
        assert!(resolve_in(&security, "", &IMAGE).is_err(), "{bad}");
        let security = LinuxContainerSecurityContext { supplemental_groups: vec![bad], ..none() };
        assert!(resolve_in(&security, "", &IMAGE).is_err(), "{bad}");
    }
}

#[test]
fn unknown_names_and_a_group_without_a_user_are_refused() {
    let unknown = resolve_in(&none(), "nobody", &IMAGE).unwrap_err();
    assert_eq!(unknown.to_string(), r#"find user "nobody" in the image: there is none in its /etc/passwd"#);
    let unknown = resolve_in(&none(), "web:nogroup", &IMAGE).unwrap_err();
    assert!(matches!(unknown, ResolveError::UnknownName { kind: "group", .. }));
    let security = LinuxContainerSecurityContext { run_as_group: value(5), ..none() };
    assert!(matches!(
        resolve_in(&security, "web", &IMAGE),
        Err(ResolveError::Invalid { field: "run_as_group", .. })
    ));
}

#[test]
fn the_home_directory_comes_from_the_image() {
    let home = |text| resolve_in(&none(), text, &IMAGE).unwrap().home;
    assert_eq!(home("web").as_deref(), Some("/home/web"));
    assert_eq!(home("4000"), None);
}

/// Whoever is asked to read a database that is no regular file must neither hang nor follow it to the host.
#[test]
fn a_database_is_a_regular_file_of_bounded_size_inside_the_root() {
    let root = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    let passwd = etc.join("passwd");
    let open = std::fs::File::open(root.path()).unwrap();
    let resolve = || resolve(&none(), "web", open.as_fd());

    assert!(matches!(resolve(), Err(ResolveError::UnknownName { .. })), "no file is no users");

    symlink("/../../../../etc/passwd", &passwd).unwrap();
    assert!(resolve().is_err(), "a link climbs no further than the root");
    std::fs::remove_file(&passwd).unwrap();

    std::fs::create_dir(&passwd).unwrap();
    assert!(matches!(resolve(), Err(ResolveError::Database { .. })));
    std::fs::remove_dir(&passwd).unwrap();

    let made = std::process::Command::new("mkfifo").arg(&passwd).status().unwrap();
    assert!(made.success());
    assert!(
        matches!(resolve(), Err(ResolveError::Database { .. })),
        "nobody waits for the other end of a FIFO"
    );
    std::fs::remove_file(&passwd).unwrap();

    std::fs::File::create(&passwd).unwrap().set_len(10 << 30).unwrap();
    assert!(matches!(resolve(), Err(ResolveError::Database { .. })), "10 GiB of holes");
    std::fs::remove_file(&passwd).unwrap();

    std::fs::write(&passwd, "web:x:5:6::/w:\n").unwrap();
    assert_eq!(resolve().unwrap().uid, 5);
    std::fs::rename(&passwd, etc.join("users")).unwrap();
    symlink("/etc/users", &passwd).unwrap();
    assert_eq!(resolve().unwrap().uid, 5, "a link inside the root is followed");
}

proptest! {
    #[test]
    fn no_database_makes_a_user_out_of_range(passwd in "[a-z:0-9\n#-]{0,200}", user in "[a-z0-9:-]{0,12}") {
        let entries = entries(passwd.as_bytes(), passwd_entry).unwrap();
        prop_assert!(entries.iter().all(|entry| entry.uid != u32::MAX && entry.gid != u32::MAX));
        if let Ok(user) = resolve_in(&none(), &user, &IMAGE) {
            prop_assert!(user.uid != u32::MAX && user.gid != u32::MAX && user.groups[0] == user.gid);
        }
    }
}
