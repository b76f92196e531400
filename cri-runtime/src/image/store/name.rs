//! Tags that match patterns of the configuration (I-07). Pure.

use super::super::reference::Reference;

/// Whether any name of an image is pinned. A pattern without `*` may be short, as in a manifest.
pub fn is_pinned(patterns: &[String], names: &[String]) -> bool {
    patterns.iter().any(|pattern| {
        let normal = (!pattern.contains('*')).then(|| pattern.parse::<Reference>().ok()).flatten();
        let pattern = normal.map_or_else(|| pattern.clone(), |reference| reference.to_string());
        names.iter().any(|name| matches(&pattern, name))
    })
}

/// `*` stands for any number of any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(position) = rest.find(part) else { return false };
        rest = &rest[position + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let pinned = |pattern: &str, name: &str| is_pinned(&[pattern.to_owned()], &[name.to_owned()]);
        assert!(pinned("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"));
        assert!(!pinned("registry.k8s.io/pause:3.1", "registry.k8s.io/pause:3.10"));
        assert!(pinned("busybox", "docker.io/library/busybox:latest"));
        assert!(pinned("registry.k8s.io/*", "registry.k8s.io/pause:3.10"));
        assert!(pinned("*pause*", "registry.k8s.io/pause:3.10"));
        assert!(pinned("*/pause:*0", "registry.k8s.io/pause:3.10"));
        assert!(!pinned("*/pause:*1", "registry.k8s.io/pause:3.10"));
        assert!(!pinned("a*a", "a"));
    }
}
