use super::*;

#[test]
fn the_digest_of_nothing_is_the_well_known_one() {
    let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Digest::of(b"").as_str(), empty);
    assert_eq!(empty.parse::<Digest>().unwrap().hex(), &empty[7..]);
}

#[test]
fn what_could_leave_a_directory_or_is_not_a_digest_is_refused() {
    let hex = "0".repeat(64);
    for text in
        ["", "sha256:", "sha256:xyz", "../../etc", &hex, &format!("sha256:{}", hex.to_uppercase() + "A")]
    {
        assert!(matches!(text.parse::<Digest>(), Err(DigestError::Form(_))), "{text}");
    }
    assert!(matches!(format!("sha512:{hex}{hex}").parse::<Digest>(), Err(DigestError::Algorithm(_))));
    assert!(serde_json::from_str::<Digest>("\"sha256:../..\"").is_err());
}
