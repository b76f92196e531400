use super::*;

#[test]
fn a_bearer_challenge_keeps_its_quoted_commas() {
    let header =
        r#"Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push""#;
    let challenges = parse(header);
    assert_eq!(challenges.len(), 1);
    assert_eq!(challenges[0].get("realm"), Some("https://auth.example/token"));
    assert_eq!(challenges[0].get("scope"), Some("repository:a/b:pull,push"));
}

#[test]
fn several_challenges_share_one_header() {
    let challenges = parse(r#"Basic realm="a \"b\"", Bearer realm=https://x/y , service=z, Negotiate"#);
    let schemes: Vec<_> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
    assert_eq!(schemes, ["basic", "bearer", "negotiate"]);
    assert_eq!(challenges[0].get("realm"), Some("a \"b\""));
    assert_eq!(challenges[1].get("realm"), Some("https://x/y"));
    assert_eq!(challenges[1].get("service"), Some("z"));
}

#[test]
fn nonsense_is_no_challenge() {
    assert!(parse("").is_empty());
    assert!(parse("=x").is_empty());
    assert!(parse("a=b").is_empty());
    assert_eq!(parse("Bearer realm=\"open").first().map(|challenge| challenge.parameters.len()), Some(0));
}

proptest::proptest! {
    #[test]
    fn parsing_ends(header in ".{0,60}") {
        parse(&header);
    }
}
