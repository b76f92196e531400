use proptest::prelude::*;

use super::Quantity;

fn milli(text: &str) -> i64 {
    Quantity::parse(text).unwrap().milli()
}

#[test]
fn units_and_exponents_have_their_documented_sizes() {
    let table = [
        ("1", 1000),
        ("0", 0),
        ("+2", 2000),
        ("-2", -2000),
        ("500m", 500),
        ("0.5", 500),
        (".5", 500),
        ("1.", 1000),
        ("1500u", 2),
        ("1n", 1),
        ("2k", 2_000_000),
        ("1e3", 1_000_000),
        ("1E3", 1_000_000),
        ("5e-1", 500),
        ("1Ki", 1_024_000),
        ("1.5Ki", 1_536_000),
        ("64Mi", 64 * 1024 * 1024 * 1000),
    ];
    for (text, expected) in table {
        assert_eq!(milli(text), expected, "{text}");
    }
    assert_eq!(Quantity::parse("1E").unwrap().value(), 1_000_000_000_000_000_000);
    assert_eq!(Quantity::parse("0.1").unwrap().in_units_of(Quantity::parse("1m").unwrap()), 100);
}

#[test]
fn what_is_too_large_is_capped_and_what_is_too_fine_is_rounded_up() {
    assert_eq!(Quantity::parse("999999999999999999999999999999999999999999999").unwrap().value(), i64::MAX);
    assert_eq!(Quantity::parse("9Ei").unwrap().value(), i64::MAX);
    assert_eq!(Quantity::parse("1e99").unwrap().value(), i64::MAX);
    assert_eq!(Quantity::parse("0.00000000000000000001").unwrap(), Quantity::parse("1n").unwrap());
}

#[test]
fn other_texts_are_refused_by_quoting_them() {
    for text in ["", "m", "1KB", "1 Mi", "1mi", "one", "1.2.3", "--1", "1e", "0x10", "."] {
        let error = Quantity::parse(text).unwrap_err();
        assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_without_a_panic(text in "[-+0-9.eEkKMmiGnu]{0,60}") {
        let _ = Quantity::parse(&text);
    }

    #[test]
    fn order_follows_the_numbers(a in 0_i64..1_000_000, b in 0_i64..1_000_000) {
        let parse = |n: i64| Quantity::parse(&format!("{n}m")).unwrap();
        prop_assert_eq!(a.cmp(&b), parse(a).cmp(&parse(b)));
    }
}
