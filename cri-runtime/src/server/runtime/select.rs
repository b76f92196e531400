//! What the filters of list calls mean (G-08): every field that is set must fit.

use std::collections::HashMap;
use std::hash::BuildHasher;

/// Whether an id begins with what is asked for.
pub(super) fn has_prefix(id: &str, wanted: &str) -> bool {
    id.starts_with(wanted)
}

/// Whether every wanted label is there with exactly this value.
pub(super) fn has_labels<S: BuildHasher>(
    labels: &HashMap<String, String, S>,
    wanted: &HashMap<String, String, S>,
) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_filter_fits_everything_and_each_set_field_must_fit() {
        let labels =
            HashMap::from([("app".to_owned(), "web".to_owned()), ("tier".to_owned(), String::new())]);
        let want = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
        assert!(has_labels(&labels, &HashMap::new()));
        assert!(has_labels(&labels, &want("app", "web")));
        assert!(!has_labels(&labels, &want("app", "we")));
        assert!(!has_labels(&labels, &want("none", "")));
        assert!(has_prefix("abc", "") && has_prefix("abc", "ab") && !has_prefix("abc", "b"));
    }
}
