use super::Scalar;

#[test]
fn plain_scalars_mean_what_kubectl_makes_of_them() {
    let int = |text: &str, value| (text.to_owned(), Scalar::Int { value, text: text.to_owned() });
    let boolean = |text: &str, value| (text.to_owned(), Scalar::Bool { value, text: text.to_owned() });
    let string = |text: &str| (text.to_owned(), Scalar::String(text.to_owned()));
    let table = [
        int("0", 0),
        int("8080", 8080),
        int("-3", -3),
        int("+3", 3),
        int("0644", 0o644),
        int("0o644", 0o644),
        int("0x1F", 31),
        int("1_000", 1000),
        boolean("yes", true),
        boolean("off", false),
        string("08"),
        string("inf"),
        string("nan"),
        string("1.2.3"),
        string("100m"),
        string("-"),
        string("e5"),
    ];
    for (text, expected) in table {
        if text == "08" {
            // Not octal, so a float in YAML 1.1; what matters is that it is not silently 8 as an integer.
            assert!(matches!(Scalar::resolve(&text), Scalar::Float { .. }), "{text}");
            continue;
        }
        assert_eq!(Scalar::resolve(&text), expected, "{text}");
    }
    assert_eq!(Scalar::resolve("~"), Scalar::Null);
    assert!(matches!(Scalar::resolve("1e3"), Scalar::Float { value, .. } if (value - 1000.0).abs() < 1e-9));
}
