use super::*;

fn digest(number: u8) -> String {
    Digest::of(&[number]).to_string()
}

fn manifest(config_type: &str, layer_type: &str) -> serde_json::Value {
    serde_json::json!({
        "schemaVersion": 2,
        "config": {"mediaType": config_type, "digest": digest(1), "size": 2},
        "layers": [{"mediaType": layer_type, "digest": digest(2), "size": 3}],
    })
}

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

fn parse(value: &serde_json::Value) -> Result<Document, ManifestError> {
    Document::parse(value.to_string().as_bytes())
}

#[test]
fn both_families_of_media_types_are_images() {
    for (config, layer) in [
        (OCI_CONFIG, OCI_LAYER),
        (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar"),
        (
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ),
    ] {
        assert!(matches!(parse(&manifest(config, layer)), Ok(Document::Manifest(_))), "{layer}");
    }
}

#[test]
fn what_is_not_an_image_is_refused_by_name() {
    let artifact = parse(&manifest("application/vnd.cncf.helm.config.v1+json", OCI_LAYER)).unwrap_err();
    assert!(artifact.to_string().contains("helm"), "{artifact}");
    assert!(parse(&manifest(OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip+encrypted")).is_err());
    let schema_one = serde_json::json!({"schemaVersion": 1, "fsLayers": [], "history": []});
    assert!(matches!(parse(&schema_one), Err(ManifestError::SchemaOne)));
    assert!(matches!(parse(&serde_json::json!({"mediaType": "x"})), Err(ManifestError::Kind(_))));
    assert!(Document::parse(b"<html>").is_err());
    let mut ambiguous = manifest(OCI_CONFIG, OCI_LAYER);
    ambiguous["manifests"] = serde_json::json!([]);
    assert!(matches!(parse(&ambiguous), Err(ManifestError::Kind(_))));
}

#[test]
fn layers_and_diff_ids_must_pair_up() {
    let Document::Manifest(manifest) = parse(&manifest(OCI_CONFIG, OCI_LAYER)).unwrap() else { panic!() };
    let config = |diff_ids: &[String]| {
        let value = serde_json::json!({"architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        parse_config(value.to_string().as_bytes()).unwrap()
    };
    assert!(matches!(
        layers(&manifest, &config(&[])),
        Err(ManifestError::LayerCount { layers: 1, diff_ids: 0 })
    ));
    assert_eq!(layers(&manifest, &config(&[digest(9)])).unwrap()[0].diff_id.as_str(), digest(9));
    assert!(matches!(layers(&manifest, &config(&["../x".into()])), Err(ManifestError::Digest(_))));
}
