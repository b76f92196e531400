use proptest::prelude::*;

use super::expand;

fn with_a(text: &str) -> String {
    expand(text, |name| (name == "A").then_some("value"))
}

#[test]
fn references_escapes_and_leftovers() {
    let table = [
        ("$(A)", "value"),
        ("x$(A)y$(A)", "xvalueyvalue"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$value"),
        ("$$$$(A)", "$$(A)"),
        ("$(B)", "$(B)"),
        ("$(A", "$(A"),
        ("$A", "$A"),
        ("$", "$"),
        ("100$", "100$"),
        ("$$", "$"),
        ("$()", "$()"),
        ("$(date)$(A)", "$(date)value"),
    ];
    for (text, expected) in table {
        assert_eq!(with_a(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn text_without_a_dollar_is_untouched(text in "[^$]*") {
        prop_assert_eq!(with_a(&text), text);
    }

    #[test]
    fn doubling_every_dollar_protects_any_text(text in "\\PC*") {
        prop_assert_eq!(with_a(&text.replace('$', "$$")), text);
    }
}
