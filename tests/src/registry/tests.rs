use std::io::Read;

use super::*;
use crate::image::{Builder, Layer, digest};

fn get(registry: &Registry, path: &str, more: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(registry.address()).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n").expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end + 4..].to_vec())
}

fn offered() -> (Registry, Image) {
    let registry = Registry::start().expect("a registry");
    let image = Builder::new().layer(Layer::new().file("a", 0o644, "b")).build().expect("an image");
    registry.push("team/app:1", &image);
    (registry, image)
}

#[test]
fn a_tag_leads_to_a_manifest_and_its_digest_to_blobs() {
    let (registry, image) = offered();
    let (head, body) = get(&registry, "/v2/team/app/manifests/1?ns=example.test", "");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains(&image.manifest), "{head}");
    assert_eq!(digest(&body), image.manifest);
    let (_, body) = get(&registry, &format!("/v2/team/app/blobs/{}", image.layers[0]), "");
    assert_eq!(digest(&body), image.layers[0]);
    assert_eq!(registry.requests().len(), 2);
}

#[test]
fn what_is_not_there_is_404() {
    let (registry, _) = offered();
    assert!(get(&registry, "/v2/team/app/manifests/2", "").0.starts_with("HTTP/1.1 404"));
    assert!(get(&registry, "/v2/team/app/blobs/sha256:00", "").0.starts_with("HTTP/1.1 404"));
}

#[test]
fn a_range_is_the_rest_of_the_blob() {
    let (registry, image) = offered();
    let whole = &image.blobs[&image.layers[0]];
    let (head, body) =
        get(&registry, &format!("/v2/team/app/blobs/{}", image.layers[0]), "Range: bytes=5-\r\n");
    assert!(head.starts_with("HTTP/1.1 206"), "{head}");
    assert_eq!(body, whole[5..]);
}

#[test]
fn a_cut_blob_is_shorter_than_announced() {
    let (registry, image) = offered();
    registry.set_fault(Fault::CutBlobs);
    let (head, body) = get(&registry, &format!("/v2/team/app/blobs/{}", image.layers[0]), "");
    let whole = image.blobs[&image.layers[0]].len();
    assert!(head.contains(&format!("content-length: {whole}")) && body.len() < whole);
}

#[test]
fn a_dropped_registry_is_down() {
    let registry = Registry::start().expect("a registry");
    let address = registry.address();
    drop(registry);
    assert!(TcpStream::connect(address).is_err());
}
