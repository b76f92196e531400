use super::*;

fn read(fields: AuthFields<'_>) -> Option<Credentials> {
    Credentials::from_fields(fields).unwrap()
}

#[test]
fn the_fields_count_in_the_order_of_the_peers() {
    let auth = STANDARD.encode("bob:se:cret");
    let everything = AuthFields {
        username: "al",
        password: "pw",
        auth: &auth,
        identity_token: "id",
        registry_token: "reg",
        ..Default::default()
    };
    let secret = |fields| read(fields).unwrap().secret;
    assert!(matches!(secret(everything), Secret::Password { user, .. } if user == "al"));
    let without_user = AuthFields { username: "", ..everything };
    assert!(
        matches!(secret(without_user), Secret::Password { user, password } if user == "bob" && password == "se:cret")
    );
    let without_auth = AuthFields { auth: "", ..without_user };
    assert!(matches!(secret(without_auth), Secret::Identity(token) if token == "id"));
    let only_registry = AuthFields { identity_token: "", ..without_auth };
    assert!(matches!(secret(only_registry), Secret::Bearer(token) if token == "reg"));
    assert!(read(AuthFields::default()).is_none());
    assert!(Credentials::from_fields(AuthFields { auth: "%%", ..Default::default() }).is_err());
}

#[test]
fn credentials_go_to_the_server_they_are_for() {
    let for_server = |server_address| {
        read(AuthFields { username: "u", password: "p", server_address, ..Default::default() }).unwrap()
    };
    assert!(for_server("").apply_to("anything"));
    assert!(for_server("https://index.docker.io/v1/").apply_to("docker.io"));
    assert!(for_server("R.example:5000").apply_to("r.example:5000"));
    assert!(!for_server("r.example").apply_to("r.example:5000"));
    assert!(!for_server("r.example").apply_to("evil.example"));
}

#[test]
fn nothing_secret_is_printed() {
    let credentials =
        read(AuthFields { username: "hans", password: "geheim", ..Default::default() }).unwrap();
    let printed = format!("{credentials:?}");
    assert!(!printed.contains("geheim") && !printed.contains("hans"), "{printed}");
}

#[test]
fn forms_are_encoded() {
    assert_eq!(form(&[("a", "x y&z"), ("b", ""), ("c", "p/q:r")]), "a=x%20y%26z&c=p%2Fq%3Ar");
}
