//! The shapes of names: DNS labels and subdomains (RFC 1123), qualified names, label values, variables, port names.
//!
//! Each function answers with what is wrong, in words that follow the field's path.

fn alphanumeric(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// RFC 1123 label: at most 63 of `a-z 0-9 -`, first and last not `-`.
pub fn label(name: &str) -> Result<(), String> {
    let shape = !name.is_empty()
        && name.len() <= 63
        && name.chars().all(|c| alphanumeric(c) || c == '-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if shape {
        return Ok(());
    }
    Err(format!(
        "{name:?} must be 1 to 63 lower case letters, digits or '-', and begin and end with a letter or digit"
    ))
}

/// RFC 1123 subdomain: labels joined by dots, at most 253 characters.
pub fn subdomain(name: &str) -> Result<(), String> {
    let labels = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| alphanumeric(c) || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(labels) {
        return Ok(());
    }
    Err(format!(
        "{name:?} must be lower case letters, digits, '-' or '.', and begin and end with a letter or digit"
    ))
}

/// A search domain: like a subdomain, but the underscore of service records is allowed (KEP-4427).
pub fn search_domain(name: &str) -> Result<(), String> {
    subdomain(&name.replace('_', "a")).map_err(|_| format!("{name:?} is not a domain name"))
}

/// `[prefix/]name`: an optional subdomain, and at most 63 of letters, digits, `-`, `_`, `.`.
pub fn qualified(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix {
        subdomain(prefix)?;
    }
    if name.is_empty() || label_value(name).is_err() {
        return Err(format!(
            "{key:?} must be [prefix/]name, where name has 1 to 63 letters, digits, '-', '_' or '.'"
        ));
    }
    Ok(())
}

/// At most 63 letters, digits, `-`, `_`, `.`, beginning and ending with a letter or digit; may be empty.
pub fn label_value(value: &str) -> Result<(), String> {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    let shape = value.len() <= 63
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && edge(value.chars().next())
        && edge(value.chars().next_back());
    if shape {
        return Ok(());
    }
    Err(format!(
        "{value:?} must be at most 63 letters, digits, '-', '_' or '.', and begin and end with a letter or digit"
    ))
}

/// A variable's name: printable ASCII without `=` (KEP-4369).
pub fn variable(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is required".to_owned());
    }
    if name.chars().all(|c| (' '..='~').contains(&c) && c != '=') {
        return Ok(());
    }
    Err(format!("{name:?} must be printable ASCII without '='"))
}

/// IANA service name: at most 15 of `a-z 0-9 -` with at least one letter, no `--`, no `-` at an end.
pub fn port(name: &str) -> Result<(), String> {
    let shape = label(name).is_ok()
        && name.len() <= 15
        && !name.contains("--")
        && name.chars().any(|c| c.is_ascii_lowercase());
    if shape {
        return Ok(());
    }
    Err(format!(
        "{name:?} must be at most 15 lower case letters, digits or single '-', with at least one letter"
    ))
}
