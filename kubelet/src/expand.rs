//! `$(VAR)` in commands, arguments and environment values.
//!
//! The rules are Kubernetes' own: `$(NAME)` becomes the value, `$$` becomes `$`, and whatever does not resolve stays
//! as it was written, so that a shell's own `$(command)` survives.

/// Replaces every reference in `text` for which `lookup` knows a value.
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('$') {
        let (before, from) = rest.split_at(position);
        result.push_str(before);
        let after = &from[1..];
        if let Some(tail) = after.strip_prefix('$') {
            result.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => result.push_str(value),
                None => result.push_str(&from[..name.len() + 3]),
            }
            rest = tail;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests;
