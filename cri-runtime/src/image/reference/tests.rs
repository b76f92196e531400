use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn short_names_become_whole() {
    let by_digest = format!("a.b/c@{DIGEST}");
    let hub_by_digest = format!("docker.io/library/x@{DIGEST}");
    let (tag_and_digest, hub_digest) = (format!("a.b/c:1@{DIGEST}"), format!("x@{DIGEST}"));
    let table = [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox:latest"),
        ("grafana/grafana", "docker.io/grafana/grafana:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("localhost:5000/x:t", "localhost:5000/x:t"),
        ("a.b/c", "a.b/c:latest"),
        ("A.B/c", "a.b/c:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest"),
        ("[::1]/x", "[::1]/x:latest"),
        ("10.0.0.1:80/a/b-c--d/e__f.g", "10.0.0.1:80/a/b-c--d/e__f.g:latest"),
        ("host/x", "docker.io/host/x:latest"),
        ("busybox:Tag_1.2-3", "docker.io/library/busybox:Tag_1.2-3"),
        (&by_digest, &by_digest),
        (&tag_and_digest, &by_digest),
        (&hub_digest, &hub_by_digest),
    ];
    for (text, expected) in table {
        let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(reference.to_string(), expected, "{text}");
        assert_eq!(expected.parse::<Reference>().unwrap(), reference, "{expected} is its own normal form");
    }
}

#[test]
fn what_is_no_reference_is_refused() {
    let long_tag = format!("x:{}", "t".repeat(129));
    let long_name = format!("a.b/{}", "n".repeat(252));
    let table = [
        "",
        "Busybox",
        "a b",
        "x:",
        ":tag",
        "x:.t",
        "x:-t",
        "/x",
        "a.b/",
        "a.b//x",
        "a.b/x/",
        "a..b/x",
        "-a.b/x",
        "a.b:/x",
        "a.b:99999/x",
        "a.b:5a/x",
        "[::1/x",
        "[zz]:1/x",
        "a.b/_x",
        "a.b/x_",
        "a.b/x___y",
        "a.b/x..y",
        "x@sha256:abc",
        "x@md5:d41d8cd98f00b204e9800998ecf8427e",
        "x@",
        "../x",
        "a.b/../x",
        &long_tag,
        &long_name,
    ];
    for text in table {
        assert!(text.parse::<Reference>().is_err(), "{text:?} was accepted");
    }
}

proptest::proptest! {
    #[test]
    fn parsing_never_panics_and_its_result_is_stable(text in ".{0,80}") {
        if let Ok(reference) = text.parse::<Reference>() {
            proptest::prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
        }
    }
}
