use super::*;

fn index(entries: &[(&str, &str, Option<&str>)]) -> ImageIndex {
    let manifests: Vec<_> = entries
        .iter()
        .enumerate()
        .map(|(number, (os, architecture, variant))| {
            serde_json::json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": number,
                "digest": format!("sha256:{number:064}"),
                "platform": {"os": os, "architecture": architecture, "variant": variant}
            })
        })
        .collect();
    serde_json::from_value(serde_json::json!({"schemaVersion": 2, "manifests": manifests})).unwrap()
}

fn platform(architecture: &str, variant: Option<&str>) -> Platform {
    Platform { os: "linux".into(), architecture: architecture.into(), variant: variant.map(Into::into) }
}

#[test]
fn the_best_fitting_entry_wins_whatever_the_order() {
    let all = index(&[
        ("unknown", "unknown", None),
        ("windows", "amd64", None),
        ("linux", "arm", Some("v6")),
        ("linux", "arm", Some("v7")),
        ("linux", "arm64", None),
        ("linux", "amd64", Some("v3")),
        ("linux", "amd64", None),
    ]);
    let chosen = |platform: &Platform| select(&all, platform).unwrap().size();
    assert_eq!(chosen(&platform("amd64", None)), 6);
    assert_eq!(chosen(&platform("arm64", Some("v8"))), 4);
    assert_eq!(chosen(&platform("arm", Some("v7"))), 3);
    assert_eq!(chosen(&platform("arm", Some("v6"))), 2);
    let old = index(&[("linux", "arm", Some("v6")), ("linux", "arm", Some("v7"))]);
    assert_eq!(select(&old, &platform("arm64", Some("v8"))).unwrap().size(), 1);
}

#[test]
fn when_none_fits_the_answer_lists_what_there_is() {
    let all = index(&[("linux", "arm", Some("v7")), ("linux", "s390x", None), ("unknown", "unknown", None)]);
    assert_eq!(select(&all, &platform("amd64", None)).unwrap_err(), ["linux/arm/v7", "linux/s390x"]);
}

#[test]
fn attestations_are_no_images() {
    let mut value =
        serde_json::to_value(index(&[("linux", "amd64", None), ("linux", "amd64", None)])).unwrap();
    value["manifests"][0]["annotations"] =
        serde_json::json!({"vnd.docker.reference.type": "attestation-manifest"});
    let index: ImageIndex = serde_json::from_value(value).unwrap();
    assert_eq!(select(&index, &platform("amd64", None)).unwrap().size(), 1);
}
